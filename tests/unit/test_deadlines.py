"""One timer for all who wait: everybody has the same time, and nobody more."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from batchcap.deadlines import Deadline
from tests.fakes import clock

pytestmark = pytest.mark.anyio


async def waited(deadline: Deadline, seconds: float, after: float = 0.0) -> tuple[str, float]:
    """How a wait that began `after` so many seconds ended, and how long it took."""
    await asyncio.sleep(after)
    began = clock()
    try:
        with deadline:
            await asyncio.sleep(seconds)
    except TimeoutError:
        return "late", round(clock() - began, 3)
    return "done", round(clock() - began, 3)


async def test_a_wait_within_its_time_is_left_alone() -> None:
    assert await waited(Deadline(10.0), 9.9) == ("done", 9.9)


async def test_a_longer_wait_ends_in_a_timeout() -> None:
    assert await waited(Deadline(10.0), 1000.0) == ("late", 10.0)


async def test_each_has_the_same_time_whoever_ends_before() -> None:
    deadline = Deadline(10.0)
    waits = [(1000.0, 0.0), (3.0, 1.0), (1000.0, 2.0), (9.0, 3.0), (1000.0, 9.0), (1.0, 30.0)]
    found = await asyncio.gather(*(waited(deadline, *one) for one in waits))
    assert [how for how, _ in found] == ["late", "done", "late", "done", "late", "done"]
    assert [took for _, took in found] == [10.0, 3.0, 10.0, 9.0, 10.0, 1.0]


async def test_a_task_goes_on_after_a_timeout_and_may_wait_again() -> None:
    deadline, task = Deadline(10.0), asyncio.current_task()
    assert task is not None
    for _ in range(3):
        assert await waited(deadline, 1000.0) == ("late", 10.0)
        assert task.cancelling() == 0
    assert await waited(deadline, 5.0) == ("done", 5.0)


async def test_a_timer_left_behind_ends_nobody() -> None:
    deadline = Deadline(10.0)
    assert await waited(deadline, 1.0) == ("done", 1.0)
    assert await waited(deadline, 9.5) == ("done", 9.5)


async def test_an_error_of_the_block_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="its own"), Deadline(10.0):
        raise ValueError("its own")


async def test_a_cancelled_wait_is_cancelled_and_not_late() -> None:
    task = asyncio.ensure_future(waited(Deadline(10.0), 1000.0))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_is_cancelled_in_the_moment_of_the_timeout_is_cancelled() -> None:
    task = asyncio.ensure_future(waited(Deadline(10.0), 1000.0))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(10.0, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_outer_scope_that_ends_first_ends_the_wait_its_own_way() -> None:
    began = clock()
    with anyio.move_on_after(2) as scope, Deadline(10.0):
        await asyncio.sleep(1000)
    assert scope.cancelled_caught
    assert clock() - began == pytest.approx(2)


async def test_a_late_wait_inside_a_scope_leaves_the_scope_open() -> None:
    with anyio.move_on_after(20) as scope:
        assert await waited(Deadline(10.0), 1000.0) == ("late", 10.0)
        await asyncio.sleep(5)
    assert not scope.cancelled_caught
