"""A stop ends every wait, at once and from then on."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from batchcap.domain.errors import Stopped
from batchcap.domain.shutdown import Stop
from tests.fakes import clock

pytestmark = pytest.mark.anyio


async def stopped(stop: Stop, seconds: float) -> bool:
    try:
        await stop.sleep(seconds)
    except Stopped:
        return True
    return False


async def test_a_sleep_takes_its_time_where_nobody_stops() -> None:
    started = clock()
    await Stop().sleep(5)
    assert clock() - started == pytest.approx(5, abs=1e-3)


@pytest.mark.parametrize("seconds", [0.0, -3.0])
async def test_a_sleep_of_no_time_is_over_at_once(seconds: float) -> None:
    started = clock()
    await Stop().sleep(seconds)
    assert clock() - started < 0.001


async def test_a_stop_ends_every_sleep_at_once() -> None:
    stop, started = Stop(), clock()
    sleeps = [asyncio.ensure_future(stopped(stop, 3600)) for _ in range(100)]
    await asyncio.sleep(1)
    stop.request()
    assert await asyncio.gather(*sleeps) == [True] * 100
    assert clock() - started < 1.1


async def test_no_sleep_starts_after_a_stop() -> None:
    stop = Stop()
    stop.request()
    assert stop.requested
    assert await stopped(stop, 0)
    with pytest.raises(Stopped):
        stop.check()
    with pytest.raises(Stopped):
        stop.future()


async def test_check_passes_before_a_stop() -> None:
    stop = Stop()
    stop.check()
    assert not stop.requested


async def test_a_stop_may_be_requested_twice() -> None:
    stop = Stop()
    wait = stop.future()
    stop.request()
    stop.request()
    with pytest.raises(Stopped):
        await wait


async def test_a_wait_that_was_settled_keeps_its_result_through_a_stop() -> None:
    stop = Stop()
    wait = stop.future()
    wait.set_result("landed")
    stop.request()
    assert await wait == "landed"


async def test_a_cancelled_sleep_leaves_no_timer_that_fails_later() -> None:
    stop = Stop()
    with anyio.move_on_after(1) as scope:
        await stop.sleep(10)
    assert scope.cancelled_caught
    await asyncio.sleep(20)
    stop.request()


async def test_waits_that_are_over_are_forgotten() -> None:
    stop = Stop()
    for _ in range(50):
        await stop.sleep(0.1)
    await asyncio.sleep(0)
    assert not stop._waits
