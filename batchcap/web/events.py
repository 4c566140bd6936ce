"""Server-sent events: first the state, then what changes, about once a second.

Nothing is read from the ledger while nobody listens.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor

from aiohttp import web

from batchcap.domain.errors import BatchcapError
from batchcap.reports.snapshot import Snapshot
from batchcap.web.access import secure, text_response
from batchcap.web.changes import Watch
from batchcap.web.messages import Messages
from batchcap.web.sending import send
from batchcap.web.spool import SharedSpool, Spool

INTERVAL = 1.0
"""Seconds between two looks at the ledger, at least."""
LOOK_SHARE = 0.03
"""Share of the time that looking at a large ledger may take."""
IDLE_TIME = 30.0
"""Seconds after which the ledger is closed if nobody listens."""
HEARTBEAT = 15.0
"""Seconds without a message after which a comment is sent: proxies close what is silent."""
START_TIMEOUT = 5.0
"""Seconds after which a reader learns that the ledger cannot be read."""
RETRY = 2000
"""Milliseconds after which a browser connects again."""
MAX_READERS = 50

ENDED = "ended"
"""The type of the event that says that the run has ended."""
_ENDED = b"event: ended\ndata: {}\n\n"


class EventStream:
    """Publishes the changes of a ledger, and serves them to readers.

    `snapshot` returns that of a run in this process, else None. `is_running` says whether a run
    works on the ledger; it is called in a thread.
    """

    def __init__(
        self,
        open_watch: Callable[[], Watch],
        state: SharedSpool,
        messages: Messages,
        *,
        snapshot: Callable[[], Snapshot | None],
        is_running: Callable[[], bool],
    ) -> None:
        self._open_watch, self._state, self._messages = open_watch, state, messages
        self._snapshot, self._is_running = snapshot, is_running
        self._readers = 0
        self._wanted, self._following = asyncio.Event(), asyncio.Event()
        self._stopping, self._deserted = asyncio.Event(), asyncio.Event()
        self._deserted.set()
        self._has_ended = False
        self._touched_at = 0.0

    async def touch(self) -> None:
        """Follow the ledger from now on, for a reader that comes within `IDLE_TIME`."""
        self._touched_at = asyncio.get_running_loop().time()
        self._wanted.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_TIMEOUT):
                await self._following.wait()

    def stop(self) -> None:
        """Make `follow` look for the last time, publish the end, and return."""
        self._stopping.set()
        self._wanted.set()

    async def all_served(self) -> None:
        """Return when no reader is left."""
        await self._deserted.wait()

    async def follow(self) -> None:
        """Publish what changes, while anybody listens, until `stop` is called."""
        with ThreadPoolExecutor(1, "page") as thread:
            while not self._stopping.is_set():
                await self._wanted.wait()
                if not self._stopping.is_set():
                    # A ledger that cannot be read now may be readable for the next reader.
                    with contextlib.suppress(BatchcapError):
                        await self._follow_while_wanted(thread)
                    self._following.clear()
                    if not self._readers:
                        self._wanted.clear()
                    elif not self._stopping.is_set():
                        await asyncio.sleep(INTERVAL)

    async def _follow_while_wanted(self, thread: Executor) -> None:
        loop = asyncio.get_running_loop()
        watch = await loop.run_in_executor(thread, self._open_watch)
        self._messages.restart()
        self._following.set()
        try:
            while True:
                is_last = self._stopping.is_set()
                started = loop.time()
                await self._look(thread, watch, is_last=is_last)
                if is_last or self._is_idle():
                    return
                pause = max(INTERVAL, (loop.time() - started) / LOOK_SHARE)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._stopping.wait()
        finally:
            await asyncio.shield(loop.run_in_executor(thread, watch.close))

    async def _look(self, thread: Executor, watch: Watch, *, is_last: bool) -> None:
        """Look once, and publish what was found; after the end of the run, publish that too."""
        loop = asyncio.get_running_loop()
        is_over = not await loop.run_in_executor(thread, self._is_running)
        is_end = is_last or (is_over and not self._has_ended)
        found = await loop.run_in_executor(thread, watch.look, self._snapshot(), is_end)
        if found.is_other:
            self._messages.restart()
        for message in found.messages:
            self._messages.publish(message)
        if is_over and not self._has_ended:
            self._messages.publish(b"{}", ENDED)
        self._has_ended = is_over

    def _is_idle(self) -> bool:
        is_forgotten = asyncio.get_running_loop().time() - self._touched_at > IDLE_TIME
        return self._readers == 0 and is_forgotten

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send events until the reader leaves, or the run in this process has ended."""
        if self._readers >= MAX_READERS:
            return text_response(503, "too many readers", {"Retry-After": "10"})
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        secure(response)
        if request.method == "HEAD":
            return response
        self._readers += 1
        self._deserted.clear()
        try:
            await self.touch()
            position, state = _last_id(request), None
            if not self._messages.is_known(position):
                state = await self._state.get(self._messages)
            await response.prepare(request)
            with contextlib.suppress(BatchcapError, OSError):  # it comes back later
                async with contextlib.aclosing(self._data(position, state)) as pieces:
                    await send(response, pieces)
        finally:
            self._readers -= 1
            self._touched_at = asyncio.get_running_loop().time()
            if not self._readers:
                self._deserted.set()
        return response

    async def _data(self, position: str, state: Spool | None) -> AsyncGenerator[bytes]:
        """Yield what one reader gets: the messages after `position`, or after a whole state.

        A reader that lags behind gets the whole state again.
        """
        yield b"retry: %d\n\n" % RETRY
        if state is None and self._has_ended:
            yield _ENDED
        while not (self._is_over and position == self._messages.last_id):
            if state is not None:
                async with contextlib.aclosing(self._pieces(state)) as pieces:
                    async for piece in pieces:
                        yield piece
                position, state = state.identifier, None
            elif not self._messages.is_known(position):
                state = await self._state.get(self._messages)
            elif (following := self._messages.next(position)) is not None:
                position, message = following
                yield message
            elif not await self._messages.news(HEARTBEAT):
                yield b":\n\n"

    @property
    def _is_over(self) -> bool:
        """Whether the last message was published."""
        return self._stopping.is_set() and self._has_ended

    async def _pieces(self, state: Spool) -> AsyncGenerator[bytes]:
        async with contextlib.aclosing(state.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk
        if self._has_ended:
            yield _ENDED


def _last_id(request: web.BaseRequest) -> str:
    """Return what a browser sends when it connects again, or else what its page came with."""
    return request.headers.get("Last-Event-ID") or request.query.get("after", "")
