"""The event loop on virtual time."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import pytest
from aiohttp import web

from batchcap.testing import VirtualLoop
from tests.harness.clock import clock
from tests.harness.servers import http_server

pytestmark = pytest.mark.anyio


async def test_virtual_loop_sleeps_ten_hours_in_no_time() -> None:
    real, virtual = time.monotonic(), clock()
    await asyncio.sleep(36_000)
    assert clock() - virtual == pytest.approx(36_000, abs=1e-3)
    assert time.monotonic() - real < 5


async def test_virtual_loop_starts_at_the_given_time() -> None:
    loop = VirtualLoop(start=77.0)
    try:
        assert loop.time() == 77.0
    finally:
        loop.close()


async def test_virtual_loop_timers_fire_in_order() -> None:
    fired: list[int] = []

    async def late(number: int) -> None:
        await asyncio.sleep(number)
        fired.append(number)

    await asyncio.gather(*(late(number) for number in (5, 1, 3, 2, 4)))
    assert fired == [1, 2, 3, 4, 5]


async def test_virtual_loop_stands_still_while_a_thread_works() -> None:
    started, fired = clock(), asyncio.Event()
    timer = asyncio.get_running_loop().call_later(0.001, fired.set)
    with ThreadPoolExecutor(1) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, time.sleep, 0.05)
    assert clock() - started < 0.001
    assert not fired.is_set()
    timer.cancel()


async def test_virtual_loop_goes_on_after_a_thread_failed() -> None:
    with pytest.raises(ZeroDivisionError):
        await asyncio.get_running_loop().run_in_executor(None, divmod, 1, 0)
    started = clock()
    await asyncio.sleep(100)
    assert clock() - started >= 100


async def test_virtual_loop_runs_unmodified_client_and_server() -> None:
    async def slowly(_request: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response(text="at last")

    started = clock()
    async with http_server(slowly) as url, aiohttp.ClientSession() as session:
        timeout = aiohttp.ClientTimeout(total=7200)
        async with session.get(url, timeout=timeout) as response:
            assert await response.text() == "at last"
    assert clock() - started >= 3600


async def test_virtual_loop_client_timeout_is_virtual() -> None:
    async def never(_request: web.Request) -> web.Response:
        await asyncio.sleep(10**6)
        return web.Response()

    started = clock()
    async with http_server(never) as url, aiohttp.ClientSession() as session:
        with pytest.raises(TimeoutError):
            await session.get(url, timeout=aiohttp.ClientTimeout(total=60))
    assert 59 <= clock() - started < 70


async def test_virtual_loop_tiny_sleep_does_not_spin() -> None:
    """A rate limiter may sleep for the remaining 1e-16 s before its deadline."""
    until, turns = clock() + 1e-12, 0
    while clock() < until:
        await asyncio.sleep(0)
        turns += 1
    assert turns < 10
