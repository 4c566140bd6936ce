"""One connection: a request goes out, its answer comes in, and then the next.

The bytes of an answer are parsed by llhttp as they come. Who waits is woken when the
whole answer is there, or enough of it that a large file can be written on.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import httptools

from batchcap.http.failures import Lost
from batchcap.http.patience import Patience, Watch

if TYPE_CHECKING:
    from types import TracebackType

IDLE = 30.0
"""Seconds for which a connection that nobody uses is kept."""

_LARGEST_HEAD = 64 * 1024
_WAKE, _FULL = 64 * 1024, 512 * 1024
"""Bytes of a body that wake who waits for it, and those from which the peer is held up."""


class Response:
    """An answer whose head has come; its body comes by `piece`.

    `headers` has lower-case names; of one that was sent twice, the first. Leaving the
    `with` before the end of the body closes the connection.
    """

    # What belongs to an answer is kept here and not in the connection, which may carry
    # the next request before whoever waits for this answer has been woken.
    __slots__ = (
        "_connection",
        "_failure",
        "_pieces",
        "_size",
        "_waiter",
        "_whole",
        "headers",
        "status",
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.status = 0
        self.headers: dict[str, str] = {}
        self._pieces: list[bytes] = []
        self._size = 0
        self._whole = False
        self._failure: str | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __enter__(self) -> Response:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._whole:
            self._connection.fail("the answer was left unread")

    async def piece(self) -> bytes:
        """What has come of the body, as it was sent; b"" at its end. Raises `Lost`."""
        while not self._pieces and not self._whole:
            await self._more()
        pieces, self._pieces, self._size = self._pieces, [], 0
        if not self._whole:
            self._connection.flow()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def head(self) -> None:
        """Wait for status and headers. Raises `Lost`."""
        while not self.status:
            await self._more()

    def take(self, piece: bytes) -> int:
        """A piece came; how many bytes wait to be read."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size >= _WAKE:
            self._wake()
        return self._size

    def end(self, failure: str | None) -> None:
        """Nothing more comes: the body is whole, or why it is not."""
        self._whole, self._failure = failure is None, failure
        self._wake()

    async def _more(self) -> None:
        """Wait until there is something new. Who is cancelled here closes the connection."""
        if self._failure is not None:
            raise Lost(self._failure)
        self._waiter = self._connection.loop.create_future()
        try:
            await self._waiter
        except BaseException:
            if not self._whole:
                self._connection.fail("nobody waits for it any more")
            raise

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time.

    `free` is called with it when it may carry the next one, `gone` when it never will.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        watch: Watch,
        free: Callable[[Connection], None],
        gone: Callable[[Connection], None],
    ) -> None:
        self.loop, self._watch, self._free, self._gone = loop, watch, free, gone
        self._told: dict[bytes, bytes] = {}
        self.on_header = self._told.setdefault
        """See `httptools`. Called for each header, and each trailer; no Python in between."""
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._poll: select.poll | None = None
        self.failed = False
        self._head = 0
        self._patience = Patience(0.0, 0.0, 0.0, 0.0)
        self._began = self._heard = 0.0
        self._held_up = False

    async def ask(
        self, request: bytes, patience: Patience, sent: Callable[[], None] | None
    ) -> Response:
        """Send a request; returns when all of its answer has come, or 64 kB of it.

        `sent` is called when it may be on its way. Raises `Lost`.
        """
        assert self._transport is not None
        assert self._response is None
        response = self._response = Response(self)
        self._head, self._patience = 0, patience
        self._began = self._heard = self.loop.time()
        self._transport.write(request)
        if sent is not None:
            sent()
        await response.head()
        return response

    def flow(self) -> None:
        """Let the peer send on."""
        if self._held_up and self._transport is not None:
            self._held_up = False
            self._heard = self.loop.time()  # the silence was ours
            self._transport.resume_reading()

    def idled(self) -> float:
        """Seconds since it was busy."""
        return self.loop.time() - self._heard

    def quiet(self) -> bool:
        """Whether nothing has come that was not read: bytes unasked for, or the end.

        The loop may not have had the time to tell.
        """
        return self._poll is None or not self._poll.poll(0)

    def fail(self, words: str) -> None:
        """The connection is of no use any more."""
        if self.failed:
            return
        self.failed = True
        response, self._response = self._response, None
        if response is not None:
            response.end(words)
        self._watch.leave(self)
        if self._transport is not None:
            self._transport.abort()
        self._gone(self)

    def due(self) -> float:
        """See `patience.Waiting`."""
        if self._response is None:
            return self._heard + IDLE
        patience = self._patience
        ends = self._began + (patience.whole if self._response.status else patience.head)
        return ends if self._held_up else min(self._heard + patience.silence, ends)

    def too_late(self) -> None:
        """See `patience.Waiting`."""
        self.fail("it took too long" if self._response else "nobody used it")

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not one by name
        self._heard = self.loop.time()
        self._watch.follow(self)
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(transport.get_extra_info("socket"), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._heard = self.loop.time()
        self._head += len(data)  # until a piece of the body comes
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail("the answer is not HTTP")
            return
        if self._head > _LARGEST_HEAD:
            self.fail("the head of the answer has no end")

    def eof_received(self) -> None:
        """See `asyncio.Protocol`."""
        if self._ends_with_the_connection():
            self._finish(keep=False)
        else:
            self.fail("the connection was closed")

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.fail("the connection was lost" if error else "the connection was closed")
        del self._parser  # it knows us: without this, only the collector of cycles frees both

    # What the parser tells.

    def on_message_begin(self) -> None:
        """See `httptools`."""
        self._told.clear()
        if self._response is None:  # or it would pass for the answer to the next request
            self.fail("the peer spoke unasked")

    def on_headers_complete(self) -> None:
        """See `httptools`."""
        status = self._parser.get_status_code()
        if self._response is None or status < 200:  # 103 Early Hints: the answer is to come
            return
        self._response.status = status
        self._response.headers = {  # of one that was sent twice, the first comes last
            name.decode("latin-1").lower(): value.decode("utf-8", "surrogateescape")
            for name, value in reversed(self._told.items())
        }

    def on_body(self, body: bytes) -> None:
        """See `httptools`."""
        if self._response is None:
            return
        self._head = 0
        waiting = self._response.take(body)
        if waiting >= _FULL and not self._held_up and self._transport is not None:
            self._held_up = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """See `httptools`."""
        if self._response is not None and self._response.status:
            self._finish(keep=self._parser.should_keep_alive())

    def _finish(self, *, keep: bool) -> None:
        """The answer is whole: the connection may carry the next request, or is done."""
        assert self._response is not None
        response, self._response = self._response, None
        response.end(None)
        self.flow()
        if keep:
            self._free(self)
        else:
            self.fail("the peer closes it")

    def _ends_with_the_connection(self) -> bool:
        """Whether a body has neither a length nor chunks, so that only its end ends it.

        Not over TLS, where a cut looks the same to asyncio (RFC 9112, 9.8).
        """
        response, transport = self._response, self._transport
        if response is None or not response.status or transport is None:
            return False
        told = {"content-length", "transfer-encoding"} & response.headers.keys()
        return not told and transport.get_extra_info("sslcontext") is None
