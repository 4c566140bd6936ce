"""The server of the live page: bounded, read-only, for one output folder."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from batchcap.domain.errors import BatchcapError
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.reports.snapshot import Snapshot
from batchcap.web.access import Access, text_response
from batchcap.web.address import Listener
from batchcap.web.changes import Watch, whole_state
from batchcap.web.events import EventStream
from batchcap.web.messages import Messages
from batchcap.web.pages import MAX_AGE, CaptionFiles, Pages, Render
from batchcap.web.sending import ReaderGoneError
from batchcap.web.spool import SharedSpool
from batchcap.webhooks.bounded_server import SILENT_LOGGER, BoundedServer

FILES = "/files/"
MAX_CONNECTIONS = 128
_KEEPALIVE = 30.0  # seconds for the head of a request, and between two requests
PARTING_TIME = 0.5
"""Seconds that the readers get for the last message: the run does not wait for them."""


def _no_snapshot() -> Snapshot | None:
    return None


class LivePage:
    """Serves the page of an output folder while its `async with` block runs.

    Args:
        listener: Where it is served. Its socket is closed in the end.
        out: The output folder.
        open_ledger: Opens the ledger to read it; called in threads.
        render: Makes the page.
        is_running: Returns whether a run works on the folder; called in a thread. Without it,
            a run works until the block ends.
        snapshot: Returns that of the run in this process, if there is one.
        now: Unix seconds, by the clock of the ledger's times.
    """

    def __init__(  # what a page is made of, given by name
        self,
        listener: Listener,
        out: Path,
        open_ledger: Callable[[], LedgerReader],
        render: Render,
        *,
        is_running: Callable[[], bool] | None = None,
        snapshot: Callable[[], Snapshot | None] = _no_snapshot,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._socket, self._out = listener.socket, out
        self._open_ledger, self._render = open_ledger, render
        self._is_leaving = False
        self._is_running = is_running or (lambda: not self._is_leaving)
        self._snapshot = snapshot
        self._access = Access(listener.address, listener.port)

    async def __aenter__(self) -> Self:
        self._messages = Messages()
        self._state = SharedSpool(self._whole_state, MAX_AGE)
        self._events = EventStream(
            lambda: Watch(self._open_ledger, self._now),
            self._state,
            self._messages,
            snapshot=self._snapshot,
            is_running=self._is_running,
        )
        self._pages = Pages(self._open_ledger, self._render, self._events, self._messages)
        self._files = CaptionFiles(self._out, self._open_ledger)
        server = BoundedServer(
            self._serve,
            max_connections=MAX_CONNECTIONS,
            access_log=None,
            keepalive_timeout=_KEEPALIVE,
            lingering_time=0.0,
            handler_cancellation=True,  # a reader that leaves makes room for the next one
            logger=SILENT_LOGGER,  # aiohttp would log what strangers send
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()
        self._following = asyncio.create_task(self._events.follow())
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_leaving = True
        self._events.stop()
        # After an error or a second Ctrl-C, nothing is waited for.
        await self._part(0.0 if error_type is not None else PARTING_TIME)
        await self._runner.cleanup()
        await self._pages.close()
        await self._state.close()

    async def _part(self, seconds: float) -> None:
        """Let the readers have the last messages, for some seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.wait({self._following})
                await self._events.all_served()
        self._following.cancel()
        await asyncio.wait({self._following})

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return self._access.refusal(request) or await self._route(request)
        except ReaderGoneError:
            if request.transport is not None:
                request.transport.abort()  # what it did not take is not kept for it
            return web.Response()
        except BatchcapError as problem:
            return text_response(503, problem.message)
        except OSError as problem:
            return text_response(503, f"not readable now: {problem.strerror}")

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/":
            return await self._pages.serve(request)
        if request.path == "/events":
            return await self._events.serve(request)
        if request.path.startswith(FILES):
            return await self._files.serve(request.rel_url.raw_path.removeprefix(FILES))
        return text_response(404, "not found")

    def _whole_state(self, identifier: str) -> Iterable[bytes]:
        with closing(self._open_ledger()) as ledger:
            for message in whole_state(ledger):
                yield b"data: %s\n\n" % message
        yield b"id: %s\n\n" % identifier.encode()
