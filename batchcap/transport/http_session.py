"""Requests over aiohttp, each sent at most once, with a clear word for what went wrong.

What aiohttp does not do by default, and recovery and safety need:

- `NotSent` says that no byte of a request left; everything else is `ResponseLost`.
- aiohttp repeats a GET when its connection breaks. Here nothing is repeated.
- aiohttp takes what waits on a kept connection for the next answer. Such a connection is
  closed instead (aiohttp issue 13656).
- Addresses are judged when connecting, so that a name cannot change its mind in between.
- aiohttp takes a compressed body that was cut for whole, so it does not decompress
  (`decompression` does), and its errors repeat signed URLs, so none of them gets out.

Redirects, cookies, netrc and the environment's proxies are off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import aiohttp
import anyio
from aiohttp.abc import AbstractStreamWriter
from multidict import MultiMapping
from yarl import URL

from batchcap.transport.http_connector import AddressFilter, Connector
from batchcap.transport.http_errors import BodyLost, HttpError, NotSent, ResponseLost, why_lost
from batchcap.transport.network import Network
from batchcap.transport.trace import Exchange

if TYPE_CHECKING:
    from types import TracebackType

ACCEPT_ENCODING = "gzip"

_MAX_LINE = 16 * 1024  # bytes of a header or status line
_CLOSE_TIMEOUT = 2.0  # seconds; also a cancelled run closes its connections
_NO_BODY = frozenset({204, 304})


class Timeouts(NamedTuple):
    """Seconds: to connect, from one read to the next, to the headers, to the end of the body."""

    connect: float
    read: float
    headers: float
    total: float


class Response:
    """A response whose headers have arrived; `read_chunk` gives its body.

    Leaving the `with` before the end of the body closes the connection.
    """

    __slots__ = ("_deadline", "_exchange", "_response", "headers", "status")

    def __init__(
        self, response: aiohttp.ClientResponse, deadline: float, exchange: Exchange | None
    ) -> None:
        self._response, self._deadline, self._exchange = response, deadline, exchange
        self.status = response.status
        self.headers: MultiMapping[str] = response.headers
        """Names in any case. Of a header that came twice, `[]` gives the first."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._response.release()
        if self._exchange is not None:
            self._exchange.end(str(error or ""))

    def record(self, content: bytes) -> None:
        """Show a body in the trace, if there is one."""
        if self._exchange is not None:
            self._exchange.content = content

    async def read_chunk(self) -> bytes:
        """What has arrived of the body, as it was sent; b"" at its end.

        Raises:
            BodyLost: The body was cut, or is late.
        """
        content = self._response.content
        try:
            chunk = content.read_nowait()
            if not chunk and not content.at_eof():
                async with asyncio.timeout_at(self._deadline):
                    chunk = await content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise BodyLost(why_lost(error)) from None
        if self._exchange is not None:
            self._exchange.size += len(chunk)
        return chunk


