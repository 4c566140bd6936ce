"""Reads the inbox that `batchcap listen` writes, in a run.

The inbox only saves requests. If there is none, or it is damaged or removed, the run polls
the provider as it would without an inbox. So nothing here fails a run.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path

import orjson

from batchcap.domain.errors import FatalError
from batchcap.domain.events import Warned
from batchcap.domain.models import Job, JobState
from batchcap.domain.protocols import Observer
from batchcap.webhooks.event import WebhookEvent
from batchcap.webhooks.inbox import inbox_path, is_ready

_READ_INTERVAL = 1.0
"""Seconds between two reads. One takes some 10 us."""

_PAGE_SIZE = 500  # events

_RUNNING_MAX_AGE = 30.0
"""Seconds after which an event that reports a running job is skipped."""

_FAILURES_BEFORE_WARNING = 5
"""Failed reads in a row before a warning: a file that is just being created fails some."""

_COLUMNS = "number, provider, event_id, job_id, state, track, units"
_NEXT_PAGE = f"""
SELECT {_COLUMNS} FROM events NOT INDEXED  -- but by number
WHERE number > :after AND provider IN (SELECT value FROM json_each(:providers))
     AND (state <> 'running' OR received_at > :since)
ORDER BY number LIMIT {_PAGE_SIZE}
"""  # noqa: S608  # constants
_LAST = f"SELECT {_COLUMNS} FROM events WHERE number > :after ORDER BY number DESC LIMIT 1"  # noqa: S608  # constants

_Row = tuple[int, str, str, str, str, str | None, int]


class InboxReader:
    """Reads the inbox in `folder`, which need not exist (yet). `now` returns unix seconds."""

    def __init__(self, folder: Path, observer: Observer, now: Callable[[], float]) -> None:
        self._path = inbox_path(folder)
        self._observer, self._now = observer, now
        self._connection: sqlite3.Connection | None = None
        self._file_id: tuple[int, int] | None = None
        self._last_number = 0
        self._failures = 0

    async def follow(
        self, providers: Collection[str], on_event: Callable[[WebhookEvent], object]
    ) -> None:
        """Pass every stored event to `on_event`, oldest first, then new ones; until cancelled.

        New events are passed on within about a second. Jobs that are not running get the state
        NOT_RUNNING, because their link is not stored. If the file was replaced, the new one is read
        from its start, so an event may be passed on twice.
        """
        self._last_number = 0
        try:
            while True:
                page = self._read_page(providers)
                for event in page:
                    on_event(event)
                await asyncio.sleep(0 if len(page) == _PAGE_SIZE else _READ_INTERVAL)
        finally:
            self._close()

    def _read_page(self, providers: Collection[str]) -> list[WebhookEvent]:
        """Return the next events, and remember their numbers and those of skipped ones."""
        newest = self._query(_LAST)
        if not newest:
            return []
        joined = orjson.dumps(list(providers)).decode()
        since = self._now() - _RUNNING_MAX_AGE
        rows = self._query(_NEXT_PAGE, providers=joined, since=since)
        if len(rows) == _PAGE_SIZE:
            self._last_number = rows[-1][0]
        elif not self._failures:
            self._last_number = max(newest[0][0], *(row[0] for row in rows), 0)
        return [_event(row) for row in rows]

    def _query(self, sql: str, **values: str | float) -> list[_Row]:
        """Return the rows, or none if the inbox does not exist or cannot be read."""
        try:
            connection = self._connect()
            if connection is None:
                return []
            rows = connection.execute(sql, {"after": self._last_number, **values}).fetchall()
        except (OSError, sqlite3.Error, FatalError) as error:
            self._close()
            self._failures += 1
            if self._failures == _FAILURES_BEFORE_WARNING:
                message = f"the webhook inbox {self._path} cannot be read, polling instead: {error}"
                self._observer(Warned(message))
            return []
        self._failures = 0
        return rows

    def _connect(self) -> sqlite3.Connection | None:
        """Return a connection to the current file, or None if there is no inbox."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._close()
            return None
        if self._file_id != (stat.st_dev, stat.st_ino):
            self._close()
            self._file_id, self._last_number = (stat.st_dev, stat.st_ino), 0
        if self._connection is None:
            # No timeout: this runs in the event loop, which must never wait for a lock.
            uri = f"{self._path.as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, timeout=0)
            if not is_ready(self._connection):
                self._close()
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _event(row: _Row) -> WebhookEvent:
    _, provider, event_id, job_id, stored_state, track, units = row
    is_running = stored_state == JobState.RUNNING.value
    state = JobState.RUNNING if is_running else JobState.NOT_RUNNING
    return WebhookEvent(provider, event_id, Job(id=job_id, state=state, track=track, units=units))
