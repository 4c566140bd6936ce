"""An orderly stop: every wait of a run ends at once, and open requests finish.

Rows wait for quota, for jobs and for a backoff. All of these waits are futures made by a
`ShutdownToken`; a first Ctrl-C makes them raise `Stopped`. Requests and downloads that are
under way are no waits: they get the time that they need.
"""

from __future__ import annotations

import asyncio
from typing import Any

from batchcap.domain.errors import Stopped


class ShutdownToken:
    """Tells the parts of a run that it is being stopped. There is no way back."""

    def __init__(self) -> None:
        self.requested = False
        self._waits: set[asyncio.Future[Any]] = set()
        self._children: list[ShutdownToken] = []

    def child(self) -> ShutdownToken:
        """Return a token for a part of the run.

        It is requested with this one; requesting it does not affect this one.
        """
        child = ShutdownToken()
        child.requested = self.requested
        self._children.append(child)
        return child

    def request(self) -> None:
        """Make every wait raise `Stopped`, now and from now on."""
        self.requested = True
        for child in self._children:
            child.request()
        for wait in list(self._waits):
            if not wait.done():
                wait.set_exception(Stopped())

    def raise_if_requested(self) -> None:
        """Check the token.

        Raises:
            Stopped: The run is being stopped.
        """
        if self.requested:
            raise Stopped

    def waiter(self) -> asyncio.Future[Any]:
        """Return a future for the caller to resolve; a stop makes it raise `Stopped`.

        Raises:
            Stopped: The run is being stopped already.
        """
        self.raise_if_requested()
        wait: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waits.add(wait)
        wait.add_done_callback(self._waits.discard)
        return wait

    async def sleep(self, seconds: float) -> None:
        """Sleep; no time at all if `seconds` is not positive.

        Raises:
            Stopped: The run was stopped before the time was over.
        """
        wait = self.waiter()
        timer = asyncio.get_running_loop().call_later(max(seconds, 0), _finish, wait)
        try:
            await wait
        finally:
            timer.cancel()


def _finish(wait: asyncio.Future[Any]) -> None:
    if not wait.done():
        wait.set_result(None)
