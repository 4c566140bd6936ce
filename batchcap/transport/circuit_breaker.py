"""An outage of a provider: wait for its end instead of failing row after row.

The circuit opens after failures in a row without a success between (a ratio would
open it for a few bad rows). While it is open, one request in a while goes and
sees; the others wait, and a failure is no attempt of anybody's. Polls go on, and
are as good as a probe. Nothing opens before the provider answered once: what never
answered is more likely misconfigured than out of order.
"""

from __future__ import annotations

import asyncio
from collections import deque

from batchcap.domain.backoff import Backoff
from batchcap.domain.events import Warned
from batchcap.domain.protocols import Observer
from batchcap.domain.shutdown import ShutdownToken

_IN_A_ROW = 10
_PATIENCE, _MORE_PATIENCE = 600.0, 3600.0
"""Seconds of an outage for which rows wait that are nearly done, and new ones: whatever
is out of order for longer may be a row's own fault, and every run has to end."""


class Circuit:
    """One provider's state of health."""

    def __init__(self, provider: str, stop: ShutdownToken, observer: Observer) -> None:
        self._provider, self._stop, self._observer = provider, stop, observer
        self._backoff = Backoff(first=2.0, longest=60.0)
        self._failures = 0
        self._reached = False
        self._probes = 0
        self._opened_at: float | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.open = False

    async def enter(self, *, patient: bool) -> bool:
        """Wait until the provider is back, or until it is this one's turn to see.

        Returns whether it may go even while the circuit is open, as everybody may once
        the outage lasts for longer than anybody waits. Raises `Stopped`.
        """
        if not self.open:
            return False
        if not self.excuses(patient=patient):
            return True
        wait = self._stop.waiter()
        self._waiting.append(wait)
        await wait
        return True

    def excuses(self, *, patient: bool) -> bool:
        """Whether a failure now is the outage's, and no attempt."""
        return self.open and self._lasted() <= (_MORE_PATIENCE if patient else _PATIENCE)

    def succeeded(self) -> None:
        """The provider answered."""
        self._failures, self._reached = 0, True
        if self._opened_at is not None:
            self.open, self._opened_at = False, None
            self._observer(Warned(f"{self._provider} answers again"))
            self._cancel_timer()
            self._release(len(self._waiting))

    def failed(self, *, answered: bool = False) -> None:
        """A request got no usable answer, or one that says that the provider is in trouble."""
        self._failures += 1
        self._reached = self._reached or answered
        if not self._reached or self._failures < _IN_A_ROW:
            return
        if not self.open:
            self.open = True
            if self._opened_at is None:
                self._probes, self._opened_at = 0, _clock()
                self._observer(Warned(f"{self._provider} is out of reach; its rows wait for it"))
        if self._timer is None:
            self._probes += 1
            delay = self._backoff.delay(self._probes)
            self._timer = asyncio.get_running_loop().call_later(delay, self._probe)

    def _probe(self) -> None:
        """Let one go and see; where nobody waits, the next one to come."""
        self._timer = None
        everybody = len(self._waiting) if self._lasted() > _PATIENCE else 1
        if not self._release(everybody):
            self.open, self._failures = False, _IN_A_ROW - 1

    def _release(self, count: int) -> bool:
        released = 0
        while self._waiting and released < count:
            wait = self._waiting.popleft()
            if not wait.done():
                wait.set_result(None)
                released += 1
        return released > 0

    def _lasted(self) -> float:
        return 0.0 if self._opened_at is None else _clock() - self._opened_at

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _clock() -> float:
    return asyncio.get_running_loop().time()
