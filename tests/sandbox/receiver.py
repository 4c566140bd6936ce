"""A receiver of webhooks on loopback that records events and responds as a test wants."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web

from tests.sandbox.client import SandboxClient, sandbox_client


class Arrival(NamedTuple):
    """One attempt as it arrived; `time` is the event loop's."""

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


async def _do_nothing(_arrival: Arrival) -> None:
    pass


class FakeReceiver:
    """Responds with the given `statuses`, then always with 204."""

    def __init__(self) -> None:
        self.url = ""
        self.arrivals: list[Arrival] = []
        self.statuses: Iterator[int] = iter(())
        self.before_response: Callable[[Arrival], Awaitable[None]] = _do_nothing
        self.checks_signatures = False
        """Whether Mux events without a valid signature get 401."""
        self.delay = 0.0
        """Loop seconds before each response."""
        self.max_concurrent = 0
        """The largest number of requests that were open at once."""
        self._open_requests = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        now = asyncio.get_running_loop().time()
        raw = await request.read()
        arrival = Arrival(now, request.path, request.headers, raw)
        self.arrivals.append(arrival)
        self._open_requests += 1
        self.max_concurrent = max(self.max_concurrent, self._open_requests)
        try:
            await self.before_response(arrival)
            await asyncio.sleep(self.delay)
        finally:
            self._open_requests -= 1
        if self.checks_signatures and not is_signed(arrival):
            return web.Response(status=401)
        return web.Response(status=next(self.statuses, 204))

    @property
    def mux_statuses(self) -> list[str]:
        """The last part of each Mux event's type, in order of arrival."""
        return [arrival.type.rpartition(".")[2] for arrival in self.arrivals]

    @property
    def mux_ids(self) -> list[str]:
        """The id of each Mux event, in order of arrival."""
        return [arrival.body["id"] for arrival in self.arrivals]


@asynccontextmanager
async def fake_receiver() -> AsyncIterator[FakeReceiver]:
    """Start a receiver."""
    receiver = FakeReceiver()
    runner = web.ServerRunner(web.Server(receiver.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@asynccontextmanager
async def sandbox_and_receiver(**options: Any) -> AsyncIterator[tuple[SandboxClient, FakeReceiver]]:
    """Start a sandbox that sends the events of both providers to a receiver."""
    async with fake_receiver() as receiver:
        urls = {
            "mux_webhook_url": f"{receiver.url}/mux",
            "heygen_webhook_url": f"{receiver.url}/heygen",
        }
        async with sandbox_client(**{**urls, **options}) as client:
            yield client, receiver


def hmac_hex(secret: str, message: bytes) -> str:
    """Return the signature by the providers' documents, independent of batchcap's code."""
    return hmac.new(secret.encode(), message, "sha256").hexdigest()


def is_signed(arrival: Arrival, secret: str = "whsec_sandbox_mux") -> bool:
    """Return whether a Mux event has a valid signature of its time and body."""
    timestamp_field, signature = arrival.headers["Mux-Signature"].split(",")
    timestamp = timestamp_field.removeprefix("t=").encode()
    return signature == "v1=" + hmac_hex(secret, timestamp + b"." + arrival.raw)
