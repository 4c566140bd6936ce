"""results.jsonl, the summary and the last line."""

from __future__ import annotations

import itertools
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.domain.errors import FatalError
from batchcap.domain.events import RequestSent
from batchcap.domain.ledger_protocols import Ledger
from batchcap.domain.models import (
    Caption,
    Failure,
    InvalidRow,
    Job,
    JobState,
    Outcome,
    Row,
    RowState,
    Totals,
)
from batchcap.reports.metrics import Metrics
from batchcap.reports.results import (
    Summary,
    duration,
    last_line,
    repair_line,
    size,
    summarize,
    write_results,
)
from batchcap.storage.ledger import SqliteLedger, open_ledger, results, schema
from tests.harness.clock import EPOCH, now
from tests.harness.rows import row

pytestmark = pytest.mark.anyio

RESUME, RETRY = "batchcap resume", "batchcap resume --retry-failed"
FIELDS = {
    *(
        "key",
        "provider",
        "source_id",
        "language",
        "state",
        "path",
        "bytes",
        "sha256",
        "cues",
        "quality",
    ),
    *("job_id", "error", "started_at", "finished_at", "meta"),
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(open_ledger(tmp_path, create=True, now=lambda: EPOCH)) as opened:
        yield opened


async def fill(ledger: Ledger) -> None:
    """Add a row that is done, one failed, one invalid and one pending."""
    rows: list[Row | InvalidRow] = [
        row(1, provider="mux", meta={"title": "ü", "n": 1}),
        row(2, provider="mux"),
        InvalidRow(line=4, message="asset_id: missing", origin="m.csv:4", provider="mux"),
        row(4, provider="heygen", language=None, params={}),
    ]
    ledger.import_rows([("m.csv", rows)], skip_invalid=True)
    pending_rows = await ledger.pending("mux", 0, 10)
    first, second = (work.row for work in pending_rows)
    await ledger.record_intent(first)
    await ledger.record_job(first, "job-1")
    job = Job(id="job-1", state=JobState.COMPLETED, units=3)
    done = Outcome(
        state=RowState.DONE,
        started_at=EPOCH,
        finished_at=EPOCH + 1.5,
        caption=Caption(10, "ab", 2),
        job=job,
    )
    await ledger.record_outcome(first, done)
    failure = Failure("job_failed", "no speech", retryable=True)
    failed = Outcome(
        state=RowState.FAILED, started_at=EPOCH, finished_at=EPOCH + 2, failure=failure
    )
    await ledger.record_outcome(second, failed)


async def test_results_hold_one_object_for_each_row_in_manifest_order(
    ledger: Ledger, tmp_path: Path
) -> None:
    await fill(ledger)
    write_results(ledger, tmp_path)
    lines = (tmp_path / "results.jsonl").read_bytes().splitlines()
    done, failed, invalid, pending = map(orjson.loads, lines)
    assert done == {
        "key": "mux:source1:es",
        "provider": "mux",
        "source_id": "source1",
        "language": "es",
        "state": "done",
        "path": "mux/source1.es.vtt",
        "bytes": 10,
        "sha256": "ab",
        "cues": 2,
        "quality": None,
        "job_id": "job-1",
        "error": None,
        "started_at": "2026-09-21T14:13:20.000Z",
        "finished_at": "2026-09-21T14:13:21.500Z",
        "meta": {"title": "ü", "n": 1},
    }
    assert failed["state"] == "failed"
    assert failed["error"] == {"code": "job_failed", "message": "no speech", "retryable": True}
    assert (invalid["state"], invalid["line"], invalid["provider"]) == ("invalid", 4, "mux")
    assert invalid["error"]["code"] == "invalid"
    assert (pending["state"], pending["language"], pending["error"]) == ("pending", None, None)
    for result in (done, failed, pending):
        assert set(result) == FIELDS


async def test_results_are_replaced_as_a_whole(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text("old\n" * 1000)
    await fill(ledger)
    write_results(ledger, tmp_path)
    assert b"old" not in (tmp_path / "results.jsonl").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".batchcap", "results.jsonl"]


async def test_results_up_to_date_are_left_alone(ledger: Ledger, tmp_path: Path) -> None:
    await fill(ledger)
    written = tmp_path / "results.jsonl"
    write_results(ledger, tmp_path)
    first, inode = written.read_bytes(), written.stat().st_ino
    write_results(ledger, tmp_path)
    assert written.stat().st_ino == inode
    written.write_bytes(first[:-5])
    write_results(ledger, tmp_path)
    assert written.read_bytes() == first
    written.unlink()
    write_results(ledger, tmp_path)
    assert written.read_bytes() == first


@pytest.mark.parametrize(
    "change",
    [
        lambda ledger: ledger.requeue_failed(None),
        lambda ledger: ledger.requeue_damaged([1]),
        lambda ledger: ledger.import_rows([("n.csv", [row(9)])], skip_invalid=False),
        lambda ledger: ledger.import_rows([("m.csv", [row(9)])], skip_invalid=False),
    ],
)
async def test_results_after_a_change_of_the_ledger_are_rewritten(
    ledger: Ledger, tmp_path: Path, change: Callable[[Ledger], object]
) -> None:
    await fill(ledger)
    write_results(ledger, tmp_path)
    before = (tmp_path / "results.jsonl").read_bytes()
    change(ledger)
    write_results(ledger, tmp_path)
    assert (tmp_path / "results.jsonl").read_bytes() != before


async def test_results_after_importing_known_rows_are_left_alone(
    ledger: Ledger, tmp_path: Path
) -> None:
    await fill(ledger)
    write_results(ledger, tmp_path)
    inode = (tmp_path / "results.jsonl").stat().st_ino
    known_row = row(1, provider="mux", meta={"title": "ü", "n": 1})
    assert ledger.import_rows([("n.csv", [known_row])], skip_invalid=False).known == 1
    write_results(ledger, tmp_path)
    assert (tmp_path / "results.jsonl").stat().st_ino == inode


@given(st.floats(0, 4e9))
def test_results_times_are_rfc_3339_in_milliseconds(seconds: float) -> None:
    shown = results._time(seconds)
    assert shown is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown)
    assert abs(datetime.fromisoformat(shown).timestamp() - seconds) <= 0.001


