"""So many at once, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import cached_property


class Slots:
    """A semaphore whose slots are handed over.

    As asyncio's, which asks for the loop at every wait: before Python 3.12 that is a
    call of the system, and files wait once each.
    """

    def __init__(self, count: int) -> None:
        self.free = count
        self._line: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Take a slot, when it is one's turn; then `release` must be called."""
        if self.free:
            self.free -= 1
            return
        turn: asyncio.Future[None] = self._loop.create_future()
        self._line.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a slot to the first in line that still waits."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()
