"""Streams what a link leads to, from hosts that get no credential.

Links come from a provider's answer and lead anywhere, so every hop is checked:
https to public addresses; plain http and loopback only if the provider's own base URL
is on loopback; private and link-local addresses never. Names are judged by the addresses
that they resolve to, at the moment of connecting; behind a proxy they are not, since the
proxy resolves them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Self

from yarl import URL

from batchcap.domain.addresses import IPAddress, literal_address
from batchcap.domain.errors import LinkExpired, RowError, Unavailable
from batchcap.domain.events import Paused, RequestSent, Throttled
from batchcap.domain.protocols import Observer
from batchcap.transport.decompression import ReadChunk, decompressed
from batchcap.transport.http_errors import AddressBlocked, HttpError
from batchcap.transport.http_session import HttpSession, Response, Timeouts
from batchcap.transport.network import Network
from batchcap.transport.retry_after import retry_after
from batchcap.transport.sender import USER_AGENT
from batchcap.transport.url import InvalidUrl, parse_url

if TYPE_CHECKING:
    from types import TracebackType

_HOPS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NOWHERE = tuple(
    map(ipaddress.ip_network, ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10"))
)
"""Not in the tables of `ipaddress`: IPv4 in IPv6 of old and local kinds, and site-local."""

_REFUSED = frozenset({400, 401, 403, 404, 410, 412})
"""What hosts say to a link that died: GCS 400 ExpiredToken, CloudFront and others 403
or 404; stream.mux.com 404 or 412 while a new track is not ready."""

_TIMEOUTS = Timeouts(connect=10.0, read=30.0, headers=60.0, total=1800.0)


class Opened:
    """A file on its way: a `with` gives its decompressed body, and ends the request.

    What fails while it is read, also a body that was cut, is raised as `Unavailable`.
    """

    __slots__ = ("_body", "_response")

    def __init__(self, response: Response, body: ReadChunk) -> None:
        self._response, self._body = response, body

    def __enter__(self) -> ReadChunk:
        return self._body

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._response.__exit__(kind, error, trace)
        if isinstance(error, HttpError):
            raise _failed(error) from None


class FileHosts:
    """Fetches links without credentials, cookies or surprises.

    `loopback` allows loopback addresses and plain http (the sandbox).
    """

    def __init__(
        self, network: Network, *, loopback: bool, observer: Observer, now: Callable[[], float]
    ) -> None:
        self._loopback = loopback
        self._observer, self._now = observer, now
        self._session = HttpSession(
            {"User-Agent": USER_AGENT},
            _TIMEOUTS,
            network,
            allowed=partial(allowed, loopback=loopback),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def open(self, link: str) -> Opened:
        """Request what is behind a link.

        Raises:
            LinkExpired: The host refuses it.
            Unavailable: Another try may help.
            RowError: The link leads to a place that is not allowed ("link_dead").
        """
        try:
            response = await self._follow(link)
            return Opened(response, self._body(response))
        except AddressBlocked as error:
            raise RowError("link_dead", str(error)) from None
        except InvalidUrl as error:
            raise RowError("link_dead", f"the link is {error}") from None
        except HttpError as error:
            raise _failed(error) from None

    async def _follow(self, link: str) -> Response:
        for _ in range(_HOPS + 1):
            url = self._checked(link)
            self._observer(RequestSent("downloads"))
            response = await self._session.send("GET", url)
            redirected = response.status in _REDIRECTS
            target = response.headers.get("location") if redirected else None
            if target is None:
                return response
            with response:
                link = _joined(link, target)
        raise RowError("link_dead", f"the link is redirected more than {_HOPS} times")

    def _body(self, response: Response) -> ReadChunk:
        """What the host sends. If that is no file, the response is closed."""
        try:
            self._judge(response)
            return decompressed(response)
        except BaseException:
            with response:
                raise

    def _judge(self, response: Response) -> None:
        if response.status == 200:
            return
        if response.status in _REFUSED:
            raise LinkExpired(f"the file host answered {response.status}")
        if response.status >= 500 or response.status in {408, 429}:
            pause = retry_after(response.headers.get("retry-after"), self._now())
            if response.status == 429:
                self._observer(Throttled("downloads", pause or 0.0))
            if pause:
                self._observer(Paused("downloads", pause))
            raise Unavailable(f"the file host answered {response.status}", retry_after=pause)
        raise RowError("link_dead", f"the file host answered {response.status}")

    def _checked(self, link: str) -> URL:
        url = parse_url(link)
        if url.scheme != "https" and not self._loopback:
            raise AddressBlocked(f"the link leads to {url.scheme}:, https is required")
        if not _may_be_asked(url.raw_host or "", self._loopback):
            raise AddressBlocked(f"the link leads to {url.raw_host}, which is not a public address")
        return url


def _failed(error: HttpError) -> Unavailable:
    return Unavailable(f"the file host failed: {error}")


@lru_cache(maxsize=256)
def _may_be_asked(host: str, loopback: bool) -> bool:
    """Whether a link may lead to a host. A name may: it is judged when it was resolved."""
    address = literal_address(host)
    return address is None or allowed(str(address), loopback)


def allowed(address: str, loopback: bool) -> bool:
    """Whether a file may be fetched from an IP address."""
    ip = _innermost(ipaddress.ip_address(address.partition("%")[0]))
    if ip.is_loopback:
        return loopback
    return ip.is_global and not ip.is_multicast and not any(ip in one for one in _NOWHERE)


def _innermost(ip: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 one stands for: mapped, 6to4 or NAT64."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


def _joined(link: str, target: str) -> str:
    """Where a redirect leads. Signed links arrive as they were given: nothing is encoded again."""
    try:
        return str(URL(link, encoded=True).join(URL(target, encoded=True)))
    except (ValueError, IndexError):  # yarl's word for "]["
        raise InvalidUrl("redirected to what is no URL") from None
