"""Opens download links. File hosts get no credentials.

A link from a provider's response may lead anywhere, so every redirect is checked: https to
public addresses; plain http and loopback only if the provider's own base URL is on loopback;
private and link-local addresses never. A host name is checked by the addresses that it resolves
to, at the moment of connecting. Behind a proxy names are not checked, since the proxy resolves
them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Self

from yarl import URL

from batchcap.domain.addresses import is_public_address, literal_address
from batchcap.domain.errors import BadCaption, LinkExpired, RowError, Unavailable
from batchcap.domain.events import Paused, RequestEnded, RequestSent, Throttled
from batchcap.domain.protocols import Observer
from batchcap.transport.decompression import ReadChunk, decompressed
from batchcap.transport.http_errors import AddressBlocked, BodyUnreadable, HttpError
from batchcap.transport.http_session import HttpSession, Response, Timeouts
from batchcap.transport.network import Network
from batchcap.transport.retry_after import retry_after
from batchcap.transport.sender import USER_AGENT
from batchcap.transport.url import InvalidUrl, parse_url

if TYPE_CHECKING:
    from types import TracebackType

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_REFUSED = frozenset({400, 401, 403, 404, 410, 412})
"""Statuses of an expired link: GCS 400 ExpiredToken, CloudFront and others 403 or 404;
stream.mux.com 404 or 412 while a new track is not ready."""

_TIMEOUTS = Timeouts(connect=10.0, read=30.0, headers=60.0, total=1800.0)


class FileStream:
    """A file that is being downloaded: a `with` gives its decompressed body and ends the request.

    Raises:
        Unavailable: Reading failed, or the body was cut.
        BadCaption: The compression of the body is unknown or broken.
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
        if isinstance(error, BodyUnreadable):
            raise BadCaption(f"the file cannot be read: {error}") from None
        if isinstance(error, HttpError):
            raise _failed(error) from None


class FileHosts:
    """Opens links without credentials and cookies.

    `loopback` allows loopback addresses and plain http, for the sandbox.
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
            allowed=partial(is_public_address, loopback=loopback),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def open(self, link: str) -> FileStream:
        """Request the file behind a link.

        Raises:
            LinkExpired: The host refuses it.
            Unavailable: Another try may help.
            BadCaption: The file is compressed in an unknown way.
            RowError: The link leads to a place that is not allowed ("link_dead").
        """
        try:
            response = await self._follow(link)
            return FileStream(response, self._body(response))
        except AddressBlocked as error:
            raise RowError("link_dead", str(error)) from None
        except InvalidUrl as error:
            raise RowError("link_dead", f"the link is {error}") from None
        except BodyUnreadable as error:
            raise BadCaption(f"the file cannot be read: {error}") from None
        except HttpError as error:
            raise _failed(error) from None

    async def _follow(self, link: str) -> Response:
        for _ in range(MAX_REDIRECTS + 1):
            url = self._checked(link)
            response = await self._get(url)
            redirected = response.status in _REDIRECTS
            target = response.headers.get("location") if redirected else None
            if target is None:
                return response
            with response:
                link = _joined(link, target)
        raise RowError("link_dead", f"the link is redirected more than {MAX_REDIRECTS} times")

    async def _get(self, url: URL) -> Response:
        began, status = _clock(), None
        self._observer(RequestSent("downloads"))
        try:
            response = await self._session.send("GET", url)
            status = response.status
            return response
        finally:
            place = f"{url.raw_host}{url.raw_path}"
            self._observer(RequestEnded("downloads", "GET", place, status, _clock() - began))

    def _body(self, response: Response) -> ReadChunk:
        """The body of a file. Any other response is closed."""
        try:
            self._check_status(response)
            return decompressed(response)
        except BaseException:
            with response:
                raise

    def _check_status(self, response: Response) -> None:
        if response.status == 200:
            return
        if response.status in _REFUSED:
            raise LinkExpired(f"the file host responded with {response.status}")
        if response.status >= 500 or response.status in {408, 429}:
            pause = retry_after(response.headers.get("retry-after"), self._now())
            if response.status == 429:
                self._observer(Throttled("downloads", pause or 0.0))
            if pause:
                self._observer(Paused("downloads", pause))
            raise Unavailable(f"the file host responded with {response.status}", retry_after=pause)
        raise RowError("link_dead", f"the file host responded with {response.status}")

    def _checked(self, link: str) -> URL:
        url = parse_url(link)
        if url.scheme != "https" and not self._loopback:
            raise AddressBlocked(f"the link leads to {url.scheme}:, https is required")
        if not _is_allowed_host(url.raw_host or "", self._loopback):
            raise AddressBlocked(f"the link leads to {url.raw_host}, which is not a public address")
        return url


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _failed(error: HttpError) -> Unavailable:
    return Unavailable(f"the file host failed: {error}")


@lru_cache(maxsize=256)
def _is_allowed_host(host: str, loopback: bool) -> bool:
    """Return whether a link may lead to a host. Names are checked when they are resolved."""
    address = literal_address(host)
    return address is None or is_public_address(str(address), loopback)


def _joined(link: str, target: str) -> str:
    """Resolve a redirect. Nothing is encoded again, which would break signatures."""
    try:
        return str(URL(link, encoded=True).join(URL(target, encoded=True)))
    except (ValueError, IndexError):  # yarl raises this for "]["
        raise InvalidUrl("redirected to an invalid URL") from None
