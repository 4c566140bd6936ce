"""An orderly stop: every wait of a run ends at once, what is in the air lands.

Rows wait for quota, for jobs, for a backoff, and all of these waits are futures
made here. A first Ctrl-C fails them with `Stopped`; requests and downloads that
are under way are not waits, and get their time.
"""

from __future__ import annotations

import asyncio
from typing import Any

from batchcap.domain.errors import Stopped


class Stop:
    """The run's one switch from "go on" to "finish what is in the air"."""

    def __init__(self) -> None:
        self.requested = False
        self._waits: set[asyncio.Future[Any]] = set()
        self._children: list[Stop] = []

    def child(self) -> Stop:
        """A switch for a part of the run: it follows this one, not the other way round."""
        child = Stop()
        child.requested = self.requested
        self._children.append(child)
        return child

    def request(self) -> None:
        """End every wait with `Stopped`, now and from now on."""
        self.requested = True
        for child in self._children:
            child.request()
        for wait in list(self._waits):
            if not wait.done():
                wait.set_exception(Stopped())

    def check(self) -> None:
        """Raise `Stopped` where the run is being stopped."""
        if self.requested:
            raise Stopped

    def future(self) -> asyncio.Future[Any]:
        """A wait that somebody else ends, or the stop does. Raises `Stopped`."""
        self.check()
        wait: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waits.add(wait)
        wait.add_done_callback(self._waits.discard)
        return wait

    async def sleep(self, seconds: float) -> None:
        """Wait; raises `Stopped` where the run is stopped before the time is over."""
        wait = self.future()
        timer = asyncio.get_running_loop().call_later(max(seconds, 0), _finish, wait)
        try:
            await wait
        finally:
            timer.cancel()


def _finish(wait: asyncio.Future[Any]) -> None:
    if not wait.done():
        wait.set_result(None)
