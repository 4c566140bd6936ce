"""Counts what happens in each minute of a run, and keeps the counts in the ledger."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable

from batchcap.domain.events import (
    Event,
    JobCreated,
    RateChanged,
    RequestSent,
    RowEnded,
    Throttled,
)
from batchcap.domain.ledger_protocols import Ledger
from batchcap.domain.models import MinuteCount

SAVE_INTERVAL = 10.0  # seconds for which a killed run loses its counts, at most


class TimeLine:
    """Counts events for the minutes of a ledger. An `Observer`. `now` gives unix seconds.

    What happens between two saves counts for the minute in which the first of them was.
    """

    def __init__(self, ledger: Ledger, now: Callable[[], float]) -> None:
        self._ledger, self._now = ledger, now
        self._counts: Counter[tuple[str, str]] = Counter()
        self._rates: dict[str, float] = {}
        self._quota: defaultdict[str, float] = defaultdict(float)
        self._saved_at = now()
        self._handlers: dict[type[Event], Callable[..., None]] = {
            RequestSent: self._request_sent,
            RowEnded: self._row_ended,
            JobCreated: self._job_created,
            Throttled: self._throttled,
            RateChanged: self._rate_changed,
        }

    def __call__(self, event: Event) -> None:
        """Count one event."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _request_sent(self, event: RequestSent) -> None:
        self._counts[event.bucket, "requests"] += 1

    def _row_ended(self, event: RowEnded) -> None:
        self._counts[event.row.provider, event.outcome.state.value] += 1

    def _job_created(self, event: JobCreated) -> None:
        self._counts[event.row.provider, "created"] += 1

    def _throttled(self, event: Throttled) -> None:
        self._counts[event.bucket, "throttled"] += 1

    def _rate_changed(self, event: RateChanged) -> None:
        self._rates[event.bucket] = event.rate or 0.0

    async def run(self) -> None:
        """Save the counts every `SAVE_INTERVAL`, and once more when cancelled."""
        try:
            while True:
                await asyncio.sleep(SAVE_INTERVAL)
                self._save()
        finally:
            self._save()

    def _save(self) -> None:
        minute, seconds = int(self._saved_at // 60), self._now() - self._saved_at
        self._saved_at += seconds
        for bucket, rate in self._rates.items():
            self._quota[bucket] += rate * max(0.0, seconds)
            self._counts[bucket, "quota"] = int(self._quota[bucket])
            self._quota[bucket] %= 1
        self._ledger.add_minutes(
            MinuteCount(minute, source, what, count)
            for (source, what), count in self._counts.items()
            if count
        )
        self._counts.clear()
