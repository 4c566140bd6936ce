"""How long jobs take, learned from those that ended, and kept from run to run.

The logarithm of a duration is taken as normal, which fits work that is a product of
many things (length, load, luck). What is known of a kind of job is pulled towards
what is known of its parent by a few imagined observations, so that one odd job makes
no forecast: length in a language, language, provider, a guess.
"""

from __future__ import annotations

import math
from functools import lru_cache

import msgspec
import orjson

from batchcap.interfaces import KeyValueStore

_GUESS = (math.log(60.0), 1.0)
"""Mean and variance of the logarithm where nothing was learned: a minute, give or take."""

_WEIGHT = 6.0
"""Observations that what is known of the parent counts for."""

_FORGETTING = 2000
"""Observations after which older ones fade, since providers change."""

_SHORTEST, _LONGEST = 0.5, 1e7
"""Seconds; what is beyond is taken for these, so that a provider's odd times do no harm."""

_LEAST_SIGMA = 0.15
_KINDS = 1000
_SAVE_EVERY = 20

_TAIL = 0.2
"""Of jobs that ran for a time, the share that ends before it has passed once more, at
least: no forecast is so sure that a straggler is never asked about."""


class Law(msgspec.Struct, frozen=True):
    """The lognormal law of a kind's durations. `mu` and `sigma` are of the logarithm."""

    mu: float
    sigma: float

    def ended(self, age: float, seen: float = 0.0) -> float:
        """How likely a job has ended at `age` that still ran at `seen` (both seconds)."""
        if age <= seen:
            return 0.0
        floor = _TAIL * (age - seen) / age if seen > 0 else 0.0
        ran = self._runs(seen)
        return max(floor, 1 - self._runs(age) / ran) if ran > 1e-12 else max(floor, _TAIL)

    @property
    def nearly_all(self) -> float:
        """Seconds after which all jobs but 1 in 1,000 have ended."""
        return math.exp(self.mu + 3.09 * self.sigma)

    def _runs(self, age: float) -> float:
        if age <= 0:
            return 1.0
        return 0.5 * math.erfc((math.log(age) - self.mu) / (self.sigma * math.sqrt(2)))


class _Seen:
    """Count, mean and spread of what was observed (Welford's way)."""

    __slots__ = ("count", "mean", "spread")

    def __init__(self, count: float = 0.0, mean: float = 0.0, spread: float = 0.0) -> None:
        self.count, self.mean, self.spread = count, mean, spread

    @property
    def sound(self) -> bool:
        """Whether durations can look like this."""
        count, most = self.count, math.log(_LONGEST)
        usual = abs(self.mean) <= most and abs(self.spread) <= count * most**2
        return 0 <= count <= _FORGETTING and usual

    def add(self, value: float) -> None:
        if self.count >= _FORGETTING:
            self.spread *= (self.count - 1) / self.count
            self.count -= 1
        self.count += 1
        off = value - self.mean
        self.mean += off / self.count
        self.spread += off * (value - self.mean)

    def blended(self, mean: float, variance: float) -> tuple[float, float]:
        """With a parent's mean and variance as `_WEIGHT` observations."""
        total = self.count + _WEIGHT
        between = self.count * _WEIGHT / total * (self.mean - mean) ** 2
        blend = (self.count * self.mean + _WEIGHT * mean) / total
        return blend, (self.spread + _WEIGHT * variance + between) / total


class Durations:
    """What is known of one provider's jobs.

    A kind is a path of words, the most general first: `("es", "long")`. What was
    learned is in the ledger's memory as `durations.PROVIDER`.
    """

    def __init__(self, provider: str, memory: KeyValueStore) -> None:
        self._key, self._memory = f"durations.{provider}", memory
        self._seen = _recalled(memory.get(self._key))
        self._laws: dict[tuple[str, ...], Law] = {}
        self._unsaved = 0

    def learn(self, kind: tuple[str, ...], seconds: float) -> None:
        """A job of this kind took so long."""
        value = math.log(min(max(seconds, _SHORTEST), _LONGEST))
        for name in _path(kind):
            if name in self._seen or len(self._seen) < _KINDS:
                self._seen.setdefault(name, _Seen()).add(value)
        self._laws.clear()
        self._unsaved += 1
        if self._unsaved >= max(_SAVE_EVERY, len(self._seen)):
            self.save()

    def law(self, kind: tuple[str, ...]) -> Law:
        """What to expect of a job of this kind."""
        if kind not in self._laws:
            mean, variance = _GUESS
            for name in _path(kind):
                seen = self._seen.get(name)
                if seen is not None:
                    mean, variance = seen.blended(mean, variance)
            self._laws[kind] = Law(mean, math.sqrt(max(variance, _LEAST_SIGMA**2)))
        return self._laws[kind]

    def save(self) -> None:
        """Hand what was learned to the memory."""
        if self._unsaved:
            self._unsaved = 0
            kept = {name: [one.count, one.mean, one.spread] for name, one in self._seen.items()}
            self._memory.set(self._key, orjson.dumps(kept).decode())


@lru_cache(maxsize=_KINDS)
def _path(kind: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a kind and of all that are more general, which come first."""
    return tuple("/".join(kind[:depth]) for depth in range(len(kind) + 1))


def _recalled(text: str | None) -> dict[str, _Seen]:
    """What an earlier run learned; nothing where it cannot be read."""
    try:
        kept = orjson.loads(text or "{}")
        seen = {name: _Seen(*map(float, one)) for name, one in kept.items()}
    except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError):
        return {}
    return seen if all(one.sound for one in seen.values()) else {}


def kind(language: str, seconds: float | None) -> tuple[str, ...]:
    """The kind of a job, by its target language and the length of its source where known.

    Lengths count by doublings: those from 8 to 16 minutes are of one kind.
    """
    if not seconds or seconds <= 0:
        return (language,) if language else ()
    return (language, f"{2 ** max(0, math.ceil(math.log2(seconds / 60)))}m")
