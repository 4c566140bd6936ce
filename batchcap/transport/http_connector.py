"""Connections for `http_session`: to allowed addresses only, and with nothing left to read."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from batchcap.transport.http_errors import AddressBlocked, NotSent, why_not_sent

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import AddrInfoType, Connection
    from aiohttp.tracing import Trace

_KEEPALIVE = 30.0  # seconds for which an unused connection is kept

AddressFilter = Callable[[str], bool]
"""Whether an IP address may be connected to."""


class Connector(aiohttp.TCPConnector):
    """Gives connections on which nothing waits to be read, or raises `NotSent`.

    It has no limit of its own. Without `reuse`, every request gets a new connection.
    """

    def __init__(self, allowed: AddressFilter | None, *, reuse: bool) -> None:
        keep: dict[str, Any] = {"keepalive_timeout": _KEEPALIVE} if reuse else {"force_close": True}
        make_socket = None if allowed is None else _SocketFactory(allowed)
        super().__init__(limit=0, resolver=_Resolver(allowed), socket_factory=make_socket, **keep)
        self._polls: WeakKeyDictionary[ResponseHandler, select.poll] = WeakKeyDictionary()
        """For each connection given before, the poll object that shows whether data waits on it."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """See `aiohttp.BaseConnector.connect`."""
        try:
            while True:
                connection = await super().connect(req, traces, timeout)
                if self._is_clean(connection):
                    return connection
                is_kept = connection.protocol in self._polls
                connection.close()
                if not is_kept:
                    raise NotSent("the server sent something before it was asked")
        except TimeoutError:
            raise NotSent(f"not connected within {timeout.connect:.0f} s") from None
        except aiohttp.InvalidURL:  # such as 127.1
            raise AddressBlocked(f"{req.host} is not a canonical IP address") from None
        except (aiohttp.ClientError, OSError, UnicodeError, RuntimeError) as error:
            if isinstance(getattr(error, "os_error", None), _Blocked):
                raise AddressBlocked(_not_public(req.host)) from None
            raise NotSent(why_not_sent(error)) from None

    def _is_clean(self, connection: Connection) -> bool:
        """Whether nothing arrived unasked. On a new connection, TLS may send tickets first."""
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None or protocol.should_close:
            return False
        poll = self._polls.get(protocol)
        if poll is not None:
            return not poll.poll(0)
        poll = self._polls[protocol] = select.poll()
        poll.register(transport.get_extra_info("socket"), select.POLLIN)
        return True


class _Blocked(OSError):
    """The filter refused an address; aiohttp expects nothing but an `OSError` here."""


class _SocketFactory:
    """Makes sockets for allowed addresses: the only place that sees a literal one."""

    def __init__(self, allowed: AddressFilter) -> None:
        self._allowed = allowed

    def __call__(self, info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not self._allowed(str(address[0])):
            raise _Blocked("not allowed")
        return socket.socket(family, kind, protocol)


class _Resolver(AbstractResolver):
    """The system's resolver in a thread, since c-ares is known for outages, and the filter."""

    def __init__(self, allowed: AddressFilter | None) -> None:
        self._resolver, self._allowed = aiohttp.ThreadedResolver(), allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        results = await self._resolver.resolve(host, port, family)
        if self._allowed is None:
            return results
        results = [result for result in results if self._allowed(result["host"])]
        if not results:
            raise AddressBlocked(_not_public(host))
        return results

    async def close(self) -> None:
        await self._resolver.close()


def _not_public(host: str) -> str:
    return f"{host} is not at a public address"
