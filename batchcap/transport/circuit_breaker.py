"""A circuit breaker: in an outage, requests wait for its end instead of failing row after row.

The circuit opens after a number of failures without a success in between; a failure rate would
open it because of a few bad rows. While it is open, one probe is let through per back-off
interval and all other requests wait. Failures during an outage do not count as attempts of a
request. Polls are not held up, and serve as probes too.

The circuit does not open before the provider has responded once: a provider that never did is
probably misconfigured (see `first_contact`).
"""

from __future__ import annotations

import asyncio
from collections import deque

from batchcap.domain.backoff import Backoff
from batchcap.domain.events import Recovered, Waiting, Warned
from batchcap.domain.protocols import Observer
from batchcap.domain.shutdown import ShutdownToken

FAILURE_THRESHOLD = 10
"""Failures without a success in between that open the circuit."""

MAX_OPEN, EXTENDED_MAX_OPEN = 600.0, 3600.0
"""Seconds that a request waits for the end of an outage: if its row has a job, and if its row is
new. Then the request is sent: the row itself may be the cause, and every run has to end."""


class CircuitBreaker:
    """The state of one server. `name` is the server's name in messages."""

    def __init__(self, name: str, stop: ShutdownToken, observer: Observer) -> None:
        self._name, self._stop, self._observer = name, stop, observer
        self._backoff = Backoff(first=2.0, longest=60.0)
        self._failures = 0
        self._has_responded = False
        self._probes = 0
        self._opened_at: float | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.is_open = False

    async def wait_until_closed(self, *, extended_wait: bool) -> bool:
        """Wait until an outage ends, or until it is this request's turn to be the probe.

        Returns whether the caller may send even if the circuit is open: as a probe, or because
        the outage has lasted longer than its requests wait.

        Raises:
            Stopped: The run is stopped first.
        """
        if not self.is_open:
            return False
        if not self.is_outage(extended_wait=extended_wait):
            return True
        waiter = self._stop.waiter()
        self._waiting.append(waiter)
        await waiter
        return True

    def is_outage(self, *, extended_wait: bool) -> bool:
        """Return whether a failure now belongs to an outage that the request waits for."""
        return self.is_open and self._open_seconds() <= (
            EXTENDED_MAX_OPEN if extended_wait else MAX_OPEN
        )

    def record_success(self) -> None:
        """Close the circuit: the server responded."""
        self._failures, self._has_responded = 0, True
        if self._opened_at is not None:
            self.is_open, self._opened_at = False, None
            self._observer(Recovered(self._name))
            self._cancel_timer()
            self._release(len(self._waiting))

    def record_failure(self, *, responded: bool = False) -> None:
        """Count a request without a usable response; open the circuit if it is one too many.

        `responded`: there was a response, such as 503.
        """
        self._failures += 1
        self._has_responded = self._has_responded or responded
        if not self._has_responded or self._failures < FAILURE_THRESHOLD:
            return
        if not self.is_open:
            self.is_open = True
            if self._opened_at is None:
                self._probes, self._opened_at = 0, _clock()
                message = f"{self._name} is not responding; waiting for it to recover"
                self._observer(Warned(message))
        if self._timer is None:
            self._probes += 1
            delay = self._backoff.delay(self._probes)
            self._observer(Waiting(self._name, "its recovery", delay))
            self._timer = asyncio.get_running_loop().call_later(delay, self._send_probe)

    def _send_probe(self) -> None:
        """Let one request through. If none waits, the next one to come is the probe."""
        self._timer = None
        count = len(self._waiting) if self._open_seconds() > MAX_OPEN else 1
        if not self._release(count):
            self.is_open, self._failures = False, FAILURE_THRESHOLD - 1

    def _release(self, count: int) -> bool:
        released = 0
        while self._waiting and released < count:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                released += 1
        return released > 0

    def _open_seconds(self) -> float:
        return 0.0 if self._opened_at is None else _clock() - self._opened_at

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _clock() -> float:
    return asyncio.get_running_loop().time()
