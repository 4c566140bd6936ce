"""Runs with a limit of units or time: creating stops, paid captions are fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchcap.domain.settings import Limits
from batchcap.domain.workload import UnitCost
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.sandbox.mux.assets import find_asset
from tests.harness.clock import now
from tests.harness.rows import mux_row
from tests.harness.runs import run_rows

pytestmark = pytest.mark.anyio

ROWS = [mux_row(f"film-{number}", track_id="t") for number in range(30)]


@pytest.mark.parametrize("cost", [None, UnitCost(1.0)], ids=["unknown", "too low"])
async def test_run_with_max_units_stops_creating_before_the_limit(
    tmp_path: Path, cost: UnitCost | None
) -> None:
    async with Sandbox(SandboxOptions(job_seconds=20, job_seconds_max=60)) as sandbox:
        limits = Limits(max_units=60, unit_cost=cost)
        ran = await run_rows(sandbox, tmp_path, ROWS, limits=limits, windows={"mux": 4})
        paid = sandbox.request_log.creates
    (fatal,) = ran.fatal
    assert "--max-units 60" in fatal.message
    states = list(ran.states().values())
    assert states.count("done") == len(paid)
    assert states.count("units_exhausted") == 30 - len(paid)
    assert 40 <= sum(job.outcome.units for job in paid) <= 60


@pytest.mark.parametrize("seed", range(3))
async def test_run_with_max_units_and_all_rows_at_once_stays_near_the_limit(
    tmp_path: Path, seed: int
) -> None:
    options = SandboxOptions(job_seconds=20, job_seconds_max=60, seed=seed)
    asset = find_asset("film-has-es")
    assert asset is not None
    rows = [mux_row("film-has-es", track_id=asset.tracks[0].id), *ROWS]
    async with Sandbox(options) as sandbox:
        ran = await run_rows(sandbox, tmp_path, rows, limits=Limits(max_units=60))
        units = [job.outcome.units for job in sandbox.request_log.creates]
    assert "--max-units 60" in ran.fatal[0].message
    assert ran.states()["mux:film-has-es:es"] == "done", "the caption existed, and cost nothing"
    assert sum(units) <= 60 + max(units)


async def test_run_with_enough_units_is_not_stopped(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        ran = await run_rows(sandbox, tmp_path, ROWS, limits=Limits(max_units=1e6))
    assert ran.fatal == []
    assert set(ran.states().values()) == {"done"}


async def test_run_at_the_deadline_stops_creating_and_fetches_what_was_paid(
    tmp_path: Path,
) -> None:
    options = SandboxOptions(job_seconds=30, job_sigma=0.01, job_seconds_max=31)
    rates = {"mux.write": 1.0, "mux.read": 5.0, "heygen": 5.0}
    async with Sandbox(options) as sandbox:
        limits = Limits(deadline=now() + 12)
        ran = await run_rows(sandbox, tmp_path, ROWS, limits=limits, rates=rates)
        created = len(sandbox.request_log.creates)
    (fatal,) = ran.fatal
    assert "--deadline" in fatal.message
    assert 8 <= created <= 13
    states = list(ran.states().values())
    assert states.count("done") == created
    assert states.count("units_exhausted") == 30 - created


async def test_run_that_has_created_all_jobs_by_the_deadline_is_not_stopped(
    tmp_path: Path,
) -> None:
    options = SandboxOptions(job_seconds=100, job_sigma=0.01, job_seconds_max=101)
    async with Sandbox(options) as sandbox:
        ran = await run_rows(sandbox, tmp_path, ROWS, limits=Limits(deadline=now() + 50))
    assert ran.fatal == []
    assert set(ran.states().values()) == {"done"}
