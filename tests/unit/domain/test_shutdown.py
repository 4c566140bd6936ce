"""`ShutdownToken`: a request ends every wait, at once and from then on."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from batchcap.domain.errors import Stopped
from batchcap.domain.shutdown import ShutdownToken
from tests.harness.clock import clock

pytestmark = pytest.mark.anyio


async def stopped(stop: ShutdownToken, seconds: float) -> bool:
    try:
        await stop.sleep(seconds)
    except Stopped:
        return True
    return False


async def test_sleep_without_request_takes_its_time() -> None:
    started = clock()
    await ShutdownToken().sleep(5)
    assert clock() - started == pytest.approx(5, abs=1e-3)


@pytest.mark.parametrize("seconds", [0.0, -3.0])
async def test_sleep_of_no_time_returns_at_once(seconds: float) -> None:
    started = clock()
    await ShutdownToken().sleep(seconds)
    assert clock() - started < 0.001


async def test_request_ends_every_sleep_at_once() -> None:
    stop, started = ShutdownToken(), clock()
    sleeps = [asyncio.ensure_future(stopped(stop, 3600)) for _ in range(100)]
    await asyncio.sleep(1)
    stop.request()
    assert await asyncio.gather(*sleeps) == [True] * 100
    assert clock() - started < 1.1


async def test_sleep_after_request_raises_stopped() -> None:
    stop = ShutdownToken()
    stop.request()
    assert stop.requested
    assert await stopped(stop, 0)
    with pytest.raises(Stopped):
        stop.raise_if_requested()
    with pytest.raises(Stopped):
        stop.waiter()


async def test_raise_if_requested_before_request_returns() -> None:
    stop = ShutdownToken()
    stop.raise_if_requested()
    assert not stop.requested


async def test_second_request_has_no_effect() -> None:
    stop = ShutdownToken()
    wait = stop.waiter()
    stop.request()
    stop.request()
    with pytest.raises(Stopped):
        await wait


async def test_waiter_with_result_keeps_it_after_request() -> None:
    stop = ShutdownToken()
    wait = stop.waiter()
    wait.set_result("result")
    stop.request()
    assert await wait == "result"


async def test_sleep_cancelled_leaves_no_timer() -> None:
    stop = ShutdownToken()
    with anyio.move_on_after(1) as scope:
        await stop.sleep(10)
    assert scope.cancelled_caught
    await asyncio.sleep(20)
    stop.request()


async def test_finished_sleep_leaves_no_waiter() -> None:
    stop = ShutdownToken()
    for _ in range(50):
        await stop.sleep(0.1)
    await asyncio.sleep(0)
    assert not stop._waits