async def test_results_unwritable_raise_and_leave_no_temporary_file(
    ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "results.jsonl").mkdir()
    await fill(ledger)
    with pytest.raises(FatalError, match=r"cannot write .*results\.jsonl"):
        write_results(ledger, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".batchcap", "results.jsonl"]


BUCKETS = ("mux.write", "mux.read", "heygen", "downloads")


class Interrupted(SqliteLedger):
    """A ledger during whose reading the user presses Ctrl-C."""

    def result_lines(self) -> Iterator[bytes]:
        yield from itertools.islice(super().result_lines(), 1)
        os.kill(os.getpid(), signal.SIGINT)
        yield b"never written"


def test_results_interrupted_leave_no_temporary_file(tmp_path: Path) -> None:
    connection = schema.connect(tmp_path, create=True)
    with closing(Interrupted(connection, schema.file(tmp_path), tmp_path, now=now)) as ledger:
        ledger.import_rows([("m.csv", [row(1)])], skip_invalid=False)
        with pytest.raises(KeyboardInterrupt):
            write_results(ledger, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".batchcap"]


async def test_summary_has_the_documented_names(ledger: Ledger, tmp_path: Path) -> None:
    await fill(ledger)
    metrics = Metrics()
    for _ in range(4):
        metrics(RequestSent("mux.read"))
    metrics(RequestSent("downloads"))
    assert summarize(ledger, tmp_path, metrics, 12.34567, BUCKETS).as_json() == {
        "total": 4,
        "done": 1,
        "failed": 1,
        "skipped": 0,
        "invalid": 1,
        "pending": 1,
        "elapsed_seconds": 12.346,
        "bytes": 10,
        "requests": {"mux.write": 0, "mux.read": 4, "heygen": 0, "downloads": 1},
        "throttled": 0,
        "units_consumed": 3,
        "errors": {"job_failed": 1},
        "results": str(tmp_path / "results.jsonl"),
    }


def line(
    elapsed: float = 2590.0, without_cues: int = 0, *, can_retry: bool = False, **counts: Any
) -> str:
    totals = Totals(total=sum(counts.values()), without_cues=without_cues, **counts)
    summary = Summary(totals, elapsed, {}, 0, "captions/results.jsonl")
    return last_line(summary, RESUME, RETRY if can_retry else "")


def test_last_line_shows_result_and_next_step() -> None:
    assert line(done=9709, failed=291, can_retry=True) == (
        "9,709 of 10,000 captions in 43m 10s, 291 failed (captions/results.jsonl). "
        "To try failed rows again: batchcap resume --retry-failed"
    )
    assert (
        line(done=4, failed=1) == "4 of 5 captions in 43m 10s, 1 failed (captions/results.jsonl)."
    )
    assert line(done=5) == "5 of 5 captions in 43m 10s (captions/results.jsonl)."
    assert line(7.0, done=1, skipped=2, invalid=3) == (
        "1 of 6 captions in 7.0s, 2 skipped, 3 invalid (captions/results.jsonl)."
    )
    assert line(7.0, done=9, without_cues=2) == (
        "9 of 9 captions in 7.0s; 2 without a cue, as silent videos have (captions/results.jsonl)."
    )
    assert line(7.0, done=1, failed=2, pending=3).endswith("). To continue: batchcap resume")


def test_repair_line_shows_result_and_next_step() -> None:
    def repaired(repaired: int, not_repaired: int = 0, repair: str = "") -> str:
        retry = RETRY if not_repaired > 1 else ""
        return repair_line(repaired=repaired, not_repaired=not_repaired, repair=repair, retry=retry)

    assert repaired(1) == "1 file repaired."
    assert repaired(1200, 3) == (
        "1,200 files repaired, 3 not. To try again: batchcap resume --retry-failed"
    )
    assert repaired(0, 1, "batchcap verify --repair") == (
        "0 files repaired, 1 not, others remain. To continue: batchcap verify --repair"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (7.26, "7.3s"),
        (59.94, "59.9s"),
        (59.97, "1m 00s"),
        (60, "1m 00s"),
        (119.6, "2m 00s"),
        (2590, "43m 10s"),
        (3599.7, "1h 00m"),
        (7500, "2h 05m"),
        (360_000, "100h 00m"),
    ],
)
def test_duration_is_formatted(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_340_000, "12.3 MB"),
        (5e9, "5.0 GB"),
        (7e15, "7000.0 TB"),
    ],
)
def test_size_is_formatted(count: float, text: str) -> None:
    assert size(count) == text
