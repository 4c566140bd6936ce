"""Counts from events."""

from __future__ import annotations

import pytest

from batchcap import events
from batchcap.events import (
    Event,
    JobCreated,
    LaneStopped,
    Paused,
    RequestSent,
    RowEnded,
    RowStarted,
    Throttled,
    Warned,
    WebhookReceived,
    WebhookRefused,
)
from batchcap.model import Failure, Outcome, RowState
from batchcap.tally import Tally
from tests.fakes import CAPTION, clock, row

pytestmark = pytest.mark.anyio


def ended(state: RowState, code: str = "") -> Outcome:
    return Outcome(
        state=state,
        started_at=0.0,
        finished_at=1.0,
        caption=CAPTION if state is RowState.DONE else None,
        failure=Failure(code, "why") if code else None,
    )


async def test_everything_that_happened_is_counted() -> None:
    tally = Tally()
    mux, heygen = row(1, provider="mux"), row(2, provider="heygen")
    told: list[Event] = [
        RowStarted(mux),
        RowStarted(heygen),
        RequestSent("mux.write"),
        RequestSent("mux.write"),
        RequestSent("downloads"),
        JobCreated(mux, "j"),
        RowEnded(mux, ended(RowState.DONE)),
    ]
    for event in told:
        tally(event)
    assert tally.requests == {"mux.write": 2, "downloads": 1}
    assert tally.created == 1
    assert tally.bytes == CAPTION.bytes
    assert (tally.working["mux"], tally.working["heygen"]) == (0, 1)
    assert (tally.done("mux"), tally.done("heygen")) == (1, 0)
    tally(RowEnded(heygen, ended(RowState.FAILED, "not_found")))
    assert tally.errors == {"not_found": 1}
    assert tally.ended == {("mux", RowState.DONE): 1, ("heygen", RowState.FAILED): 1}
    assert tally.bytes == CAPTION.bytes


async def test_a_pause_is_known_until_it_is_over_and_the_longest_counts() -> None:
    tally = Tally()
    tally(Throttled("heygen", 30.0))
    tally(Throttled("heygen", 5.0))
    assert tally.throttled == 2
    assert tally.paused_until["heygen"] == pytest.approx(clock() + 30, abs=0.01)


async def test_the_last_warning_is_kept() -> None:
    tally = Tally()
    tally(Warned("first"))
    tally(LaneStopped("mux", "no credit", "top up"))
    assert tally.last_warning == "no credit"


async def test_every_event_that_there_is_can_be_counted() -> None:
    """A new event must not make the run fail."""
    examples: dict[type[Event], Event] = {
        RequestSent: RequestSent("x"),
        Throttled: Throttled("x", 1.0),
        Paused: Paused("x", 1.0),
        RowStarted: RowStarted(row()),
        JobCreated: JobCreated(row(), "j"),
        RowEnded: RowEnded(row(), ended(RowState.SKIPPED)),
        Warned: Warned("x"),
        LaneStopped: LaneStopped("x", "y", "z"),
        WebhookReceived: WebhookReceived("x", "j"),
        WebhookRefused: WebhookRefused("x"),
    }
    there = {
        kind
        for kind in vars(events).values()
        if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
    }
    assert there == set(examples)
    tally = Tally()
    for event in examples.values():
        tally(event)
