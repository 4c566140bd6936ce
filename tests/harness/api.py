"""Rate limiters and requests of an API client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from batchcap.domain.errors import NotAccepted
from batchcap.domain.shutdown import ShutdownToken
from batchcap.simulation.in_memory import InMemoryStore
from batchcap.transport.api_client import Api
from batchcap.transport.rate_limiter import Bucket
from batchcap.transport.response import Answer
from tests.harness.clock import now
from tests.harness.observers import Recorder


def bucket(
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
    """Let buckets give turns for as long as the block runs."""
    async with anyio.create_task_group() as group:
        for one in buckets:
            group.start_soon(one.run)
        try:
            yield
        finally:
            group.cancel_scope.cancel()


async def post_until_accepted(api: Api, path: str, body: Any) -> Answer:
    """The answer to a POST, which is repeated as long as it is surely not accepted."""
    failures = 0
    while True:
        try:
            async with api.send_slot(failures=failures) as slot:
                return await slot.post(path, body)
        except NotAccepted as error:
            failures = error.failures
            await asyncio.sleep(error.delay)
