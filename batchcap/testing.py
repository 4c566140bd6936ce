"""An event loop on virtual time: ten hours of provider time in a second.

The loop polls real sockets without waiting. When nothing is ready and every
task sleeps, its clock jumps to the next timer; while a thread of an executor
works, it stands still. Unmodified aiohttp runs on it over loopback, client and
server in the same loop. Code that reads `time.monotonic()` itself is on real time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

_CREEP = 1e-9
"""Seconds that each iteration of the loop takes. If the clock stood still, code that waits
for 1e-16 s, as a rate limiter may, would spin for ever."""

_STUCK_AFTER = 30.0
"""Real seconds without any event after which a loop without timers is stuck."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, starting at `start` seconds."""

    def __init__(self, start: float = 1_000.0) -> None:
        self._virtual = start
        self._threads = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """The virtual time in seconds."""
        return self._virtual

    def jump(self, seconds: float) -> None:
        """Move the clock. asyncio asks for the seconds to its next timer."""
        self._virtual += seconds

    @property
    def standing_still(self) -> bool:
        """Whether a thread is at work, during which no time may pass."""
        return self._threads > 0

    def run_in_executor(  # type: ignore[override]  # typeshed spells the callable's arguments out
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run `func` as asyncio does, with the clock stopped until the thread is done."""
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self._threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _future: asyncio.Future[Any]) -> None:
        self._threads -= 1


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.jump(_CREEP)
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._loop.standing_still:
            return super().select(_STUCK_AFTER)
        if timeout is None:
            ready = super().select(_STUCK_AFTER)
            if not ready:
                raise RuntimeError("the virtual loop waits for an event that never comes")
            return ready
        self._loop.jump(timeout)
        return ready
