"""A `Sender` whose requests end in a world in memory."""

from __future__ import annotations

import asyncio

from batchcap.domain.models import Json
from batchcap.simulation.providers import World
from batchcap.transport.response import Answer


class WorldSender:
    """`latency` seconds lie between a request and its arrival, and again before its answer."""

    host = "world.invalid"

    def __init__(self, world: World, latency: float) -> None:
        self._world, self._latency = world, latency

    async def send(self, method: str, path: str, body: Json | None) -> Answer:
        """See `sender.Sender.send`."""
        await asyncio.sleep(self._latency)
        status, content = self._world.answer(method, path, body)
        await asyncio.sleep(self._latency)
        return Answer(status, {}, content)

    async def close(self) -> None:
        """See `sender.Sender.close`."""
