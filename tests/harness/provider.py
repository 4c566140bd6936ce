"""A real provider that talks to a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import anyio

from batchcap.domain.errors import NotAccepted
from batchcap.domain.events import Event, Warned
from batchcap.domain.models import Job, JobRequest, Row
from batchcap.domain.protocols import Provider
from batchcap.domain.shutdown import ShutdownToken
from batchcap.providers import PROVIDERS, ProviderContext
from batchcap.simulation.in_memory import InMemoryStore
from batchcap.transport.api_client import Api
from batchcap.transport.network import Network
from batchcap.transport.rate_limiter import Bucket
from batchcap.transport.sender import HttpSender
from tests.harness.clock import now
from tests.harness.runs import unlimited_settings


async def start_job(provider: Provider, row: Row) -> Job:
    """Return the job of a row: an existing one, or a new one."""
    prepared, failures = await provider.prepare(row), 0
    while isinstance(prepared, JobRequest):
        try:
            async with provider.send_slot(failures) as slot:
                return await slot.create(prepared)
        except NotAccepted as error:
            failures = error.failures
            await asyncio.sleep(error.delay)
    return prepared


class ProviderHarness:
    """A provider that is ready for requests, with its stored values and recorded events."""

    provider: Provider

    def __init__(self) -> None:
        self.notes = InMemoryStore()
        self.warnings: list[str] = []

    def observe(self, event: Event) -> None:
        if isinstance(event, Warned):
            self.warnings.append(event.message)


class ProviderServer(Protocol):
    """A server of a provider's API."""

    def environment(self) -> dict[str, str]:
        """Return the variables that point batchcap to the server."""
        ...


@asynccontextmanager
async def running_provider(
    sandbox: ProviderServer,
    name: str,
    environment: Mapping[str, str] | None = None,
    **changes: Any,
) -> AsyncIterator[ProviderHarness]:
    """Yield a registered provider that talks to a running sandbox, without rate limits."""
    here, spec, stop = ProviderHarness(), PROVIDERS[name], ShutdownToken()
    merged = {**sandbox.environment(), **(environment or {})}
    settings = unlimited_settings(Path("captions"), **changes)
    configured = spec.configure(merged, settings, sandbox=True)
    tools: Any = {"stop": stop, "observer": here.observe, "now": now}
    bucket = Bucket(name, None, connections=anyio.Semaphore(64), memory=here.notes, **tools)
    sender = HttpSender(configured.base_url, spec.headers(configured.secrets), Network())
    async with (
        anyio.create_task_group() as group,
        Api(sender, name, read=bucket, write=bucket, **tools) as api,
    ):
        group.start_soon(bucket.run)
        here.provider = spec.build(ProviderContext(api, configured, here.notes, here.observe, now))
        yield here
        group.cancel_scope.cancel()
