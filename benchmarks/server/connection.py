"""HTTP/1.1 on one connection, as far as well-behaved clients need it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import cast

from benchmarks.server.routes import Response

_CONTENT_LENGTH = re.compile(rb"\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CONNECTION_CLOSE = re.compile(rb"\nconnection:\s*close", re.IGNORECASE)

Handler = Callable[[bytes, str, bytes], Response]
"""Takes method, target and body."""


class Connection(asyncio.Protocol):
    """One kept-alive connection; answers pipelined requests in order."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        data = self._received + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            length = _CONTENT_LENGTH.search(data, 0, end)
            after = end + 4 + (int(length[1]) if length else 0)
            if len(data) < after:
                break
            method, target, _ = data[: data.index(b"\r\n")].split(b" ")
            response = self._handler(method, target.decode(), data[end + 4 : after])
            self._transport.writelines(response)
            if _CONNECTION_CLOSE.search(data, 0, end):
                self._transport.close()
            data = data[after:]
        self._received = data
