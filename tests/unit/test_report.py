"""results.jsonl, the summary and the last line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.errors import FatalError
from batchcap.events import RequestSent
from batchcap.interfaces import Ledger
from batchcap.ledger import open_ledger, results
from batchcap.model import (
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
from batchcap.report import Summary, duration, last_line, size, summarize, write_results
from batchcap.tally import Tally
from tests.fakes import EPOCH, row

pytestmark = pytest.mark.anyio

RESUME, RETRY = "batchcap resume", "batchcap resume --retry-failed"
FIELDS = {
    *("key", "provider", "source_id", "language", "state", "path", "bytes", "sha256", "cues"),
    *("job_id", "error", "started_at", "finished_at", "meta"),
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(open_ledger(tmp_path, create=True, now=lambda: EPOCH)) as opened:
        yield opened


async def filled(ledger: Ledger) -> None:
    """done, failed, invalid, pending; in manifest order."""
    rows: list[Row | InvalidRow] = [
        row(1, provider="mux", meta={"title": "ü", "n": 1}),
        row(2, provider="mux"),
        InvalidRow(line=4, message="asset_id: missing", origin="m.csv:4", provider="mux"),
        row(4, provider="heygen", language=None, params={}),
    ]
    ledger.import_rows([("m.csv", rows)], skip_invalid=True)
    works = await ledger.pending("mux", 0, 10)
    first, second = (work.row for work in works)
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


async def test_results_hold_one_object_a_task_in_manifest_order(
    ledger: Ledger, tmp_path: Path
) -> None:
    await filled(ledger)
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
    for one in (done, failed, pending):
        assert set(one) == FIELDS


async def test_results_are_replaced_as_a_whole(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text("old\n" * 1000)
    await filled(ledger)
    write_results(ledger, tmp_path)
    assert b"old" not in (tmp_path / "results.jsonl").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".batchcap", "results.jsonl"]


async def test_results_that_say_what_the_ledger_says_are_left_alone(
    ledger: Ledger, tmp_path: Path
) -> None:
    await filled(ledger)
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
async def test_results_are_written_anew_where_the_ledger_changed(
    ledger: Ledger, tmp_path: Path, change: Callable[[Ledger], object]
) -> None:
    await filled(ledger)
    write_results(ledger, tmp_path)
    before = (tmp_path / "results.jsonl").read_bytes()
    change(ledger)
    write_results(ledger, tmp_path)
    assert (tmp_path / "results.jsonl").read_bytes() != before


async def test_rows_that_are_known_leave_the_results_alone(ledger: Ledger, tmp_path: Path) -> None:
    await filled(ledger)
    write_results(ledger, tmp_path)
    inode = (tmp_path / "results.jsonl").stat().st_ino
    known = row(1, provider="mux", meta={"title": "ü", "n": 1})
    assert ledger.import_rows([("n.csv", [known])], skip_invalid=False).known == 1
    write_results(ledger, tmp_path)
    assert (tmp_path / "results.jsonl").stat().st_ino == inode


@given(st.floats(0, 4e9))
def test_times_are_rfc_3339_to_the_millisecond(seconds: float) -> None:
    shown = results._time(seconds)
    assert shown is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown)
    assert abs(datetime.fromisoformat(shown).timestamp() - seconds) <= 0.001


async def test_results_that_cannot_be_written_are_fatal_and_leave_no_part(
    ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "results.jsonl").mkdir()
    await filled(ledger)
    with pytest.raises(FatalError, match=r"cannot write .*results\.jsonl"):
        write_results(ledger, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".batchcap", "results.jsonl"]


BUCKETS = ("mux.write", "mux.read", "heygen", "downloads")


async def test_the_summary_has_the_names_of_the_contract(ledger: Ledger, tmp_path: Path) -> None:
    await filled(ledger)
    tally = Tally()
    for _ in range(4):
        tally(RequestSent("mux.read"))
    tally(RequestSent("downloads"))
    assert summarize(ledger, tmp_path, tally, 12.34567, BUCKETS).as_json() == {
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


def line(elapsed: float = 2590.0, **counts: Any) -> str:
    totals = Totals(total=sum(counts.values()), **counts)
    summary = Summary(totals, elapsed, {}, 0, "captions/results.jsonl")
    return last_line(summary, RESUME, RETRY)


def test_the_last_line_tells_the_result_and_the_next_step() -> None:
    assert line(done=9709, failed=291) == (
        "9,709 of 10,000 captions in 43m 10s, 291 failed (captions/results.jsonl). "
        "batchcap resume --retry-failed tries those again."
    )
    assert line(done=5) == "5 of 5 captions in 43m 10s (captions/results.jsonl)."
    assert line(7.0, done=1, skipped=2, invalid=3) == (
        "1 of 6 captions in 7.0s, 2 skipped, 3 invalid (captions/results.jsonl)."
    )
    assert line(7.0, done=1, failed=2, pending=3).endswith("). batchcap resume goes on.")


@pytest.mark.parametrize(
    ("seconds", "words"),
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
def test_a_duration_reads_well(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_340_000, "12.3 MB"),
        (5e9, "5.0 GB"),
        (7e15, "7000.0 TB"),
    ],
)
def test_a_size_reads_well(count: float, words: str) -> None:
    assert size(count) == words
