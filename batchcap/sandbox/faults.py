"""Which request meets which fault."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from batchcap.sandbox import random_draws

_API = ("throttle", "server_error", "html_error", "empty_error", "reset", "cut_body", "slow_body")
_FETCH = ("server_error", "html_error", "empty_error", "reset", "cut_body", "slow_body", "not_vtt")

HITTABLE: Mapping[str, tuple[str, ...]] = {
    "read": _API,
    "create": ("lost_create", "late_create", *_API),
    "stream": _FETCH,
    "file": ("expired_link", *_FETCH),
}
"""The faults that may hit each kind of request, the first that is drawn wins."""


class Faults:
    """Draws faults by seed, so that neither time nor order of requests matters.

    The n-th request of a key meets the same fault in every run. After `streak`
    faults in a row a key gets a clean answer, so that whoever retries gets there.
    """

    def __init__(self, seed: int, shares: Mapping[str, float], streak: int) -> None:
        self._seed = seed
        self._shares = {fault: hit for fault, hit in shares.items() if hit > 0}
        self._streak = streak
        self._asked: Counter[tuple[str, str]] = Counter()
        self._in_a_row: defaultdict[tuple[str, str], int] = defaultdict(int)

    def change(self, shares: Mapping[str, float], streak: int) -> None:
        """Go on with other shares; what was asked so far stays counted."""
        self._shares = {fault: hit for fault, hit in shares.items() if hit > 0}
        self._streak = streak

    def request(self, kind: str, route: str, key: str) -> str | None:
        """The fault that this request meets, if any."""
        if not self._shares:
            return None
        asked = (route, key)
        self._asked[asked] += 1
        fault = self._drawn(kind, asked)
        self._in_a_row[asked] = self._in_a_row[asked] + 1 if fault else 0
        return fault

    def _drawn(self, kind: str, asked: tuple[str, str]) -> str | None:
        if self._in_a_row[asked] >= self._streak:
            return None
        for fault in HITTABLE.get(kind, ()):
            hit = self._shares.get(fault, 0.0)
            if hit and random_draws.share(self._seed, fault, *asked, self._asked[asked]) < hit:
                return fault
        return None

    def fate(self, fault: str, key: str, attempt: int = 0) -> bool:
        """Whether the job or video of `key` has this fault, at its n-th attempt from 0."""
        hit = self._shares.get(fault, 0.0)
        if not hit or attempt >= self._streak:
            return False
        return random_draws.share(self._seed, fault, key, attempt) < hit
