"""How long jobs took: a running median and 95th percentile, kept from run to run.

Durations are counted in buckets whose bounds grow by a factor of 2^(1/8), so a quantile
is right to some 5 %, however many jobs there were.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Annotated

import msgspec
from msgspec import Meta

from batchcap.domain.protocols import KeyValueStore

_BUCKETS_PER_DOUBLING = 8
_MIN_SECONDS, _MAX_SECONDS = 0.5, 1e7
"""Seconds; a duration beyond these counts as one of them."""

_MAX_SAMPLES = 2000
"""Durations of a class after which its counts are halved: providers change, older ones fade."""

_MAX_CLASSES = 500
_SAVE_EVERY = 50
"""Durations from one save to the next."""

_ALL = ""
"""The class of all jobs."""

_Bucket = Annotated[int, Meta(ge=-8, le=187)]
_Count = Annotated[int, Meta(ge=1, le=_MAX_SAMPLES)]


class JobDurations:
    """The durations of one provider's jobs, by class (the target language)."""

    def __init__(self, provider: str, store: KeyValueStore) -> None:
        self._key, self._store = f"durations.{provider}", store
        self._counts = _loaded(store.get(self._key))
        self._unsaved = 0

    def add(self, job_class: str, seconds: float) -> None:
        """Count a job that took this long."""
        seconds = min(max(seconds, _MIN_SECONDS), _MAX_SECONDS)
        bucket = math.floor(math.log2(seconds) * _BUCKETS_PER_DOUBLING)
        for name in {_ALL, job_class}:
            if name in self._counts or len(self._counts) < _MAX_CLASSES:
                counts = self._counts.setdefault(name, Counter())
                counts[bucket] += 1
                if counts.total() >= _MAX_SAMPLES:
                    self._counts[name] = +Counter({at: n // 2 for at, n in counts.items()})
        self._unsaved += 1
        if self._unsaved >= _SAVE_EVERY:
            self.save()

    @property
    def count(self) -> int:
        """The number of jobs that the quantiles are made of."""
        return self._counts.get(_ALL, Counter()).total()

    def quantile(self, share: float, job_class: str = _ALL) -> float | None:
        """Return the seconds that this share of a class took at most (0.5: the median).

        For a class without jobs, all jobs count. Returns None if there was no job at all.
        """
        counts = self._counts.get(job_class) or self._counts.get(_ALL) or Counter()
        left = share * counts.total()
        for bucket in sorted(counts):
            left -= counts[bucket]
            if left <= 0:
                return math.exp2((bucket + 0.5) / _BUCKETS_PER_DOUBLING)
        return None

    def save(self) -> None:
        """Hand the counts to the store."""
        if self._unsaved:
            self._unsaved = 0
            self._store.set(self._key, msgspec.json.encode(self._counts).decode())


def _loaded(text: str | None) -> dict[str, Counter[int]]:
    """What an earlier run counted; nothing if it cannot be read."""
    try:
        stored = msgspec.json.decode(text or "{}", type=dict[str, dict[_Bucket, _Count]])
    except msgspec.MsgspecError:
        return {}
    return {name: Counter(counts) for name, counts in stored.items()}
