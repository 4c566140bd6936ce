"""The counts of each minute, as a run keeps them in its ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest

from batchcap.domain.events import (
    JobCreated,
    RateChanged,
    RequestSent,
    RowEnded,
    RowStarted,
    Throttled,
)
from batchcap.domain.models import MinuteCount, Outcome, RowState
from batchcap.reports.time_line import SAVE_INTERVAL, TimeLine
from batchcap.storage.ledger import open_ledger
from tests.harness.clock import EPOCH, now, on_virtual_time
from tests.harness.rows import mux_row

START = EPOCH + 1000.0  # the virtual clock begins there
MINUTE = int(START // 60)


def counted(folder: Path, *stages: tuple[float, list[object]]) -> list[MinuteCount]:
    """Return the minutes of a run with events at these seconds."""

    async def main() -> list[MinuteCount]:
        assert now() == START
        ledger = open_ledger(folder, create=True, now=now)
        async with ledger.recording(threads=False), anyio.create_task_group() as group:
            line = TimeLine(ledger, now)
            group.start_soon(line.run)
            for at, events in stages:
                await asyncio.sleep(at - (now() - START))
                for event in events:
                    line(event)  # type: ignore[arg-type]  # events by their values
            group.cancel_scope.cancel()
        found = list(ledger.minutes())
        ledger.close()
        return found

    return on_virtual_time(main())


def test_time_line_counts_each_kind_under_its_source(tmp_path: Path) -> None:
    row = mux_row("a")
    ended = RowEnded(row, Outcome(state=RowState.DONE, started_at=EPOCH, finished_at=EPOCH))
    events = [RowStarted(row), RequestSent("mux.read"), RequestSent("mux.read"), ended]
    events += [JobCreated(row, "j"), Throttled("mux.write", 1.0), RequestSent("downloads")]
    minutes = counted(tmp_path, (0.0, [*events]))
    assert minutes == [
        MinuteCount(MINUTE, "downloads", "requests", 1),
        MinuteCount(MINUTE, "mux", "created", 1),
        MinuteCount(MINUTE, "mux", "done", 1),
        MinuteCount(MINUTE, "mux.read", "requests", 2),
        MinuteCount(MINUTE, "mux.write", "throttled", 1),
    ]


@pytest.mark.parametrize("rate", [0.3, 5.0])
def test_time_line_keeps_the_quota_of_a_rate(tmp_path: Path, rate: float) -> None:
    minutes = counted(tmp_path, (0.0, [RateChanged("mux.read", rate)]), (600.0, []))
    assert {(minute.source, minute.what) for minute in minutes} == {("mux.read", "quota")}
    assert sum(minute.count for minute in minutes) == pytest.approx(600 * rate, abs=1)
    assert max(minute.count for minute in minutes) == pytest.approx(60 * rate, abs=10 * rate)


def test_time_line_without_a_rate_has_no_quota(tmp_path: Path) -> None:
    assert counted(tmp_path, (0.0, [RateChanged("mux.read", None)]), (120.0, [])) == []


def test_time_line_assigns_an_event_to_the_minute_of_its_save(tmp_path: Path) -> None:
    minutes = counted(tmp_path, (150.0, [RequestSent("heygen")]))
    at = START + 150.0 - SAVE_INTERVAL
    assert [minute.minute for minute in minutes] in ([int(at // 60)], [int((START + 150) // 60)])
