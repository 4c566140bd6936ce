"""Counts of a run, made from its events; the summary at its end reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from batchcap.domain.events import (
    Event,
    RequestSent,
    RowEnded,
    SourceEnded,
    Throttled,
    WebhookReceived,
    WebhookRefused,
)
from batchcap.domain.models import RowState


class Metrics:
    """What a run has counted so far, for its end. An `Observer`; `tracker` says where it stands."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.ended: Counter[tuple[str, RowState]] = Counter()
        self.errors: Counter[str] = Counter()
        self.throttled = 0
        self.sources = 0
        """Source captions that were downloaded."""
        self.webhooks: Counter[str] = Counter()
        self.webhooks_refused: Counter[str] = Counter()
        self._handlers: dict[type[Event], Callable[..., None]] = {
            RequestSent: self._request,
            RowEnded: self._row_ended,
            SourceEnded: self._source_ended,
            Throttled: self._row_throttled,
            WebhookReceived: self._webhook_received,
            WebhookRefused: self._webhook_refused,
        }

    def __call__(self, event: Event) -> None:
        """Count one event."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _request(self, event: RequestSent) -> None:
        self.requests[event.bucket] += 1

    def _row_ended(self, event: RowEnded) -> None:
        outcome = event.outcome
        self.ended[event.row.provider, outcome.state] += 1
        if outcome.failure is not None:
            self.errors[outcome.failure.code] += 1

    def _source_ended(self, event: SourceEnded) -> None:
        self.sources += event.failure is None

    def _row_throttled(self, _event: Throttled) -> None:
        self.throttled += 1

    def _webhook_received(self, event: WebhookReceived) -> None:
        self.webhooks[event.provider] += 1

    def _webhook_refused(self, event: WebhookRefused) -> None:
        self.webhooks_refused[event.provider] += 1
