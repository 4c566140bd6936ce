"""How often and how long after a failure it is worth another try.

A pure schedule: no clock, no sleep. Only what is safe to repeat asks it; a
create that may have arrived never does.
"""

from __future__ import annotations

import email.utils
import math
import random
from collections.abc import Callable
from datetime import UTC

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """`attempts` tries; `first` seconds before the second, doubling up to `longest`.

    Each delay loses up to `jitter` of itself by chance, so that many who failed
    together do not come back together.
    """

    attempts: int = 6
    first: float = 0.5
    longest: float = 20.0
    jitter: float = 0.25

    def delay(self, failures: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds to wait after so many failures in a row (from 1)."""
        full: float = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        return full * (1 - self.jitter * chance())


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for: a number or an HTTP date.

    `now` is unix seconds. None where there is no header or it says nothing
    (RFC 9110, 10.2.3). Not clamped: a peer that asks for a day gets a day.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = (http_date(value) or math.nan) - now
    return max(0.0, seconds) if math.isfinite(seconds) else None


def http_date(value: str | None) -> float | None:
    """Unix seconds of an HTTP date, in UTC where it names no zone; None where it is none."""
    try:
        date = email.utils.parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
