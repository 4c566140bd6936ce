"""Requests to any number of origins, on connections that are kept."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial

from batchcap.http.address import Address, Origin
from batchcap.http.connection import IDLE, Connection, Response
from batchcap.http.decoding import ACCEPTED
from batchcap.http.failures import NotSent
from batchcap.http.names import Guard, Names
from batchcap.http.patience import Patience, Watch

_LINE_END = re.compile(rb"[\r\n\0]")


class Client:
    """Sends requests with the same headers, each alone on its connection.

    How many there may be at once is the caller's affair. `guard` refuses IP addresses.
    Raises `ValueError` for a header that cannot be sent.
    """

    def __init__(self, headers: Mapping[str, str], *, guard: Guard | None = None) -> None:
        told = {"Accept-Encoding": ACCEPTED, **headers}
        self._headers = b"".join(_header(name, value) for name, value in told.items())
        self._names = Names(guard)
        self._watch = Watch()
        self._all: set[Connection] = set()
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)
        self._secured: ssl.SSLContext | None = None
        self._closed = False

    async def close(self) -> None:
        """End what is in the air, and open nothing any more."""
        self._closed = True
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
        idle: float = IDLE,
        sent: Callable[[], None] | None = None,
    ) -> Response:
        """Send once, on a connection that was busy within the last `idle` seconds or a new one.

        `body` is JSON. `sent` is called when the request may be on its way. Raises
        `NotSent`, `Lost`, and `Forbidden` where the guard allows no address of the host.
        """
        origin, target = address
        head = b"%b %b HTTP/1.1\r\nHost: %b\r\n%b" % (
            method.encode(),
            target.encode(),
            origin.named.encode(),
            self._headers,
        )
        if body is not None:
            head += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
        elif method == "POST":
            head += b"Content-Length: 0\r\n"
        request = head + b"\r\n" + (body or b"")
        connection = self._kept(origin, idle) or await self._opened(origin, patience.connect)
        return await connection.ask(request, patience, sent)

    def _kept(self, origin: Origin, idle: float) -> Connection | None:
        """The connection that was busy last: the others may grow old."""
        while (kept := self._idle.get(origin)) and kept[-1].idled() <= idle:
            connection = kept.pop()
            if connection.quiet():
                return connection
            connection.fail("the peer spoke unasked, or closed it")
        return None

    async def _opened(self, origin: Origin, seconds: float) -> Connection:
        def connection() -> Connection:
            free, gone = partial(self._keep, origin), partial(self._forget, origin)
            return Connection(loop, self._watch, free, gone)

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                secured = self._tls() if origin.scheme == "https" else None
                host = origin.host.rstrip(".") if secured else None
                socket = await self._names.connected(origin)
                _, made = await loop.create_connection(
                    connection, sock=socket, ssl=secured, server_hostname=host
                )
        except TimeoutError:
            raise NotSent(f"not connected within {seconds:.0f} s") from None
        except (OSError, UnicodeError, RuntimeError) as error:  # the last: uvloop, of a socket
            raise NotSent(str(error) or type(error).__name__) from None
        if self._closed:
            made.fail("the client was closed")
        if made.failed:  # some peers are quicker than we are
            raise NotSent("the connection was closed before it was used")
        self._all.add(made)
        return made

    def _tls(self) -> ssl.SSLContext:
        """Made when first needed: the system's certificates take 24 ms of CPU to read."""
        if self._secured is None:
            self._secured = ssl.create_default_context()
            self._secured.set_alpn_protocols(["http/1.1"])
        return self._secured

    def _keep(self, origin: Origin, connection: Connection) -> None:
        self._idle[origin].append(connection)

    def _forget(self, origin: Origin, connection: Connection) -> None:
        self._all.discard(connection)
        left = [one for one in self._idle.pop(origin, []) if one is not connection]
        if left:
            self._idle[origin] = left


def _header(name: str, value: str) -> bytes:
    """One header; its value may be a secret, and no error repeats it."""
    try:
        line = f"{name}: {value}".encode()
    except UnicodeEncodeError:
        raise ValueError(f"the header {name!r} holds half a character") from None
    if _LINE_END.search(line):
        raise ValueError(f"the header {name!r} holds a line break")
    return line + b"\r\n"
