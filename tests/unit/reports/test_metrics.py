"""Metrics are counted from events."""

from __future__ import annotations

import pytest

from batchcap.domain.events import (
    Event,
    JobCreated,
    RequestSent,
    RowEnded,
    RowStarted,
    Throttled,
)
from batchcap.domain.models import Failure, Outcome, RowState
from batchcap.reports.metrics import Metrics
from tests.harness.rows import CAPTION, row

pytestmark = pytest.mark.anyio


def ended(state: RowState, code: str = "") -> Outcome:
    return Outcome(
        state=state,
        started_at=0.0,
        finished_at=1.0,
        caption=CAPTION if state is RowState.DONE else None,
        failure=Failure(code, "why") if code else None,
    )


async def test_metrics_every_event_is_counted() -> None:
    metrics = Metrics()
    mux, heygen = row(1, provider="mux"), row(2, provider="heygen")
    received: list[Event] = [
        RowStarted(mux),
        RowStarted(heygen),
        RequestSent("mux.write"),
        RequestSent("mux.write"),
        RequestSent("downloads"),
        JobCreated(mux, "j"),
        RowEnded(mux, ended(RowState.DONE)),
    ]
    for event in received:
        metrics(event)
    assert metrics.requests == {"mux.write": 2, "downloads": 1}
    assert metrics.ended == {("mux", RowState.DONE): 1}
    metrics(RowEnded(heygen, ended(RowState.FAILED, "not_found")))
    assert metrics.errors == {"not_found": 1}
    assert metrics.ended == {("mux", RowState.DONE): 1, ("heygen", RowState.FAILED): 1}
    metrics(Throttled("heygen", 30.0))
    metrics(Throttled("heygen", 5.0))
    assert metrics.throttled == 2


async def test_metrics_ignores_a_kind_of_event_that_it_does_not_count() -> None:
    """A new kind of event must not make a run fail."""

    class NewKind(Event, frozen=True):
        pass

    metrics = Metrics()
    metrics(NewKind())
    assert not metrics.requests
    assert not metrics.ended
