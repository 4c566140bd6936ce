"""The units that the jobs of a run may cost together."""

from __future__ import annotations

import anyio
import pytest

from batchcap.domain.errors import CreatesRefused
from batchcap.domain.models import Job, JobState, Row
from batchcap.engine import UnitBudget
from batchcap.engine.unit_budget import FEW_JOBS, MARGIN
from tests.harness.rows import row

pytestmark = pytest.mark.anyio

ROWS = [row(number) for number in range(1, 6)]


def completed(units: int) -> Job:
    return Job(id="j", state=JobState.COMPLETED, units=units)


def costs(units: float | None, limit: float) -> UnitBudget:
    return UnitBudget(limit, lambda _: units)


async def has_to_wait(budget: UnitBudget, waiting: Row) -> bool:
    with anyio.move_on_after(1) as scope:
        await budget.reserve(waiting)
    return scope.cancelled_caught


async def test_unit_budget_reserves_what_fits_and_refuses_the_rest_once_spent() -> None:
    budget = costs(2.0, limit=5.0)
    await budget.reserve(ROWS[0])
    await budget.reserve(ROWS[1])
    assert await has_to_wait(budget, ROWS[2])
    budget.settle(ROWS[0], completed(2))
    budget.settle(ROWS[1], completed(2))
    with pytest.raises(CreatesRefused, match="4 of --max-units 5"):
        await budget.reserve(ROWS[2])


async def test_unit_budget_waits_for_a_job_that_may_be_cheaper_than_expected() -> None:
    budget = costs(4.0, limit=5.0)
    await budget.reserve(ROWS[0])
    async with anyio.create_task_group() as group:
        group.start_soon(budget.reserve, ROWS[1])
        await anyio.sleep(1)
        budget.settle(ROWS[0], completed(1))
    assert await has_to_wait(budget, ROWS[2])


async def test_unit_budget_of_unknown_costs_learns_from_one_job() -> None:
    budget = costs(None, limit=MARGIN * 4 + 5)
    await budget.reserve(ROWS[0])
    assert await has_to_wait(budget, ROWS[1])
    budget.settle(ROWS[0], completed(4))
    await budget.reserve(ROWS[1])
    assert await has_to_wait(budget, ROWS[2])


async def test_unit_budget_after_a_cheap_first_job_lets_no_more_jobs_run_than_have_ended() -> None:
    budget = costs(None, limit=1000.0)
    await budget.reserve(ROWS[0])
    budget.settle(ROWS[0], completed(1))
    await budget.reserve(ROWS[1])
    await budget.reserve(ROWS[2])
    assert await has_to_wait(budget, ROWS[3])


async def test_unit_budget_learns_nothing_from_a_caption_that_existed() -> None:
    budget = costs(None, limit=1000.0)
    await budget.reserve(ROWS[0])
    budget.settle(ROWS[0], completed(0))
    await budget.reserve(ROWS[1])
    assert await has_to_wait(budget, ROWS[2])


async def test_unit_budget_of_unknown_costs_needs_no_margin_after_some_jobs() -> None:
    budget = costs(None, limit=FEW_JOBS * 4 + 8)
    for number in range(10, 10 + FEW_JOBS):
        await budget.reserve(row(number))
        budget.settle(row(number), completed(4))
    await budget.reserve(ROWS[0])
    await budget.reserve(ROWS[1])
    assert await has_to_wait(budget, ROWS[2])


async def test_unit_budget_counts_a_job_that_has_not_ended_as_expected() -> None:
    budget = costs(3.0, limit=5.0)
    await budget.reserve(ROWS[0])
    budget.settle(ROWS[0], Job(id="j", state=JobState.RUNNING))
    with pytest.raises(CreatesRefused):
        await budget.reserve(ROWS[1])


async def test_unit_budget_gives_back_what_no_job_was_created_for() -> None:
    budget = costs(3.0, limit=3.0)
    await budget.reserve(ROWS[0])
    budget.release(ROWS[0])
    await budget.reserve(ROWS[1])


async def test_unit_budget_reserves_once_for_a_row_that_is_sent_again() -> None:
    budget = costs(2.0, limit=3.0)
    await budget.reserve(ROWS[0])
    await budget.reserve(ROWS[0])


async def test_unit_budget_raises_what_it_expects_if_a_job_was_dearer() -> None:
    budget = costs(2.0, limit=10.0)
    await budget.reserve(ROWS[0])
    budget.settle(ROWS[0], completed(4))  # twice as dear
    await budget.reserve(ROWS[1])
    assert await has_to_wait(budget, ROWS[2])
