"""The page, the state for the events, and the caption files of an output folder."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

from aiohttp import web

from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.reports.html import content_security_policy
from batchcap.storage.atomic_files import OutputDir
from batchcap.web.access import secure, text_response
from batchcap.web.events import EventStream
from batchcap.web.messages import Messages
from batchcap.web.sending import send
from batchcap.web.spool import SharedSpool

MAX_AGE = 1.0
"""Seconds for which a page is sent to further readers."""
FILES_AT_ONCE = 4

Render = Callable[[LedgerReader, str], Iterable[str]]
"""Makes the page of a ledger. The second argument is the relative URL of its events."""


class Pages:
    """Serves the page, whose events are those of a stream."""

    def __init__(
        self,
        open_ledger: Callable[[], LedgerReader],
        render: Render,
        events: EventStream,
        messages: Messages,
    ) -> None:
        self._open_ledger, self._render = open_ledger, render
        self._events, self._messages = events, messages
        self._page = SharedSpool(self._rendered, MAX_AGE)

    async def close(self) -> None:
        """Remove what is kept for further readers."""
        await self._page.close()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send the page as it is now, and follow the ledger for it from now on."""
        response = web.StreamResponse(headers={"Content-Type": "text/html; charset=utf-8"})
        secure(response, f"{content_security_policy(live=True)}; frame-ancestors 'none'")
        if request.method == "HEAD":
            return response
        await self._events.touch()
        spool = await self._page.get(self._messages)
        response.content_length = spool.size
        async with contextlib.aclosing(spool.chunks()) as chunks:
            await response.prepare(request)
            await send(response, chunks)
        return response

    def _rendered(self, identifier: str) -> Iterable[bytes]:
        with closing(self._open_ledger()) as ledger:
            pieces = self._render(ledger, f"events?after={identifier}")
            yield from (piece.encode() for piece in pieces)


class CaptionFiles:
    """Serves the files of rows that are done, and nothing else from the output folder."""

    def __init__(self, out: Path, open_ledger: Callable[[], LedgerReader]) -> None:
        self._out, self._open_ledger = out, open_ledger
        self._slots = asyncio.Semaphore(FILES_AT_ONCE)

    async def serve(self, raw_path: str) -> web.StreamResponse:
        """Send a caption as plain text, whatever is in it.

        `raw_path` is below the output folder, with the escapes of its URL.
        """
        async with self._slots:
            data = await asyncio.to_thread(self._caption, raw_path)
        if data is None:
            return text_response(404, "not found")
        response = web.Response(body=data, content_type="text/plain", charset="utf-8")
        secure(response)
        return response

    def _caption(self, raw_path: str) -> bytes | None:
        try:
            path = unquote(raw_path, errors="strict")
            with closing(self._open_ledger()) as ledger:
                is_done = ledger.has_caption(path)
            return OutputDir(self._out).read(path, 0.0) if is_done else None
        except UnicodeError:
            return None
