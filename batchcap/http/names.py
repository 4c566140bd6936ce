"""From a host's name to the addresses that may be connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from typing import Any

from aiohappyeyeballs import AddrInfoType, start_connection

from batchcap.http.address import Origin

Guard = Callable[[str], bool]
"""Whether an IP address may be connected to."""

_FRESH = 10.0
"""Seconds for which an answer is shared: a burst of connections asks once."""

_HEAD_START = 0.25
"""Seconds that one address has before the next is tried beside it (RFC 8305)."""


class Forbidden(Exception):
    """A name all of whose addresses are refused by the guard; another try changes nothing."""


class Names:
    """Resolves names in a thread, and connects to what the guard allows.

    The system's resolver: c-ares, an alternative, is known for outages.
    """

    def __init__(self, guard: Guard | None) -> None:
        self._guard = guard
        self._asked: dict[tuple[str, int], tuple[float, asyncio.Task[list[AddrInfoType]]]] = {}
        self._swept = 0.0

    async def connected(self, origin: Origin) -> socket.socket:
        """A socket that is connected to an address of the origin's host.

        Raises `OSError`, and `Forbidden` where the guard allows none.
        """
        found = await self._shared(origin.host, origin.port)
        allowed = [one for one in found if self._guard is None or self._guard(one[4][0])]
        if not allowed:
            raise Forbidden(f"{origin.host} is not at a public address")
        return await start_connection(allowed, happy_eyeballs_delay=_HEAD_START, interleave=1)

    async def _shared(self, host: str, port: int) -> list[AddrInfoType]:
        now, key = asyncio.get_running_loop().time(), (host, port)
        self._sweep(now)
        asked, answer = self._asked.get(key, (0.0, None))
        if answer is None or now - asked > _FRESH or _failed(answer):
            answer = asyncio.create_task(_resolved(host, port))
            answer.add_done_callback(_failed)  # looked at, also where nobody waits any more
            self._asked[key] = now, answer
        await asyncio.wait([answer])  # who is cancelled here does not cancel it for the others
        return answer.result()

    def _sweep(self, now: float) -> None:
        """Forget what is not fresh: links may lead to any number of hosts."""
        if now - self._swept > _FRESH:
            self._swept = now
            fresh = {key: one for key, one in self._asked.items() if now - one[0] <= _FRESH}
            self._asked = fresh


def _failed(answer: asyncio.Task[list[AddrInfoType]]) -> bool:
    return answer.done() and (answer.cancelled() or answer.exception() is not None)


async def _resolved(host: str, port: int) -> list[AddrInfoType]:
    if _is_address(host):  # needs no thread, and no AI_ADDRCONFIG that would hide loopback
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        found: list[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    else:
        loop, flags = asyncio.get_running_loop(), socket.AI_ADDRCONFIG
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return found


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
