"""The log, by structlog: -v writes lines to stderr, --log-file JSON lines to a file.

Entries are made without credentials and links (`log_fields`). Whatever looks like a signed link
is removed all the same, because the text of a library's error may hold one.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from batchcap.cli.log_fields import log_entry
from batchcap.domain.errors import UsageError
from batchcap.domain.events import Event
from batchcap.domain.protocols import Observer
from batchcap.domain.text import printable
from batchcap.reports.observers import each

LOG = logging.getLogger("batchcap")

_QUERY = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]*", re.IGNORECASE)
_FIRST = ("timestamp", "level", "event")
_PAIRS = structlog.processors.KeyValueRenderer()


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at the moment: the display replaces it while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


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
    handlers: list[tuple[logging.Handler, Processor]] = []
    if verbose:
        handlers.append((_StandardError(), _as_line))
    if log_file is not None:
        try:
            handlers.append((_LogFile(log_file, encoding="utf-8"), _as_json))
        except OSError as error:
            raise UsageError(f"--log-file {log_file}: {error.strerror or error}") from None
    LOG.setLevel(logging.DEBUG if handlers else logging.CRITICAL)
    for handler, renderer in handlers:
        handler.setFormatter(_formatter(renderer))
        LOG.addHandler(handler)


def logged(event: Event) -> None:
    """Log one event. An `Observer`."""
    if LOG.isEnabledFor(logging.ERROR) and (entry := log_entry(event)):  # there is a handler
        level, name, fields = entry
        _STRUCTURED.log(level, name, **fields)


def observers(*all_: Observer) -> Observer:
    """Return an observer that calls each of `all_` in order, except an unused log."""
    if not LOG.isEnabledFor(logging.ERROR):
        all_ = tuple(observer for observer in all_ if observer is not logged)
    return each(*all_)


def _without_signatures(_logger: object, _method: str, entry: EventDict) -> EventDict:
    """Remove signatures from links in every text."""
    return {name: _redacted(value) for name, value in entry.items()}


def _redacted(value: Any) -> Any:
    return _QUERY.sub(r"\1?<signature>", value) if isinstance(value, str) else value


def _as_line(_logger: object, _method: str, entry: EventDict) -> str:
    """Return an entry as one line: time, level, event, and its fields as `name='value'`."""
    head = " ".join(str(entry.pop(name)) for name in _FIRST if name in entry)
    return printable(f"{head} {_PAIRS(None, '', entry)}")


def _as_json(_logger: object, _method: str, entry: EventDict) -> str:
    """Return an entry as one line of JSON; what a terminal would obey is escaped."""
    ordered = {**{name: entry.pop(name) for name in _FIRST if name in entry}, **entry}
    text = json.dumps(ordered, default=repr, ensure_ascii=False, separators=(",", ":"))
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    """Return a character, or half of one as an odd file name has it, as JSON escapes it."""
    code = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{code[start : start + 4]}" for start in range(0, len(code), 4))


_SHARED: list[Processor] = [
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    structlog.processors.UnicodeDecoder(),
    _without_signatures,
]
_STRUCTURED: structlog.stdlib.BoundLogger = structlog.wrap_logger(
    LOG,
    processors=[
        structlog.stdlib.filter_by_level,
        *_SHARED,
        ProcessorFormatter.wrap_for_formatter,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
)


def _formatter(renderer: Processor) -> ProcessorFormatter:
    """Format the entries of this module, and the records of plain `logging` in the same way."""
    return ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[ProcessorFormatter.remove_processors_meta, renderer],
    )
