"""Counts of a run, made from its events; the progress display and the summary read them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from batchcap.domain.events import (
    Event,
    JobCreated,
    LaneStopped,
    Paused,
    RequestSent,
    RowEnded,
    RowHeldBack,
    RowStarted,
    SourceEnded,
    Throttled,
    Warned,
    WebhookReceived,
    WebhookRefused,
)
from batchcap.domain.models import RowState


class Metrics:
    """What a run has done so far. An `Observer`."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.ended: Counter[tuple[str, RowState]] = Counter()
        self.errors: Counter[str] = Counter()
        self.active: Counter[str] = Counter()
        self.created = 0
        self.throttled = 0
        self.bytes = 0
        self.sources = 0
        """Source captions that were downloaded."""
        self.paused_until: dict[str, float] = {}
        self.webhooks: Counter[str] = Counter()
        self.webhooks_refused: Counter[str] = Counter()
        self.last_warning = ""
        self._handlers: dict[type[Event], Callable[..., None]] = {
            RequestSent: self._request,
            RowStarted: self._row_started,
            RowEnded: self._row_ended,
            RowHeldBack: self._row_held_back,
            JobCreated: self._job_created,
            SourceEnded: self._source_ended,
            Throttled: self._row_throttled,
            Paused: self._paused,
            Warned: self._warned,
            LaneStopped: self._warned,
            WebhookReceived: self._webhook_received,
            WebhookRefused: self._webhook_refused,
        }

    def __call__(self, event: Event) -> None:
        """Count one event."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def done(self, provider: str) -> int:
        """Return how many rows of a provider have ended in this run, in any state."""
        return sum(count for (name, _), count in self.ended.items() if name == provider)

    def _request(self, event: RequestSent) -> None:
        self.requests[event.bucket] += 1

    def _row_started(self, event: RowStarted) -> None:
        self.active[event.row.provider] += 1

    def _row_ended(self, event: RowEnded) -> None:
        outcome = event.outcome
        self.active[event.row.provider] -= 1
        self.ended[event.row.provider, outcome.state] += 1
        if outcome.caption is not None:
            self.bytes += outcome.caption.bytes
        if outcome.failure is not None:
            self.errors[outcome.failure.code] += 1

    def _row_held_back(self, event: RowHeldBack) -> None:
        self.active[event.row.provider] -= 1

    def _job_created(self, _event: JobCreated) -> None:
        self.created += 1

    def _source_ended(self, event: SourceEnded) -> None:
        self.sources += event.failure is None

    def _row_throttled(self, event: Throttled) -> None:
        self.throttled += 1
        self._paused(event)

    def _paused(self, event: Throttled | Paused) -> None:
        until = asyncio.get_running_loop().time() + event.seconds
        self.paused_until[event.bucket] = max(until, self.paused_until.get(event.bucket, 0.0))

    def _warned(self, event: Warned | LaneStopped) -> None:
        self.last_warning = event.message

    def _webhook_received(self, event: WebhookReceived) -> None:
        self.webhooks[event.provider] += 1

    def _webhook_refused(self, event: WebhookRefused) -> None:
        self.webhooks_refused[event.provider] += 1
