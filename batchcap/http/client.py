"""Requests to any number of origins, on connections that are kept."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Self

from batchcap.http.address import Address, Origin
from batchcap.http.connection import Connection, Response
from batchcap.http.decoding import ACCEPTED
from batchcap.http.failures import NotSent
from batchcap.http.names import Guard, Names
from batchcap.http.patience import Patience, Watch

_IDLE = 30.0
"""Seconds for which a connection that nobody uses is kept."""

_LINE_END = re.compile(r"[\r\n\0]")


class Client:
    """Sends requests with the same headers, each on a connection of its own.

    How many there may be at once is the caller's affair. `guard` refuses IP addresses.
    Raises `ValueError` for a header that would end early.
    """

    def __init__(self, headers: Mapping[str, str], *, guard: Guard | None = None) -> None:
        told = {"Accept-Encoding": ACCEPTED, **headers}
        for name, value in told.items():
            if _LINE_END.search(name + value):
                raise ValueError(f"{name!r} holds a line break")
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        self._names = Names(guard)
        self._watch = Watch()
        self._all: set[Connection] = set()
        self._idle: defaultdict[Origin, list[tuple[Connection, float]]] = defaultdict(list)
        self._secured: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in list(self._all):
            connection.fail("the client was closed")
        self._watch.close()
        await asyncio.sleep(0)  # transports close their sockets in the loop's next turn

    async def request(
        self,
        method: str,
        address: Address,
        body: bytes | None = None,
        *,
        patience: Patience,
        idle: float = _IDLE,
        sent: Callable[[], None] | None = None,
    ) -> Response:
        """Send once, on a connection that was busy within the last `idle` seconds or a new one.

        `body` is JSON. `sent` is called when the request may be on its way. Raises
        `NotSent`, `Lost`, and `Forbidden` where the guard allows no address of the host.
        """
        origin, target = address
        head = f"{method} {target} HTTP/1.1\r\nHost: {origin.named}\r\n{self._headers}"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        elif method == "POST":
            head += "Content-Length: 0\r\n"
        request = f"{head}\r\n".encode() + (body or b"")
        connection = self._kept(origin, idle) or await self._opened(origin, patience.connect)
        return await connection.ask(request, patience, sent)

    def _kept(self, origin: Origin, idle: float) -> Connection | None:
        """The connection that was busy last: the others may grow old."""
        kept = self._idle.get(origin)
        if kept and asyncio.get_running_loop().time() - kept[-1][1] <= idle:
            return kept.pop()[0]
        return None

    async def _opened(self, origin: Origin, seconds: float) -> Connection:
        loop = asyncio.get_running_loop()

        def connection() -> Connection:
            free, gone = partial(self._keep, origin), partial(self._forget, origin)
            return Connection(self._watch, free, gone)

        try:
            async with asyncio.timeout(seconds):
                socket = await self._names.connected(origin)
                secured = self._tls() if origin.scheme == "https" else None
                host = origin.host if secured else None
                _, made = await loop.create_connection(
                    connection, sock=socket, ssl=secured, server_hostname=host
                )
        except TimeoutError:
            raise NotSent(f"not connected within {seconds:.0f} s") from None
        except (OSError, UnicodeError) as error:
            raise NotSent(str(error) or type(error).__name__) from None
        self._all.add(made)
        return made

    def _tls(self) -> ssl.SSLContext:
        """Made when first needed: reading the system's certificates takes 20 ms."""
        if self._secured is None:
            self._secured = ssl.create_default_context()
            self._secured.set_alpn_protocols(["http/1.1"])
        return self._secured

    def _keep(self, origin: Origin, connection: Connection) -> None:
        kept, now = self._idle[origin], asyncio.get_running_loop().time()
        kept.append((connection, now))
        if now - kept[0][1] > _IDLE:
            kept[0][0].fail("it idled for too long")

    def _forget(self, origin: Origin, connection: Connection) -> None:
        self._all.discard(connection)
        left = [one for one in self._idle.pop(origin, []) if one[0] is not connection]
        if left:
            self._idle[origin] = left
