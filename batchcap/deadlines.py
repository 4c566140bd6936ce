"""Requests that take too long are ended, by one timer for all of them.

aiohttp's own `ClientTimeout(total=...)` makes a timer for every request and looks at
it with every read, which is a tenth of what a request costs. Here all get the same
time, so that who began first is late first: one timer follows the oldest.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadline:
    """`with deadline:` raises `TimeoutError` where the block takes longer than `seconds`.

    The task is cancelled where it waits, so the block must do nothing but network I/O.
    Any number of tasks may be in it, each once.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[asyncio.Task[object], tuple[float, int]] = {}
        self._late: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        ends = loop.time() + self._seconds
        self._running[task] = ends, task.cancelling()
        if self._timer is None:
            self._timer = loop.call_at(ends, self._end_late)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        _, cancelling = self._running.pop(task)
        if not self._running and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if task in self._late:
            self._late.remove(task)
            if task.uncancel() <= cancelling and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def _end_late(self) -> None:
        loop = asyncio.get_running_loop()
        for task, (ends, _) in self._running.items():
            if ends > loop.time():
                self._timer = loop.call_at(ends, self._end_late)
                return
            if task not in self._late:
                self._late.add(task)
                task.cancel()
        self._timer = None
