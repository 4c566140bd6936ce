"""Token buckets: how many requests a second each provider accepts."""

from __future__ import annotations

import math

from batchcap.sandbox.options import SandboxOptions

_TOLERANCE = 1e-3
"""The part of a token that may be missing: clocks and timers are not exact to the last bit."""


class TokenBucket:
    """Refills at `rate` tokens a second, up to `burst`. Times are those of the event loop."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self._capacity = float(max(1, burst))
        self._tokens = self._capacity
        self._updated_at = -math.inf

    def take(self, now: float) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        if self._updated_at > -math.inf:
            refill = (now - self._updated_at) * self.rate
            self._tokens = min(self._capacity, self._tokens + refill)
        self._updated_at = now
        if self._tokens >= 1 - _TOLERANCE:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self.rate

    @property
    def remaining(self) -> int:
        """The number of whole tokens left."""
        return max(0, int(self._tokens))


class RateLimits:
    """The token buckets by name. A bucket without a rate does not exist: no limit applies."""

    def __init__(self, options: SandboxOptions) -> None:
        rates = {
            "mux.write": options.mux_write_rate,
            "mux.read": options.mux_read_rate,
            "mux.write.high": options.mux_write_rate,
            "mux.read.high": options.mux_read_rate,
            "heygen": options.heygen_rate,
        }
        self._buckets = {
            name: TokenBucket(rate, options.burst)
            for name, rate in rates.items()
            if rate is not None
        }

    def get(self, name: str) -> TokenBucket | None:
        """Return the bucket of that name, or None if no limit applies."""
        return self._buckets.get(name)
