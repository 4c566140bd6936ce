"""Mux shows some states late: its details, its lists and its tracks."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchcap.sandbox import Sandbox, SandboxOptions
from tests.harness.rows import mux_row
from tests.harness.runs import run_rows

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("count", [1, 40])
async def test_job_whose_detail_is_a_minute_late_ends_done(tmp_path: Path, count: int) -> None:
    rows = [mux_row(f"film-{number}") for number in range(count)]
    async with Sandbox(SandboxOptions(detail_lag_seconds=60.0)) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows)
        assert len(sandbox.request_log.creates) == count
    assert set(result.states().values()) == {"done"}


async def test_track_that_is_preparing_for_two_minutes_is_waited_for(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions(track_settle_seconds=120.0)) as sandbox:
        result = await run_rows(sandbox, tmp_path, [mux_row("id-nolink")])
        assert sandbox.request_log.count("mux.create") == 1
    assert result.states() == {"mux:id-nolink:es": "done"}
