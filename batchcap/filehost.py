"""Streams what a link leads to, from hosts that get no credential.

Links come from a provider's answer and lead anywhere, so every hop is checked:
https to public addresses; plain http and loopback only where the provider's own
base URL is on loopback; private and link-local addresses never. Names are judged
by the addresses that they resolve to, at the moment of connecting.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from types import TracebackType
from typing import Self

import aiohttp
import anyio
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from batchcap.deadlines import Deadline
from batchcap.errors import LinkExpired, RowError, Unavailable
from batchcap.events import Paused, RequestSent, Throttled
from batchcap.interfaces import Observer
from batchcap.retry import retry_after
from batchcap.transport import USER_AGENT

_HOPS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PIECE = 256 * 1024
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""zlib's `wbits` by content encoding."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_IDLE = 30.0
_REFUSED = frozenset({400, 401, 403, 404, 410, 412})
"""What hosts say to a link that died: GCS 400 ExpiredToken, CloudFront and others 403
or 404; stream.mux.com 404 or 412 while a new track is not ready."""

_LONGEST_START, _LONGEST_BODY = 120.0, 1800.0
"""Seconds until a body begins, redirects included, and until it has come."""

_TIMES = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)


class FileHosts:
    """Fetches links without credentials, cookies or surprises.

    `loopback` allows loopback addresses and plain http (the sandbox).
    """

    def __init__(self, *, loopback: bool, observer: Observer, now: Callable[[], float]) -> None:
        self._loopback = loopback
        self._observer, self._now = observer, now
        self._deadline = Deadline(_LONGEST_START)

    async def __aenter__(self) -> Self:
        resolver = _GuardedResolver(self._loopback)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE, resolver=resolver),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._session.close()

    @asynccontextmanager
    async def open(self, link: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The decoded body behind a link, piece by piece.

        Raises `LinkExpired` where the host refuses it, `Unavailable` where another
        try may help (a body that was cut is found here too), and `RowError`
        "link_dead" where the link leads to a place that is not allowed.
        """
        try:
            with self._deadline:
                response = await self._follow(link)
            async with response:
                self._judge(response)
                yield _decoded(response)
        except (_Forbidden, aiohttp.InvalidURL) as error:
            told = str(error) if isinstance(error, _Forbidden) else "the link is not a URL"
            raise RowError("link_dead", told) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"the file host failed: {type(error).__name__}") from None

    async def _follow(self, link: str) -> aiohttp.ClientResponse:
        url = _parsed(link)
        for _ in range(_HOPS + 1):
            self._allow(url)
            self._observer(RequestSent("downloads"))
            response = await self._session.get(url, allow_redirects=False, timeout=_TIMES)
            redirected = response.status in _REDIRECTS
            target = response.headers.get("Location") if redirected else None
            if target is None:
                return response
            response.release()
            url = url.join(_parsed(target))
        raise _Forbidden(f"the link is redirected more than {_HOPS} times")

    def _judge(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 200:
            return
        if response.status in _REFUSED:
            raise LinkExpired(f"the file host answered {response.status}")
        if response.status >= 500 or response.status in {408, 429}:
            pause = retry_after(response.headers.get("Retry-After"), self._now())
            if response.status == 429:
                self._observer(Throttled("downloads", pause or 0.0))
            if pause:
                self._observer(Paused("downloads", pause))
            raise Unavailable(f"the file host answered {response.status}", retry_after=pause)
        raise RowError("link_dead", f"the file host answered {response.status}")

    def _allow(self, url: URL) -> None:
        if url.scheme != "https" and not (url.scheme == "http" and self._loopback):
            raise _Forbidden(f"the link leads to {url.scheme or 'no scheme'}:, https is required")
        if not url.host:
            raise _Forbidden("the link names no host")
        if not _may_be_asked(url.host, self._loopback):
            raise _Forbidden(f"the link leads to {url.host}, which is not a public address")


@lru_cache(maxsize=256)
def _may_be_asked(host: str, loopback: bool) -> bool:
    """Whether a link may lead to a host; a name passes, the resolver judges it."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return allowed(host, loopback)


def allowed(address: str, loopback: bool) -> bool:
    """Whether a file may be fetched from an IP address."""
    ip = _innermost(ipaddress.ip_address(address.partition("%")[0]))
    if ip.is_loopback:
        return loopback
    return ip.is_global and not ip.is_multicast


def _innermost(ip: _Address) -> _Address:
    """The IPv4 address that an IPv6 one stands for: mapped, 6to4 or NAT64."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


def _decoded(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body without its compression, in pieces of bounded size.

    Decoded here and not by aiohttp, which takes a stream that was cut for whole.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    pieces = _pieces(response.content)
    return pieces if encoding == "identity" else _unpacked(pieces, encoding)


async def _pieces(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """What comes, as it comes; `sock_read` ends a silence, and this what only drips."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _LONGEST_BODY
    while not content.at_eof():
        yield await content.readany()
        if loop.time() > until:
            raise TimeoutError


async def _unpacked(pieces: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    if encoding not in _WINDOWS:
        raise aiohttp.ClientPayloadError(f"encoded as {encoding[:20]!r}, which was not asked for")
    decoder = zlib.decompressobj(_WINDOWS[encoding])
    async for piece in pieces:
        while piece:
            if decoder.eof:  # gzip members may follow each other; anything else is broken
                decoder = zlib.decompressobj(_WINDOWS[encoding])
            try:
                yield decoder.decompress(piece, _PIECE)
            except zlib.error:
                raise aiohttp.ClientPayloadError("broken compression") from None
            piece = decoder.unused_data or decoder.unconsumed_tail
    if not decoder.eof:
        raise aiohttp.ClientPayloadError("the compressed body was cut")


class _Forbidden(aiohttp.ClientError):
    """A link or redirect that must not be followed; another try changes nothing."""


class _GuardedResolver(AbstractResolver):
    """Resolves in a thread and keeps only addresses that may be connected to."""

    def __init__(self, loopback: bool) -> None:
        self._loopback = loopback
        self._names = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._names.resolve(host, port, family)
        kept = [one for one in found if allowed(one["host"], self._loopback)]
        if found and not kept:
            raise _Forbidden(f"{host} is not at a public address")
        return kept

    async def close(self) -> None:
        await self._names.close()


def _parsed(link: str) -> URL:
    """Signed links must arrive as they were given: nothing is encoded again."""
    try:
        url = URL(link, encoded=True)
        _ = url.host, url.port  # parsed only when asked for
    except ValueError:
        raise _Forbidden("the link is not a URL") from None
    return url
