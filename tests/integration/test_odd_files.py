"""Caption files that players show although a strict reader would refuse them, through a run."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.storage.ledger import open_reader
from batchcap.storage.sources import source_failures
from tests.harness.rows import heygen_row, mux_row
from tests.harness.runs import run_rows

pytestmark = pytest.mark.anyio

OPTIONS = SandboxOptions(heygen_running=0.0, job_seconds=1.0, job_seconds_max=2.0)


async def test_run_gets_captions_that_players_show_and_counts_their_cues(tmp_path: Path) -> None:
    rows = [mux_row("film-oddcues"), mux_row("film-silent"), heygen_row("v-oddcues")]
    async with Sandbox(OPTIONS) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows)
    assert set(result.states().values()) == {"done"}
    cues = {row["source_id"]: row["cues"] for row in result.results}
    assert cues["film-silent"] == 0
    assert cues["film-oddcues"] == cues["v-oddcues"] > 0


@pytest.mark.parametrize("encoding", ["UTF-8", "aws-chunked", "none", "binary", "", "gzip", "br"])
async def test_run_gets_sixty_plain_files_whatever_their_encoding_is_called(
    tmp_path: Path, encoding: str
) -> None:
    rows = [heygen_row(f"v-{number}") for number in range(60)]
    options = msgspec.structs.replace(OPTIONS, content_encoding=encoding)
    async with Sandbox(options) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows)
        assert sandbox.request_log.count("files2.file") == 60
    assert set(result.states().values()) == {"done"}


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no such names")
async def test_run_in_a_folder_whose_name_is_not_utf_8_records_what_it_refused(
    tmp_path: Path,
) -> None:
    out = tmp_path / os.fsdecode(b"out\xff")
    (out / "mux" / "film.es.vtt").mkdir(parents=True)
    rows = [mux_row("film"), mux_row("film-badvtt"), mux_row("film-badsource")]
    async with Sandbox(OPTIONS) as sandbox:
        result = await run_rows(sandbox, out, rows, fetch_sources=True)
    assert list(result.states().values()) == ["cannot_store", "bad_caption", "done"]
    with closing(open_reader(out)) as ledger:
        (failure,) = source_failures(ledger)
    for message in (*(row["error"]["message"] for row in result.results[:2]), failure.reason):
        assert "out\\udcff" in message
