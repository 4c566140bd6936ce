"""Work that is cheaper by the batch: one sync of the disk, or one commit, serves many callers.

Items that come while a batch is under way share the next one. The work runs in a
thread, or inline once a turn of the event loop if there is no executor (virtual time);
callers cannot tell the difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

LINGER = 0.005
"""Seconds for which a batch waits for more items, because waking a thread costs more than the
work for most single items."""
FULL_BATCH = 64
"""Items for which a batch does not wait any longer: that would cost more than it saves."""


class Batcher(Generic[T, R]):
    """Collects items and calls `work` with them, one batch after the other.

    `work` returns one result or exception for each item, in order, or raises for all
    of them.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R | Exception]],
        executor: Executor | None,
    ) -> None:
        self._work = work
        self._executor = executor
        self._items: list[tuple[T, asyncio.Future[R] | None]] = []
        self._running: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> R:
        """Have an item done; return its result or raise its exception.

        Once submitted, an item is done even if the caller is cancelled.
        """
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._add(item, done)
        return await done

    def submit_nowait(self, item: T) -> None:
        """Have an item done soon. Its result or exception is discarded."""
        self._add(item, None)

    async def drain(self) -> None:
        """Return when everything that was submitted is done."""
        while self._running is not None:
            await asyncio.wait([self._running])

    def _add(self, item: T, done: asyncio.Future[R] | None) -> None:
        self._items.append((item, done))
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._items:
                if self._executor is not None and len(self._items) < FULL_BATCH:
                    await asyncio.sleep(LINGER)
                batch, self._items = self._items, []
                await self._process(batch)
        finally:
            self._running = None

    async def _process(self, batch: list[tuple[T, asyncio.Future[R] | None]]) -> None:
        items = [item for item, _ in batch]
        results: Sequence[R | Exception]
        try:
            if self._executor is None:
                results = self._work(items)
            else:
                loop = asyncio.get_running_loop()
                results = await loop.run_in_executor(self._executor, self._work, items)
        except Exception as error:
            results = [error] * len(items)
        for (_, done), result in zip(batch, results, strict=True):
            if done is None or done.done():
                continue
            if isinstance(result, Exception):
                done.set_exception(result)
            else:
                done.set_result(result)
