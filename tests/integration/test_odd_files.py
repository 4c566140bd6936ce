"""Caption files that players show although a strict reader would refuse them, through a run."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from batchcap.sandbox import Sandbox, SandboxOptions
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
