"""What the log has of each event: its name, its level and its fields."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from batchcap.domain.events import (
    Event,
    JobCreated,
    JobEnded,
    LaneStopped,
    Paused,
    RateChanged,
    Recovered,
    RequestEnded,
    RowEnded,
    RowHeldBack,
    RowMoved,
    RowStarted,
    SourceEnded,
    Throttled,
    Waiting,
    Warned,
    WebhookReceived,
    WebhookRefused,
)
from batchcap.domain.models import Row
from batchcap.reports.local_time import utc_time

LONG_PAUSE = 60.0
"""Seconds from which a pause is worth a warning."""

Fields = dict[str, Any]
Entry = tuple[int, str, Fields]
"""Level, name and fields; a field that is None is left out."""


def log_entry(event: Event) -> Entry | None:
    """Return what to log of an event; None: nothing."""
    make = ENTRIES.get(type(event))
    if make is None:
        return None
    level, name, fields = make(event)
    return level, name, {key: value for key, value in fields.items() if value is not None}


def _row(row: Row) -> Fields:
    return {"row": row.key, "provider": row.provider}


def _row_started(event: RowStarted) -> Entry:
    row = event.row
    fields = {"source_id": row.source_id, "language": row.language}
    return logging.DEBUG, "row_started", {**_row(row), **fields}


def _row_moved(event: RowMoved) -> Entry:
    return logging.DEBUG, "row_moved", {**_row(event.row), "phase": event.phase.value}


def _job_created(event: JobCreated) -> Entry:
    return logging.INFO, "job_created", {**_row(event.row), "job_id": event.job_id}


def _job_ended(event: JobEnded) -> Entry:
    return logging.DEBUG, "job_ended", {**_row(event.row), "seconds": round(event.seconds, 3)}


def _row_held_back(event: RowHeldBack) -> Entry:
    failure = event.failure
    fields = {"code": failure.code, "reason": failure.message}
    return logging.INFO, "row_held_back", {**_row(event.row), **fields}


def _row_ended(event: RowEnded) -> Entry:
    outcome, failure, caption = event.outcome, event.outcome.failure, event.outcome.caption
    fields = {
        "state": outcome.state.value,
        "code": failure.code if failure else None,
        "reason": failure.message if failure else None,
        "retryable": failure.retryable if failure else None,
        "path": event.row.path if caption else None,
        "bytes": caption.bytes if caption else None,
        "job_id": outcome.job.id if outcome.job else None,
        "seconds": round(outcome.finished_at - outcome.started_at, 3),
    }
    level = logging.WARNING if failure else logging.INFO
    return level, "row_ended", {**_row(event.row), **fields}


def _source_ended(event: SourceEnded) -> Entry:
    fields = {**_row(event.row), "source_id": event.row.source_id, "reason": event.failure}
    return logging.INFO, "source_ended", fields


def _request_ended(event: RequestEnded) -> Entry:
    fields = {
        "provider": event.provider,
        "bucket": event.bucket,
        "method": event.method,
        "path": event.path,
        "status": event.status,
        "seconds": round(event.seconds, 3),
        "waited": round(event.waited, 3),
        "attempt": event.attempt,
        "request_id": event.request_id,
    }
    failed = event.status is None or event.status >= 400
    return logging.INFO if failed else logging.DEBUG, "request_ended", fields


def _throttled(event: Throttled) -> Entry:
    return logging.WARNING, "throttled", {"bucket": event.bucket, "seconds": event.seconds}


def _paused(event: Paused) -> Entry:
    level = logging.WARNING if event.seconds >= LONG_PAUSE else logging.INFO
    until = utc_time(time.time() + event.seconds)
    return level, "paused", {"bucket": event.bucket, "seconds": event.seconds, "until": until}


def _rate_changed(event: RateChanged) -> Entry:
    return logging.DEBUG, "rate_changed", {"bucket": event.bucket, "rate": event.rate}


def _waiting(event: Waiting) -> Entry:
    fields = {
        "where": event.where,
        "reason": event.reason,
        "seconds": round(event.seconds, 3),
        "row": event.row.key if event.row else None,
    }
    return logging.INFO, "waiting", fields


def _recovered(event: Recovered) -> Entry:
    return logging.WARNING, "recovered", {"where": event.where}


def _warned(event: Warned) -> Entry:
    return logging.WARNING, "warning", {"reason": event.message}


def _lane_stopped(event: LaneStopped) -> Entry:
    fields = {"provider": event.provider, "reason": event.message, "hint": event.hint}
    return logging.ERROR, "provider_stopped", fields


def _webhook_received(event: WebhookReceived) -> Entry:
    fields = {"provider": event.provider, "job_id": event.job_id}
    return logging.DEBUG, "webhook_received", fields


def _webhook_refused(event: WebhookRefused) -> Entry:
    return logging.INFO, "webhook_refused", {"provider": event.provider}


ENTRIES: dict[type[Event], Callable[[Any], Entry]] = {
    RowStarted: _row_started,
    RowMoved: _row_moved,
    JobCreated: _job_created,
    JobEnded: _job_ended,
    RowHeldBack: _row_held_back,
    RowEnded: _row_ended,
    SourceEnded: _source_ended,
    RequestEnded: _request_ended,
    Throttled: _throttled,
    Paused: _paused,
    RateChanged: _rate_changed,
    Waiting: _waiting,
    Recovered: _recovered,
    Warned: _warned,
    LaneStopped: _lane_stopped,
    WebhookReceived: _webhook_received,
    WebhookRefused: _webhook_refused,
}
