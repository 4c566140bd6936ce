"""Rate limiters and requests of an API client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import orjson
from aiohttp import web

from batchcap.domain.backoff import Backoff
from batchcap.domain.errors import NotAccepted
from batchcap.domain.shutdown import ShutdownToken
from batchcap.simulation.in_memory import InMemoryStore
from batchcap.transport.api_client import Api
from batchcap.transport.network import Network
from batchcap.transport.rate_limiter import Bucket, Priority
from batchcap.transport.response import ApiResponse
from batchcap.transport.sender import HttpSender
from tests.harness.clock import clock, now
from tests.harness.observers import Recorder
from tests.harness.servers import Handler, http_server


def make_bucket(
    rate: float | None,
    *,
    name: str = "test",
    connections: anyio.Semaphore | None = None,
    stop: ShutdownToken | None = None,
    memory: InMemoryStore | None = None,
    observer: Recorder | None = None,
    adaptive: bool = False,
) -> Bucket:
    return Bucket(
        name,
        rate,
        connections=connections or anyio.Semaphore(64, fast_acquire=True),
        stop=stop or ShutdownToken(),
        memory=memory or InMemoryStore(),
        observer=observer or Recorder(),
        now=now,
        adaptive=adaptive,
    )


@asynccontextmanager
async def running_buckets(*buckets: Bucket) -> AsyncIterator[None]:
    """Let buckets grant requests while the block runs."""
    async with anyio.create_task_group() as group:
        for bucket in buckets:
            group.start_soon(bucket.run)
        try:
            yield
        finally:
            group.cancel_scope.cancel()


async def post_until_accepted(api: Api, path: str, body: Any) -> ApiResponse:
    """Return the response to a POST, which is repeated while it is certainly not accepted."""
    failures = 0
    while True:
        try:
            async with api.send_slot(failures=failures) as slot:
                return await slot.post(path, body)
        except NotAccepted as error:
            failures = error.failures
            await asyncio.sleep(error.delay)


WITHOUT_JITTER = Backoff(jitter=0.0)


class ScriptedServer:
    """A server that sends its answers in order, repeats the last one, and records the requests."""

    def __init__(self, *answers: Callable[[], web.StreamResponse]) -> None:
        self.answers = list(answers)
        self.times: list[float] = []
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.times.append(clock())
        self.requests.append(request)
        self.bodies.append(await request.read())
        return self.answers[min(len(self.times), len(self.answers)) - 1]()

    @property
    def gaps(self) -> list[float]:
        pairs = zip(self.times, self.times[1:], strict=False)
        return [round(later - earlier, 2) for earlier, later in pairs]


def response_with(status: int, body: Any = None, **headers: str) -> Callable[[], web.Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: web.Response(status=status, body=orjson.dumps(body or {}), headers=named)


class ApiHarness:
    """An `Api` with its buckets, circuit breaker and sender."""

    def __init__(self, url: str, **options: Any) -> None:
        self.stop = ShutdownToken()
        self.observer = Recorder()
        self.connections = anyio.Semaphore(8, fast_acquire=True)
        shared: dict[str, Any] = {
            "connections": self.connections,
            "stop": self.stop,
            "observer": self.observer,
        }
        self.read: Bucket = make_bucket(options.get("rate"), name="read", **shared)
        self.write: Bucket = make_bucket(options.get("rate"), name="write", **shared)
        self.api = Api(
            HttpSender(url, {"Authorization": "Basic secret"}, Network()),
            "mux",
            read=self.read,
            write=self.write,
            stop=self.stop,
            observer=self.observer,
            now=now,
            backoff=WITHOUT_JITTER,
        )

    async def get(self, path: str = "/x", **query: str) -> ApiResponse:
        return await self.api.get(path, query, priority=Priority.POLL)

    async def post(self, path: str = "/x", body: Any = None) -> ApiResponse:
        return await post_until_accepted(self.api, path, body or {})


@asynccontextmanager
async def running_api(url: str, **options: Any) -> AsyncIterator[ApiHarness]:
    harness = ApiHarness(url, **options)
    async with running_buckets(harness.read, harness.write), harness.api:
        yield harness
        assert harness.connections.value == 8, "a connection was not given back"


@asynccontextmanager
async def running_api_and_server(handler: Handler, **options: Any) -> AsyncIterator[ApiHarness]:
    async with http_server(handler) as url, running_api(url, **options) as harness:
        yield harness