class HttpSession:
    """Sends requests with the same headers and timeouts.

    How many there are at once is the caller's affair. Without `reuse`, each request has a
    connection of its own, so a server that closes an idle one cannot make its outcome unknown.
    With `allowed`, only addresses that pass it are connected to; a proxy's own is not judged.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        network: Network,
        *,
        reuse: bool = True,
        allowed: AddressFilter | None = None,
    ) -> None:
        # Per request and not as the session's own, which aiohttp also sends to the proxy.
        self._headers = {"Accept-Encoding": ACCEPT_ENCODING, **headers}
        self._timeouts, self._network = timeouts, network
        self._reuse, self._allowed = reuse, allowed
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._closed = False
        self._route = lru_cache(maxsize=256)(self._find_route)

    async def close(self) -> None:
        """End the requests that are under way; no further one is sent."""
        self._closed = True
        with anyio.move_on_after(_CLOSE_TIMEOUT, shield=True):
            for session in self._sessions.values():
                await session.close()

    async def send(
        self,
        method: str,
        url: URL,
        body: bytes | None = None,
        *,
        on_sent: Callable[[], None] | None = None,
    ) -> Response:
        """Send a request once. `body` is JSON; `on_sent` is called when it was written.

        Raises:
            NotSent: There was no connection.
            AddressBlocked: The filter allows no address of the host.
            ResponseLost: The request may have arrived.
        """
        if self._closed:
            raise NotSent("the session is closed")
        session, options = self._route(url.scheme, url.raw_host or "", url.port or 0)
        data = None if body is None else _JsonBody(body, on_sent)
        began = asyncio.get_running_loop().time()
        exchange = self._exchange(method, url, body)
        try:
            async with asyncio.timeout_at(began + self._timeouts.headers):
                response = await session.request(method, url, data=data, **options)
        except TimeoutError as error:
            raise _traced(exchange, ResponseLost(why_lost(error))) from None
        except HttpError as error:
            raise _traced(exchange, error) from None
        if exchange is not None:
            exchange.responded(response.status, response.headers)
        if not _has_end(response, url.scheme):
            response.close()
            raise _traced(exchange, BodyLost("the response has no length"))
        return Response(response, began + self._timeouts.total, exchange)

    def _exchange(self, method: str, url: URL, body: bytes | None) -> Exchange | None:
        """Begin to record a request, if there is a trace."""
        trace = self._network.trace
        return None if trace is None else Exchange(trace, method, url, self._headers, body)

    def _find_route(
        self, scheme: str, host: str, port: int
    ) -> tuple[aiohttp.ClientSession, dict[str, Any]]:
        """The session for an origin, and the options of requests to it."""
        options: dict[str, Any] = {"headers": self._headers, "allow_redirects": False}
        if scheme == "https":
            options["ssl"] = self._network.tls
        proxy = self._network.proxy_for(scheme, host, port)
        if proxy is None:
            return self._session(proxied=False), options
        options["proxy"] = proxy.url
        if proxy.authorization:
            # A tunnel is asked for with headers of its own; without one, the proxy reads ours.
            name = "proxy_headers" if scheme == "https" else "headers"
            own = {"Proxy-Authorization": proxy.authorization}
            options[name] = {**options.get(name, {}), **own}
        return self._session(proxied=True), options

    def _session(self, *, proxied: bool) -> aiohttp.ClientSession:
        if proxied not in self._sessions:
            timeouts = self._timeouts
            self._sessions[proxied] = aiohttp.ClientSession(
                connector=Connector(None if proxied else self._allowed, reuse=self._reuse),
                timeout=aiohttp.ClientTimeout(
                    connect=timeouts.connect, sock_read=timeouts.read, ceil_threshold=3600.0
                ),
                middlewares=(_once,),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=_MAX_LINE,
                max_field_size=_MAX_LINE,
            )
        return self._sessions[proxied]


def _traced(exchange: Exchange | None, error: HttpError) -> HttpError:
    if exchange is not None:
        exchange.end(str(error))
    return error


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Turn errors into ours, after which aiohttp does not repeat a GET (a client middleware)."""
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as error:
        raise ResponseLost(why_lost(error)) from None


class _JsonBody(aiohttp.BytesPayload):
    """A body that reports when it was handed to the transport."""

    def __init__(self, body: bytes, on_sent: Callable[[], None] | None) -> None:
        super().__init__(body, content_type="application/json")
        self._on_sent = on_sent

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        await super().write_with_length(writer, content_length)
        if self._on_sent is not None:
            self._on_sent()


def _has_end(response: aiohttp.ClientResponse, scheme: str) -> bool:
    """Whether a cut body can be distinguished from a whole one.

    Where neither length nor chunks are given, only the end of the connection ends a body, and
    over TLS asyncio does not tell whether it was cut (RFC 9112, 9.8). 101 ends HTTP itself.
    """
    if response.status == 101:
        return False
    if scheme != "https" or response.status in _NO_BODY:
        return True
    return not response.headers.keys().isdisjoint({"Content-Length", "Transfer-Encoding"})
