"""Where a run stands, from its events alone."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from batchcap.domain.events import (
    JobEnded,
    LaneStopped,
    Paused,
    RateChanged,
    Recovered,
    RequestSent,
    RowEnded,
    RowHeldBack,
    RowMoved,
    RowStarted,
    SourceEnded,
    Throttled,
    Waiting,
    Warned,
)
from batchcap.domain.models import Failure, Job, JobState, Outcome, Phase, Row, RowState, Totals
from batchcap.reports.lane_progress import Outlook
from batchcap.reports.snapshot import Snapshot, SourcesState, decode
from batchcap.reports.tracker import RunTracker
from tests.harness.clock import now
from tests.harness.rows import CAPTION
from tests.harness.rows import row as make_row

pytestmark = pytest.mark.anyio

BEFORE = Totals(
    total=13,
    by_provider={"mux": {"pending": 10, "done": 2}, "heygen": {"invalid": 1}},
)


def tracker(pending: int = 10, *, creates_jobs: bool = True) -> RunTracker:
    outlook = Outlook(
        pending=pending,
        bucket="mux.write",
        creates_jobs=creates_jobs,
        read_bucket="mux.read",
        reads=1.1,
        lengths={60.0: 20.0},
        notice=0.0,
    )
    return RunTracker(BEFORE, {"mux": outlook}, now)


def row(number: int) -> Row:
    return make_row(number, provider="mux")


def ended(number: int, code: str = "") -> RowEnded:
    outcome = Outcome(
        state=RowState.FAILED if code else RowState.DONE,
        started_at=0.0,
        finished_at=1.0,
        caption=None if code else CAPTION,
        failure=Failure(code, "why") if code else None,
        job=Job(id="j", state=JobState.COMPLETED, units=3),
    )
    return RowEnded(row(number), outcome)


def phases(snapshot: Snapshot) -> tuple[int, ...]:
    mux = snapshot.providers[0]
    return (mux.waiting, mux.at_provider, mux.downloading, mux.done, mux.failed)


async def test_tracker_counts_rows_by_phase_and_state() -> None:
    run = tracker()
    assert phases(run.snapshot()) == (10, 0, 0, 2, 0)
    for number in range(1, 6):
        run(RowStarted(row(number)))
    assert phases(run.snapshot()) == (10, 0, 0, 2, 0)
    for number in range(1, 5):
        run(RowMoved(row(number), Phase.AT_PROVIDER, now()))
    run(RowMoved(row(1), Phase.DOWNLOADING))
    run(RowMoved(row(2), Phase.WAITING))  # its job errored, and it gets a new one
    assert phases(run.snapshot()) == (7, 2, 1, 2, 0)
    run(ended(1))
    run(ended(3, "job_failed"))
    assert phases(run.snapshot()) == (7, 1, 0, 3, 1)
    snapshot = run.snapshot()
    assert (snapshot.bytes, snapshot.units) == (CAPTION.bytes, 6)
    assert snapshot.errors == {"job_failed": 1}
    assert [(p.name, p.total, p.invalid) for p in snapshot.providers] == [
        ("mux", 12, 0),
        ("heygen", 1, 1),
    ]
    assert sum(phases(snapshot)) == 12


async def test_tracker_of_rows_that_are_held_back_leaves_them_out_of_the_time_left() -> None:
    run = tracker()
    run(RateChanged("mux.write", 1.0))
    run(LaneStopped("mux", "no credit", "top up"))
    run(RowHeldBack(row(1), Failure("units_exhausted", "no credit")))
    snapshot = run.snapshot()
    assert snapshot.providers[0].is_stopped
    assert snapshot.providers[0].left == 0
    assert snapshot.problem == "no credit"


async def test_tracker_measures_requests_and_shows_pauses_until_they_end() -> None:
    run = tracker()
    run(RateChanged("mux.read", 5.0))
    run.snapshot()
    for _ in range(60):
        run(RequestSent("mux.read"))
        run(RequestSent("downloads"))
        await asyncio.sleep(0.5)
    run(Paused("mux.read", 40.0))
    buckets = {bucket.name: bucket for bucket in run.snapshot().buckets}
    assert buckets["mux.read"].rate == 5.0
    assert buckets["mux.read"].sent == pytest.approx(2.0, abs=0.1)
    assert buckets["mux.read"].paused_until == pytest.approx(now() + 40.0)
    assert buckets["downloads"].rate is None
    await asyncio.sleep(41)
    assert run.snapshot().buckets[0].paused_until is None


async def test_tracker_estimates_from_quota_open_jobs_and_lengths() -> None:
    run = tracker(pending=600)
    run(RateChanged("mux.write", 1.0))
    began = now()
    ends_at = run.snapshot().ends_at
    assert ends_at == pytest.approx(began + 600 + 60, abs=10)
    for number in range(1, 301):  # one job a second, each takes a minute
        run(RowMoved(row(number), Phase.AT_PROVIDER, now()))
        if number > 60:
            run(JobEnded(row(number - 60), 60.0))
            run(ended(number - 60))
        run.snapshot()
        await asyncio.sleep(1)
    assert run.snapshot().ends_at == pytest.approx(began + 660, abs=10)


async def test_tracker_knows_that_reads_can_be_the_limit() -> None:
    run = tracker(pending=600)
    run(RateChanged("mux.write", 100.0))
    run(RateChanged("mux.read", 1.1))
    ends_at = run.snapshot().ends_at
    assert ends_at == pytest.approx(now() + 660, abs=10)


async def test_tracker_shows_the_longest_pause_of_a_bucket() -> None:
    run = tracker()
    run(RateChanged("heygen", 5.0))
    run(Throttled("heygen", 30.0))
    run(Throttled("heygen", 5.0))
    assert run.snapshot().buckets[0].paused_until == pytest.approx(now() + 30, abs=0.01)


async def test_tracker_keeps_the_last_problem() -> None:
    run = tracker()
    run(Warned("first"))
    run(LaneStopped("mux", "no credit", "top up"))
    assert run.snapshot().problem == "no credit"


async def test_tracker_adds_a_pause_to_the_time_left_at_once() -> None:
    run = tracker(pending=600)
    run(RateChanged("mux.write", 1.0))
    first = run.snapshot().ends_at
    await asyncio.sleep(3)
    run(Paused("mux.write", 900.0))
    second = run.snapshot().ends_at
    assert first is not None
    assert second == pytest.approx(first + 900, abs=10)


async def test_tracker_whose_whole_run_was_a_pause_knows_no_pace() -> None:
    run = tracker()
    run(RateChanged("mux.write", None))
    run(Paused("mux.write", 100.0))
    for number in range(1, 4):
        run.snapshot()
        run(RowMoved(row(number), Phase.AT_PROVIDER, now()))
        await asyncio.sleep(5)
    assert run.snapshot().ends_at is None


async def test_tracker_without_quota_and_without_a_start_knows_no_end() -> None:
    assert tracker().snapshot().ends_at is None


async def test_tracker_paused_from_the_start_without_quota_knows_no_end() -> None:
    """All the time so far was the pause, in which a row that was on its way got its job."""
    run = tracker()
    run.snapshot()
    run(Paused("mux.write", 900.0))
    await asyncio.sleep(3)
    run(RowMoved(row(1), Phase.AT_PROVIDER, now()))
    assert run.snapshot().ends_at is None


async def test_tracker_counts_source_captions_if_any_are_to_be_fetched() -> None:
    assert tracker().snapshot().sources is None
    run = RunTracker(BEFORE, {}, now, sources=3)
    run(SourceEnded(row(1)))
    run(SourceEnded(row(2), "404"))
    assert run.snapshot().sources == SourcesState(3, fetched=1, failed=1)


async def test_tracker_forgets_the_waits_and_the_problem_of_a_server_that_recovered() -> None:
    run = tracker()
    run(Warned("mux is not responding; waiting for it to recover"))
    for _ in range(3):
        run(Waiting("mux", "its recovery", 50.0))
    run(Waiting("downloads", "another link", 20.0))
    waits = [(wait.where, wait.count) for wait in run.snapshot().waits]
    assert waits == [("mux", 3), ("downloads", 1)]
    run(Recovered("mux"))
    assert [wait.where for wait in run.snapshot().waits] == ["downloads"]
    assert run.snapshot().problem == ""
    await asyncio.sleep(21)
    assert run.snapshot().waits == []


async def test_snapshot_survives_its_way_through_the_ledger() -> None:
    run = tracker()
    run(RequestSent("downloads"))
    run(Warned("careful"))
    snapshot = run.snapshot()
    assert decode(msgspec.json.encode(snapshot).decode()) == snapshot
    assert decode(None) is decode("{}") is decode('{"at": "x"}') is None
