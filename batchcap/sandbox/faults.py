"""Decides which requests, jobs and events a fault hits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from batchcap.sandbox import random_draws

_API_FAULTS = (
    *("throttle", "server_error", "html_error", "empty_error"),
    *("reset", "cut_body", "slow_body"),
)
_DOWNLOAD_FAULTS = (
    *("server_error", "html_error", "empty_error"),
    *("reset", "cut_body", "slow_body", "not_vtt"),
)

FAULTS_BY_GROUP: Mapping[str, tuple[str, ...]] = {
    "read": _API_FAULTS,
    "create": ("lost_create", "late_create", *_API_FAULTS),
    "write": ("lost_create", *_API_FAULTS),
    "stream": _DOWNLOAD_FAULTS,
    "file": ("expired_link", *_DOWNLOAD_FAULTS),
}
"""The faults that may hit each group of routes. The first one that is drawn applies."""


class FaultInjector:
    """Draws faults by seed, independent of the time and the order of requests.

    The n-th request for a key meets the same fault in every run. After `max_streak` faults in
    a row a key gets a clean response, so that a client that retries succeeds in the end.
    """

    def __init__(self, seed: int, shares: Mapping[str, float], max_streak: int) -> None:
        self._seed = seed
        self._request_count: Counter[tuple[str, str]] = Counter()
        self._streak: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.configure(shares, max_streak)

    def configure(self, shares: Mapping[str, float], max_streak: int) -> None:
        """Use other shares from now on. Requests seen so far stay counted."""
        self._shares = {fault: share for fault, share in shares.items() if share > 0}
        self._max_streak = max_streak

    def draw_for_request(self, group: str, route: str, key: str) -> str | None:
        """Count a request and return the fault that hits it, or None."""
        if not self._shares:
            return None
        target = (route, key)
        self._request_count[target] += 1
        fault = self._draw(group, target)
        self._streak[target] = self._streak[target] + 1 if fault else 0
        return fault

    def _draw(self, group: str, target: tuple[str, str]) -> str | None:
        if self._streak[target] >= self._max_streak:
            return None
        for fault in FAULTS_BY_GROUP.get(group, ()):
            share = self._shares.get(fault, 0.0)
            number = self._request_count[target]
            if share and random_draws.uniform(self._seed, fault, *target, number) < share:
                return fault
        return None

    def hits(self, fault: str, key: str, attempt: int = 0) -> bool:
        """Return whether the fault hits the n-th attempt (from 0) of a job, video or event."""
        share = self._shares.get(fault, 0.0)
        if not share or attempt >= self._max_streak:
            return False
        return random_draws.uniform(self._seed, fault, key, attempt) < share
