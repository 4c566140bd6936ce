"""How often to repeat what failed, and how long to wait before.

A pure schedule: no clock, no sleep. It is only asked for what is safe to repeat; a create
that may have arrived is not.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """`attempts` tries; `first` seconds before the second, doubling up to `longest`.

    Each delay is shortened by up to `jitter` of itself at random, so that requests that
    failed together do not come back together.
    """

    attempts: int = 6
    first: float = 0.5
    longest: float = 20.0
    jitter: float = 0.25

    def delay(self, failures: int, chance: Callable[[], float] = random.random) -> float:
        """Return the seconds to wait after this many failures in a row (from 1)."""
        full: float = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        return full * (1 - self.jitter * chance())
