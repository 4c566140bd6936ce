"""A sandbox for tests that are not asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Event, Thread

import pytest

from batchcap.sandbox import Sandbox, SandboxOptions


@pytest.fixture(scope="module")
def threaded_sandbox() -> Iterator[Sandbox]:
    """Start a sandbox in a thread, because schemathesis sends requests synchronously."""
    sandbox = Sandbox(SandboxOptions(heygen_concurrency=1_000_000))  # no valid create gets a 429
    is_listening, stop = Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        async with sandbox:
            is_listening.set()
            await stop.wait()

    thread = Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert is_listening.wait(10)
    yield sandbox
    loops[0].call_soon_threadsafe(stop.set)
    thread.join()
