"""An `Api` whose requests end in a world in memory: paced, judged and repeated as ever."""

from __future__ import annotations

import asyncio
from typing import Any

from batchcap.answers import Answer
from batchcap.model import Json
from batchcap.rehearsal.world import World
from batchcap.transport import Api


class WorldApi(Api):
    """`latency` seconds lie between a request and its arrival, and again before its answer."""

    def __init__(self, world: World, *args: Any, latency: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._world, self._latency = world, latency

    async def _exchange(self, method: str, path: str, body: Json | None) -> Answer:
        await asyncio.sleep(self._latency)
        status, said = self._world.answer(method, path, body)
        await asyncio.sleep(self._latency)
        return Answer(status, {}, said)
