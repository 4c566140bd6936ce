"""The sandbox's wall clock, driven by the event loop and nothing else."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from email.utils import formatdate

_GRAIN = 1e-6
"""Seconds: a little more than how finely a float tells unix time."""


class Clock:
    """Unix seconds that start at `epoch` and pass `speed` times as fast as the loop's.

    A loop on virtual time carries it along; while the sandbox is off it stands still.
    """

    def __init__(self, loop: AbstractEventLoop, epoch: float, speed: float = 1.0) -> None:
        self._loop = loop
        self._epoch = epoch
        self._speed = speed
        self._start = loop.time()
        self._date = (0, "")

    def now(self) -> float:
        """Sandbox time in unix seconds."""
        return self._epoch + (self._loop.time() - self._start) * self._speed

    def until(self, due: float) -> float | None:
        """Loop seconds after which `now` has reached that time; None: it never does."""
        if self._speed <= 0:
            return None
        return max(0.0, (due - self.now()) / self._speed) + _GRAIN

    def advance(self, seconds: float) -> None:
        """Put the clock forward, as if that much sandbox time had passed."""
        self._epoch += seconds

    def date(self, after: float = 0.0) -> str:
        """Sandbox time plus `after` seconds as an HTTP date."""
        second = int(self.now() + after)
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True))
        return self._date[1]
