"""Token buckets: what each provider takes per second."""

from __future__ import annotations

import math

from batchcap.sandbox.options import SandboxOptions

_ROUNDING = 1e-3
"""The part of a token that a bucket lends: clocks and timers are not exact to the last bit."""


class Bucket:
    """Refills at `rate` tokens a second up to `burst`; times are those of the event loop."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self._room = float(max(1, burst))
        self._tokens = self._room
        self._seen = -math.inf

    def take(self, now: float) -> float:
        """Spend a token and return 0, or return the seconds until there is one."""
        if self._seen > -math.inf:
            self._tokens = min(self._room, self._tokens + (now - self._seen) * self.rate)
        self._seen = now
        if self._tokens >= 1 - _ROUNDING:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self.rate

    @property
    def left(self) -> int:
        """Whole tokens left."""
        return max(0, int(self._tokens))


class Limits:
    """The buckets there are; a bucket without a rate has no limit."""

    def __init__(self, options: SandboxOptions) -> None:
        rates = {
            "mux.write": options.mux_write_rate,
            "mux.read": options.mux_read_rate,
            "heygen": options.heygen_rate,
        }
        self._buckets = {
            name: Bucket(rate, options.burst) for name, rate in rates.items() if rate is not None
        }

    def bucket(self, name: str) -> Bucket | None:
        """The bucket of that name, None where its limit is lifted."""
        return self._buckets.get(name)
