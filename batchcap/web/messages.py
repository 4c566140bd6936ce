"""The latest messages of the event stream, encoded once for all readers."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque

MAX_MESSAGES = 1000
MAX_BYTES = 8 * 1000 * 1000
"""Of all messages that are kept: a reader that lags behind further starts anew."""


class Messages:
    """Keeps the latest messages in their order; each has an id.

    A reader asks for what came after the last id that it knows. An id of another server, or
    one that is too old, is unknown.
    """

    def __init__(self) -> None:
        self._kept: deque[bytes] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._last = 0
        self._series = ""
        self.restart()

    def restart(self) -> None:
        """Forget all messages: no id from before is known any more."""
        self._series, self._last = secrets.token_hex(4), 0
        self._kept.clear()
        self._bytes = 0
        self._wake()

    @property
    def last_id(self) -> str:
        """The id of the last message; what is read from the ledger now is at least as new."""
        return f"{self._series}-{self._last}"

    def publish(self, data: bytes, event: str = "") -> None:
        """Add a message: JSON without line breaks, and a type of event if it has one."""
        self._last += 1
        kind = f"event: {event}\n" if event else ""
        self._kept.append(b"%sid: %s\ndata: %s\n\n" % (kind.encode(), self.last_id.encode(), data))
        self._bytes += len(self._kept[-1])
        while len(self._kept) > MAX_MESSAGES or self._bytes > MAX_BYTES:
            self._bytes -= len(self._kept.popleft())
        self._wake()

    def is_known(self, identifier: str) -> bool:
        """Return whether `next` can tell what came after an id."""
        return self._count_after(identifier) is not None

    def next(self, identifier: str) -> tuple[str, bytes] | None:
        """Return id and bytes of the message after a known id, or None if there is none yet."""
        count = self._count_after(identifier)
        if not count:
            return None
        return f"{self._series}-{self._last - count + 1}", self._kept[-count]

    def _count_after(self, identifier: str) -> int | None:
        """Return how many of the kept messages came after an id, or None if it is unknown."""
        series, _, number = identifier.partition("-")
        if series != self._series or not number.isdecimal() or len(number) > 15:
            return None
        count = self._last - int(number)
        return count if 0 <= count <= len(self._kept) else None

    async def news(self, timeout: float) -> bool:
        """Wait for a message; return whether one came within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                return await self._news.wait()
        except TimeoutError:
            return False

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
