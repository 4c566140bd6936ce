"""A receiver of webhooks on loopback: notes what comes and answers as it is told."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web

from tests.sandbox.client import Client, asking


class Arrival(NamedTuple):
    """One attempt as it came; `time` is the event loop's."""

    time: float
    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def type(self) -> str:
        return str(self.body["type"])


async def nothing(_arrival: Arrival) -> None:
    pass


class Receiver:
    """Takes everything with 204, after the `answers` that it was given."""

    def __init__(self) -> None:
        self.url = ""
        self.arrivals: list[Arrival] = []
        self.answers: Iterator[int] = iter(())
        self.meanwhile: Callable[[Arrival], Awaitable[None]] = nothing
        """Done before each answer."""
        self.strict = False
        """Whether Mux events that are not rightly signed are answered 401."""
        self.seconds = 0.0
        """Loop seconds that each answer takes."""
        self.most = 0
        """The most requests that were open at once."""
        self._open = 0

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        now = asyncio.get_running_loop().time()
        raw = await request.read()
        arrival = Arrival(now, request.path, request.headers, raw)
        self.arrivals.append(arrival)
        self._open += 1
        self.most = max(self.most, self._open)
        try:
            await self.meanwhile(arrival)
            await asyncio.sleep(self.seconds)
        finally:
            self._open -= 1
        if self.strict and not rightly_signed(arrival):
            return web.Response(status=401)
        return web.Response(status=next(self.answers, 204))

    @property
    def words(self) -> list[str]:
        """The last part of each type, in the order of arrival."""
        return [arrival.type.rpartition(".")[2] for arrival in self.arrivals]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.take, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def told(**options: Any) -> AsyncIterator[tuple[Client, Receiver]]:
    """A sandbox that tells a receiver of both providers, and its client."""
    async with receiving() as receiver:
        urls = {
            "mux_webhook_url": f"{receiver.url}/mux",
            "heygen_webhook_url": f"{receiver.url}/heygen",
        }
        async with asking(**{**urls, **options}) as client:
            yield client, receiver


def signature(secret: str, signed: bytes) -> str:
    """What the providers' documents say, written down a second time."""
    return hmac.new(secret.encode(), signed, "sha256").hexdigest()


def rightly_signed(arrival: Arrival, secret: str = "whsec_sandbox_mux") -> bool:
    """Whether a Mux event carries the signature of its bytes and its time."""
    time, seal = arrival.headers["Mux-Signature"].split(",")
    stamp = time.removeprefix("t=").encode()
    return seal == "v1=" + signature(secret, stamp + b"." + arrival.raw)
