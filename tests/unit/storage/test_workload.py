"""What a ledger counts of the work that is left, and the rows that a run chooses of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from batchcap.domain.errors import UsageError
from batchcap.domain.models import InvalidRow, Job, JobState, Outcome, Row, RowState
from batchcap.domain.selection import Filter, Selection
from batchcap.domain.workload import PaidVideo, RowRules, TaskCount, Workload
from batchcap.storage.ledger import SqliteLedger, file, open_ledger, scratch_ledger
from tests.harness.clock import now
from tests.harness.rows import CAPTION, heygen_row, mux_row

pytestmark = pytest.mark.anyio

RULES = RowRules(
    publishes=lambda provider, params: provider == "mux" and params.get("upload_to_mux", True),
    reads_source=lambda provider, params: provider == "mux" and "track_id" not in params,
)
ROWS = [
    replace(mux_row("film-1", "es", track_id="t"), meta={"duration": "90"}),
    mux_row("film-1", "ja"),
    replace(mux_row("film-2", "es", upload_to_mux=False), meta={"duration": 30, "show": "b"}),
    replace(heygen_row("video"), meta={"show": "a"}),
]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with closing(open_ledger(tmp_path, create=True, now=now)) as opened:
        yield opened


def imported(ledger: SqliteLedger, rows: list[Row | InvalidRow], name: str = "m.csv") -> None:
    given = [
        replace(row, origin=f"{name}:{line}") if isinstance(row, Row) else row
        for line, row in enumerate(rows, 2)
    ]
    ledger.import_rows([(name, given)], skip_invalid=True)


async def finish(ledger: SqliteLedger, row: Row, units: int = 0) -> None:
    """Record a job of a row, and its caption."""
    job = Job(id=f"job of {row.key}", state=JobState.COMPLETED, units=units)
    await ledger.record_intent(row)
    await ledger.record_job(row, job.id or "")
    await ledger.record_outcome(
        row,
        Outcome(state=RowState.DONE, started_at=1.0, finished_at=2.0, caption=CAPTION, job=job),
    )


async def test_workloads_count_creates_sources_and_what_is_published(ledger: SqliteLedger) -> None:
    imported(ledger, list(ROWS))
    heygen, mux = ledger.workloads(RULES)
    assert heygen == Workload("heygen", 1, sources=1)
    assert mux == Workload(
        "mux",
        3,
        creates=3,
        published=2,
        timed=2,
        seconds=120.0,
        sources=2,
        shared=1,
        source_reads=2,
    )


async def test_workloads_leave_out_creates_of_rows_that_have_a_job(ledger: SqliteLedger) -> None:
    imported(ledger, list(ROWS))
    first, second, third = await ledger.pending("mux", 0, 3)
    await finish(ledger, first.row)
    await ledger.record_intent(second.row)
    await ledger.record_job(second.row, "running")
    await ledger.record_intent(third.row)
    await ledger.record_job(third.row, "failed")
    await ledger.record_job_ended(third.row, Job(id="failed", state=JobState.ERRORED))
    (mux,) = (work for work in ledger.workloads(RULES) if work.provider == "mux")
    assert (mux.rows, mux.with_job, mux.creates, mux.published) == (2, 1, 1, 0)


async def test_choose_limits_pending_rows_and_all_counts_of_them(ledger: SqliteLedger) -> None:
    imported(ledger, list(ROWS))
    assert ledger.choose(Selection(limit=2)) == 2
    assert [pending.row.key for pending in await ledger.pending("mux", 0, 10)] == [
        "mux:film-1:es",
        "mux:film-1:ja",
    ]
    assert ledger.providers_with_pending() == ["mux"]
    assert [work.rows for work in ledger.workloads(RULES)] == [2]
    assert ledger.pending_by_manifest() == {"m.csv": 2}
    assert ledger.totals().pending == 4


async def test_choose_holds_for_the_thread_that_records(ledger: SqliteLedger) -> None:
    imported(ledger, list(ROWS))
    ledger.choose(Selection((Filter("show", "b"),)))
    async with ledger.recording(threads=True):
        (pending,) = await ledger.pending("mux", 0, 10)
    assert pending.row.source_id == "film-2"


async def test_choose_counts_only_matching_rows_for_the_limit(ledger: SqliteLedger) -> None:
    imported(ledger, list(ROWS))
    assert ledger.choose(Selection((Filter("language", "es"),), limit=1)) == 1
    assert ledger.choose(Selection((Filter("language", "es"),))) == 2


async def test_choose_by_a_column_that_no_row_has_is_a_usage_error(ledger: SqliteLedger) -> None:
    imported(ledger, list(ROWS))
    with pytest.raises(UsageError, match="no pending row has a column titel"):
        ledger.choose(Selection((Filter("titel", "x"),)))


async def test_task_counts_are_those_of_the_last_import(ledger: SqliteLedger) -> None:
    imported(ledger, list(ROWS[:2]), "first.csv")
    (first, _) = await ledger.pending("mux", 0, 2)
    await finish(ledger, first.row)
    imported(ledger, [ROWS[0], ROWS[2]], "second.csv")
    assert ledger.task_counts() == [
        TaskCount("mux", "es", "done", 1),
        TaskCount("mux", "es", "pending", 1),
    ]
    assert ledger.pending_by_manifest() == {"first.csv": 1, "second.csv": 1}


async def test_problems_are_those_of_the_last_import(ledger: SqliteLedger) -> None:
    bad = InvalidRow(line=2, message="to_language_code: missing", origin="m.csv:2")
    imported(ledger, [bad])
    imported(ledger, [replace(bad, origin="n.csv:2")], "n.csv")
    assert list(ledger.problems()) == [("n.csv:2", "to_language_code: missing")]


async def test_paid_videos_need_units_and_a_length(ledger: SqliteLedger) -> None:
    imported(ledger, list(ROWS))
    for units, pending in zip((6, 5, 0), await ledger.pending("mux", 0, 3), strict=True):
        await finish(ledger, pending.row, units)
    assert ledger.paid_videos() == [PaidVideo(6, 90.0)]


async def test_scratch_ledger_changes_nothing_in_the_folder(
    ledger: SqliteLedger, tmp_path: Path
) -> None:
    imported(ledger, list(ROWS))
    files = sorted(tmp_path.rglob("*"))
    with scratch_ledger(tmp_path) as scratch:
        imported(scratch, [mux_row("film-9")], "other.csv")
        assert scratch.totals().pending == 5
    assert ledger.totals().pending == 4
    assert sorted(tmp_path.rglob("*")) == files


def test_scratch_ledger_of_a_folder_without_ledger_is_empty_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    with scratch_ledger(tmp_path / "captions") as scratch:
        assert scratch.totals().total == 0
    assert not (tmp_path / "captions").exists()


def test_scratch_ledger_reads_rows_that_a_run_has_not_checkpointed(
    ledger: SqliteLedger, tmp_path: Path
) -> None:
    imported(ledger, list(ROWS))
    assert file(tmp_path).with_name("ledger.sqlite-wal").stat().st_size
    with scratch_ledger(tmp_path) as scratch:
        assert scratch.totals().pending == 4
