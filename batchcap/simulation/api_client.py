"""A `Sender` that passes its requests to a provider in memory."""

from __future__ import annotations

import asyncio

from batchcap.domain.models import Json
from batchcap.simulation.providers import InMemoryProvider
from batchcap.transport.response import ApiResponse


class InMemorySender:
    """Passes each request to `provider`.

    A request takes `latency` seconds to arrive, and its response as long to return.
    """

    host = "simulation.invalid"

    def __init__(self, provider: InMemoryProvider, latency: float) -> None:
        self._provider, self._latency = provider, latency

    async def send(self, method: str, path: str, body: Json | None) -> ApiResponse:
        """See `sender.Sender.send`."""
        await asyncio.sleep(self._latency)
        status, content = self._provider.answer(method, path, body)
        await asyncio.sleep(self._latency)
        return ApiResponse(status, {}, content)

    async def close(self) -> None:
        """See `sender.Sender.close`."""
