"""The sandbox's wall clock, driven by the event loop alone."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from email.utils import formatdate

_ROUNDING_MARGIN = 1e-6  # seconds; a little more than the resolution of unix time in a float


class Clock:
    """Unix seconds that start at `epoch` and pass `speed` times as fast as the loop's.

    On a loop with virtual time the clock is virtual too. It stands still while the sandbox
    is stopped.
    """

    def __init__(self, loop: AbstractEventLoop, epoch: float, speed: float = 1.0) -> None:
        self._loop = loop
        self._epoch = epoch
        self._speed = speed
        self._start = loop.time()
        self._cached_date = (0, "")

    def now(self) -> float:
        """Return the sandbox time in unix seconds."""
        return self._epoch + (self._loop.time() - self._start) * self._speed

    def loop_seconds_until(self, due: float) -> float | None:
        """Return the loop seconds until `now` reaches `due`, or None if it never does."""
        if self._speed <= 0:
            return None
        return max(0.0, (due - self.now()) / self._speed) + _ROUNDING_MARGIN

    def advance(self, seconds: float) -> None:
        """Put the clock forward by that much sandbox time."""
        self._epoch += seconds

    def http_date(self, after: float = 0.0) -> str:
        """Return sandbox time plus `after` seconds as an HTTP date."""
        second = int(self.now() + after)
        if self._cached_date[0] != second:
            self._cached_date = (second, formatdate(second, usegmt=True))
        return self._cached_date[1]
