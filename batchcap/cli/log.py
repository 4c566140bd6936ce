"""Events as log lines: -v writes them to stderr, --log-file to a file.

Messages are made without credentials and links. The formatter removes whatever looks like
a signed link all the same, because the text of a library's error may hold one.
"""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

from batchcap.domain.errors import UsageError
from batchcap.domain.events import (
    Event,
    JobCreated,
    LaneStopped,
    Paused,
    RateChanged,
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
from batchcap.domain.protocols import Observer
from batchcap.domain.text import printable
from batchcap.reports.observers import each

LOG = logging.getLogger("batchcap")

_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*", re.IGNORECASE)
_FORMAT = "%(asctime)s %(levelname)s %(message)s"

LONG_PAUSE = 60.0
"""Seconds from which a pause is worth a warning."""


class _Redacting(logging.Formatter):
    """Removes signatures from links, in tracebacks too, and makes a message one line."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return printable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).split("\n")
        return _QUERY.sub(r"\1?<signature>", "\n".join(map(printable, lines)))


class _LogFile(logging.FileHandler):
    """A log that cannot be written is reported once; the run goes on."""

    _has_failed = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._has_failed:
            self._has_failed = True
            reason = error.strerror or type(error).__name__
            print(f"warning: the log file cannot be written: {reason}", file=sys.stderr)


def set_up(verbose: bool, log_file: Path | None) -> None:
    """Log to stderr if `verbose`, and to `log_file` if there is one.

    Replaces the handlers of an earlier call.

    Raises:
        UsageError: The file cannot be opened.
    """
    for handler in LOG.handlers[:]:
        LOG.removeHandler(handler)
        handler.close()
    LOG.propagate = False
    handlers: list[logging.Handler] = [logging.StreamHandler()] if verbose else []
    if log_file is not None:
        try:
            handlers.append(_LogFile(log_file, encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"--log-file {log_file}: {error.strerror or error}") from None
    LOG.setLevel(logging.DEBUG if handlers else logging.CRITICAL)
    for handler in handlers:
        handler.setFormatter(_Redacting(_FORMAT))
        LOG.addHandler(handler)


def logged(event: Event) -> None:
    """Log one event. An `Observer`."""
    if LOG.isEnabledFor(logging.ERROR):  # there is a handler
        if isinstance(event, RowStarted | JobCreated | RowEnded | RowHeldBack | SourceEnded):
            _log_row(event)
        else:
            _log_other(event)


def _log_row(event: RowStarted | JobCreated | RowEnded | RowHeldBack | SourceEnded) -> None:
    match event:
        case RowStarted(row=row):
            LOG.debug("row %s: started", row.key)
        case JobCreated(row=row, job_id=job_id):
            LOG.info("row %s: job %s created", row.key, job_id)
        case RowHeldBack(row=row, failure=failure):
            LOG.info("row %s: stays pending, %s", row.key, failure.code)
        case RowEnded(row=row, outcome=outcome) if outcome.failure is not None:
            failure = outcome.failure
            LOG.warning("row %s: failed, %s: %s", row.key, failure.code, failure.message)
        case RowEnded(row=row, outcome=outcome):
            LOG.info("row %s: %s", row.key, outcome.state)
        case SourceEnded(row=row, failure=failure):
            result = "captions downloaded" if failure is None else f"no captions, {failure}"
            LOG.info("source %s: %s", row.source_id, result)


def _log_other(event: Event) -> None:
    match event:
        case RequestSent(bucket=bucket):
            LOG.debug("request: %s", bucket)
        case Throttled(bucket=bucket, seconds=seconds):
            LOG.warning("%s: throttled (429), paused for %.1f s", bucket, seconds)
        case Paused(bucket=bucket, seconds=seconds):
            LOG.log(_level(seconds), "%s: paused for %.1f s", bucket, seconds)
        case RateChanged(bucket=bucket, rate=rate) if rate is not None:
            LOG.debug("%s: %.4g requests/s", bucket, rate)
        case WebhookReceived(provider=provider, job_id=job_id):
            LOG.debug("%s: webhook about job %s", provider, job_id)
        case WebhookRefused(provider=provider):
            LOG.debug("%s: webhook refused", provider)
        case Warned(message=message):
            LOG.warning("%s", message)
        case LaneStopped(provider=provider, message=message):
            LOG.error("%s stopped: %s", provider, message)


def _level(seconds: float) -> int:
    return logging.WARNING if seconds >= LONG_PAUSE else logging.DEBUG


def observers(*all_: Observer) -> Observer:
    """Return an observer that calls each of `all_` in order, except an unused log."""
    if not LOG.isEnabledFor(logging.ERROR):
        all_ = tuple(observer for observer in all_ if observer is not logged)
    return each(*all_)
