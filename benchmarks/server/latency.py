"""A relay that delays every byte, so that loopback has the round trip of a network.

Each direction takes half a round trip. The kernel completes TCP's handshake on loopback
at once, so the first bytes of a connection are held back for one more round trip. A new
connection over TLS 1.3 therefore costs three round trips up to its first answer, as it
does over a network. Bandwidth, loss and TCP's slow start are not imitated.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast


class DelayLine:
    """Delivers chunks in order, each `delay` seconds after it was put in.

    A chunk that is put in before `opens_at` counts as put in then. b"" is the end.
    """

    def __init__(self, delay: float, opens_at: float = 0.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._delay, self._opens_at = delay, opens_at
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._deliver: Callable[[bytes], None] | None = None

    def put(self, chunk: bytes) -> None:
        """Take a chunk."""
        due = max(self._loop.time(), self._opens_at) + self._delay
        self._chunks.append((due, chunk))
        if len(self._chunks) == 1:
            self._loop.call_at(due, self._deliver_due)

    def connect(self, deliver: Callable[[bytes], None]) -> None:
        """Set where chunks go. Those that were due before are delivered at once."""
        self._deliver = deliver
        self._deliver_due()

    def _deliver_due(self) -> None:
        if self._deliver is None:
            return
        while self._chunks and self._chunks[0][0] <= self._loop.time():
            self._deliver(self._chunks.popleft()[1])
        if self._chunks:
            self._loop.call_at(self._chunks[0][0], self._deliver_due)


class RelayedConnection(asyncio.Protocol):
    """A client's connection, relayed to the server on `port` of loopback."""

    def __init__(self, port: int, round_trip: float) -> None:
        loop = asyncio.get_running_loop()
        self._port = port
        self._inward = DelayLine(round_trip / 2, opens_at=loop.time() + round_trip)
        self._outward = DelayLine(round_trip / 2)
        self._connecting: asyncio.Task[None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._outward.connect(_writer(transport))
        self._connecting = asyncio.create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._inward.put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._inward.put(b"")

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(
            lambda: _ServerSide(self._outward), "127.0.0.1", self._port
        )
        self._inward.connect(_writer(transport))


class _ServerSide(asyncio.Protocol):
    """The relay's connection to the server."""

    def __init__(self, outward: DelayLine) -> None:
        self._outward = outward

    def data_received(self, data: bytes) -> None:
        self._outward.put(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._outward.put(b"")


def _writer(transport: asyncio.BaseTransport) -> Callable[[bytes], None]:
    """A function that writes each chunk and closes at the end."""
    stream = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def write(chunk: bytes) -> None:
        if stream.is_closing():  # the other side has gone away
            return
        if chunk:
            stream.write(chunk)
        else:
            stream.close()

    return write
