"""`--quality` and `--strict-captions` through a run: what is recorded, and what is refused."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec
import orjson
import pytest

from batchcap.app.quality import CaptionQuality
from batchcap.captions.downloader import MAX_IN_MEMORY
from batchcap.domain.models import FindingCount, Row
from batchcap.domain.quality import ERRORS, Finding, QualitySettings
from batchcap.reports.results import write_results
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.storage.ledger import open_ledger, open_reader
from tests.harness.rows import heygen_row, mux_row
from tests.harness.runs import RunResult, run_rows

pytestmark = pytest.mark.anyio

OPTIONS = SandboxOptions(heygen_running=0.0, job_seconds=1.0, job_seconds_max=2.0)
LOOK = QualitySettings(rules="none")
STRICT = QualitySettings(rules="none", strict=ERRORS)


async def run_checked(
    out: Path, rows: list[Row], quality: QualitySettings | None, **options: object
) -> RunResult:
    async with Sandbox(msgspec.structs.replace(OPTIONS, **options)) as sandbox:
        return await run_rows(sandbox, out, rows, quality=quality)


def refused(out: Path) -> list[bytes]:
    return [path.read_bytes() for path in (out / ".batchcap" / "refused").glob("*")]


async def test_run_without_quality_records_none(tmp_path: Path) -> None:
    result = await run_checked(tmp_path, [mux_row("film-oddcues")], None)
    assert [row["quality"] for row in result.results] == [None]


async def test_run_with_quality_counts_findings_in_ledger_and_results(tmp_path: Path) -> None:
    rows = [mux_row("film-oddcues"), mux_row("film"), heygen_row("v-silent")]
    result = await run_checked(tmp_path, rows, LOOK)
    odd, plain, silent = [row["quality"] for row in result.results]
    assert set(result.states().values()) == {"done"}
    assert {"zero_length", "reversed"} <= odd.keys()
    assert (plain, silent) == ({}, {"no_cues": 1})
    with closing(open_ledger(tmp_path)) as ledger:
        assert ledger.findings()["no_cues"] == FindingCount(1, 1)
        write_results(ledger, tmp_path)
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert [orjson.loads(line)["quality"] for line in lines] == [odd, plain, silent]


async def test_run_with_strict_captions_fails_the_row_and_keeps_the_file_aside(
    tmp_path: Path,
) -> None:
    rows = [mux_row("film-oddcues"), mux_row("film"), heygen_row("v-oddcues")]
    result = await run_checked(tmp_path, rows, STRICT)
    assert [*result.states().values()] == ["bad_quality", "done", "bad_quality"]
    assert not any((tmp_path / row.path).exists() for row in (rows[0], rows[2]))
    assert [row["quality"] for row in result.results] == [None, {}, None]
    message = result.by_key[rows[0].key]["error"]["message"]
    assert "zero_length in cue 1: 0 s long; reversed in cue 2: ends 1 s before" in message
    assert "kept as" in message
    assert len(refused(tmp_path)) == 2
    assert all(data.startswith(b"WEBVTT") for data in refused(tmp_path))
    assert result.metrics.requests["downloads"] == 3  # a second download would be the same


async def test_run_with_strict_findings_that_are_not_there_is_done(tmp_path: Path) -> None:
    settings = QualitySettings(rules="none", strict=frozenset({Finding.LOST_TERM}))
    result = await run_checked(tmp_path, [mux_row("film-oddcues")], settings)
    assert result.results[0]["quality"]["zero_length"] > 0


async def test_retry_without_strict_captions_accepts_what_was_refused(tmp_path: Path) -> None:
    row = mux_row("film-oddcues")
    async with Sandbox(OPTIONS) as sandbox:
        await run_rows(sandbox, tmp_path, [row], quality=STRICT)
        with closing(open_ledger(tmp_path)) as ledger:
            assert ledger.requeue_failed("bad_quality") == 1
        result = await run_rows(sandbox, tmp_path, quality=LOOK)
        assert sandbox.request_log.count("mux.create") == 1
    assert result.states() == {row.key: "done"}
    assert refused(tmp_path) == []


async def test_run_with_quality_checks_files_that_do_not_fit_into_memory(tmp_path: Path) -> None:
    size = MAX_IN_MEMORY + 100_000
    rows = [mux_row("film", "es"), mux_row("film", "ja")]
    result = await run_checked(tmp_path, rows, QualitySettings(), caption_bytes=size)
    assert all(row["quality"]["too_fast"] > 100 for row in result.results)
    strict = QualitySettings(strict=frozenset({Finding.TOO_FAST}))
    again = await run_checked(tmp_path, [mux_row("other")], strict, caption_bytes=size)
    assert again.states()["mux:other:es"] == "bad_quality"
    assert not [*tmp_path.glob("mux/*.part"), *tmp_path.glob("mux/.*.part")]


async def test_run_with_quality_compares_with_sources_that_are_there(tmp_path: Path) -> None:
    row = mux_row("film", never_translate=["film"])
    async with Sandbox(OPTIONS) as sandbox:
        await run_rows(sandbox, tmp_path, [row], fetch_sources=True)
        other = mux_row("film", "ja", never_translate=["harbour"])
        result = await run_rows(sandbox, tmp_path, [other], quality=LOOK)
    assert result.by_key[other.key]["quality"] == {"wrong_script": 1, "lost_term": 1}
    quality = CaptionQuality(LOOK, tmp_path)
    assert quality.examine_file(row) == {}
    (tmp_path / other.path).unlink()
    assert quality.examine_file(other) is None


async def test_reader_with_examine_checks_the_files_of_rows_that_are_done(tmp_path: Path) -> None:
    rows = [mux_row("film-oddcues"), mux_row("film-fails"), mux_row("film")]
    await run_checked(tmp_path, rows, None)
    (tmp_path / rows[2].path).write_bytes(b"<html>")
    examine = CaptionQuality(LOOK, tmp_path).examine_file
    with closing(open_reader(tmp_path, examine)) as ledger:
        odd, failed, damaged = [row["quality"] for row in ledger.results()]
    assert "reversed" in odd
    assert failed is None
    assert damaged == {"not_webvtt": 1}
