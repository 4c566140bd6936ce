"""A sandbox for tests that are not asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from threading import Thread
from typing import Any

import pytest

from batchcap.sandbox import Sandbox, SandboxOptions
from tests.sandbox.client import EPOCH


class SandboxThread:
    """A sandbox in a thread, because schemathesis sends requests synchronously."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        self.sandbox: Sandbox | None = None

    def start(self, options: SandboxOptions) -> Sandbox:
        """Start a sandbox in place of the one before; returns it."""
        self.stop()
        self.sandbox = Sandbox(options)
        self._run(self.sandbox.start())
        return self.sandbox

    def advance(self, seconds: float) -> None:
        """Put the sandbox's clock forward."""

        async def advance() -> None:
            assert self.sandbox is not None
            self.sandbox.advance(seconds)

        self._run(advance())

    def stop(self) -> None:
        """Stop the sandbox, if there is one."""
        if self.sandbox is not None:
            self._run(self.sandbox.stop())
            self.sandbox = None

    def close(self) -> None:
        """End the thread."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@pytest.fixture(scope="module")
def sandbox_thread() -> Iterator[SandboxThread]:
    """Yield a thread in which sandboxes can be started."""
    thread = SandboxThread()
    yield thread
    thread.close()


@pytest.fixture(scope="module")
def threaded_sandbox() -> Iterator[Sandbox]:
    """Start a sandbox in a thread. It has room for any number of HeyGen's creates."""
    thread = SandboxThread()
    yield thread.start(SandboxOptions(heygen_concurrency=1_000_000))
    thread.close()


SLOW_JOBS = SandboxOptions(
    epoch=EPOCH,
    speed=0.0,
    job_seconds=6.0,
    job_sigma=1.0,
    job_seconds_max=60.0,
    heygen_finish_seconds=6.0,
    heygen_concurrency=1000,
)
"""Jobs of a few seconds by a clock that stands still: only `advance` puts it forward."""
