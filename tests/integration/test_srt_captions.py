"""HeyGen translations of which there is an SRT file alone."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from batchcap.app.verify import Verdict, check_files
from batchcap.captions import webvtt
from batchcap.captions.srt import to_webvtt
from batchcap.reports.result_table import ResultTable
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.sandbox.caption_text import make_srt
from batchcap.storage.ledger import open_reader
from tests.harness.rows import heygen_row
from tests.harness.runs import run_rows

pytestmark = pytest.mark.anyio


async def test_srt_is_converted_and_the_results_say_so(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        rows = [heygen_row("tr-srtonly-1"), heygen_row("tr-2")]
        result = await run_rows(sandbox, tmp_path, rows)
    converted, served = (result.by_key[f"heygen:{name}"] for name in ("tr-srtonly-1", "tr-2"))
    assert converted["state"] == served["state"] == "done"
    assert converted["converted_from"] == "srt"
    assert "converted_from" not in served
    data = (tmp_path / converted["path"]).read_bytes()
    assert webvtt.check(data) == converted["cues"] > 0
    assert len(data) == converted["bytes"]
    verdict = Verdict()
    check_files(open_reader(tmp_path), tmp_path, verdict, lambda problem: pytest.fail(str(problem)))
    assert verdict.checked == 2
    with closing(open_reader(tmp_path)) as ledger:
        table = ResultTable(ledger)
        column = table.columns.index("converted_from")
        assert [table.record(shown)[column] for shown in ledger.results()] == ["srt", None]


async def test_webvtt_that_comes_a_moment_later_is_not_converted(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        result = await run_rows(sandbox, tmp_path, [heygen_row("tr-latelink-1")])
    assert result.by_key["heygen:tr-latelink-1"]["state"] == "done"
    assert "converted_from" not in result.by_key["heygen:tr-latelink-1"]


async def test_srt_larger_than_what_is_held_of_webvtt_is_converted(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions(caption_bytes=600_000)) as sandbox:
        result = await run_rows(sandbox, tmp_path, [heygen_row("tr-srtonly-1")])
    shown = result.by_key["heygen:tr-srtonly-1"]
    assert (shown["state"], shown["converted_from"]) == ("done", "srt")
    assert shown["bytes"] > 500_000


async def test_srt_above_the_limit_is_refused(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions(caption_bytes=600_000)) as sandbox:
        rows = [heygen_row("tr-srtonly-1")]
        result = await run_rows(sandbox, tmp_path, rows, max_caption=100_000)
    assert result.states() == {"heygen:tr-srtonly-1": "bad_caption"}
    assert "--max-caption" in result.by_key["heygen:tr-srtonly-1"]["error"]["message"]


def test_srt_of_the_sandbox_has_the_cues_of_its_webvtt() -> None:
    data = make_srt("tr", "es", 4000)
    assert webvtt.check(to_webvtt(data)) == data.count(b"-->")
