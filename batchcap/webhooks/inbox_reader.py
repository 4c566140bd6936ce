"""A run reads the inbox that `batchcap listen` keeps, while that writes.

The inbox is a help and no more: where there is none, or it is damaged, or somebody took it
away, a run asks the provider, as it does without. So nothing here ever fails a run.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path

import orjson

from batchcap.errors import FatalError
from batchcap.events import Warned
from batchcap.interfaces import Observer
from batchcap.model import Job, JobState
from batchcap.webhooks.event import WebhookEvent
from batchcap.webhooks.inbox import inbox_path, readable

_EVERY = 1.0
"""Seconds between two looks for what is new. One takes some 10 us."""

_PAGE = 500

_NEWS = 30.0
"""Seconds for which "it is running" is worth telling."""

_DOUBT = 5
"""Failures in a row after which a person is told; a file that is just being made is none."""

_COLUMNS = "number, provider, event_id, job_id, state, track, units"
_AFTER = f"""
SELECT {_COLUMNS} FROM notices NOT INDEXED  -- but by number
WHERE number > :after AND provider IN (SELECT value FROM json_each(:providers))
     AND (state <> 'running' OR received_at > :since)
ORDER BY number LIMIT {_PAGE}
"""  # noqa: S608  # constants
_LAST = f"SELECT {_COLUMNS} FROM notices WHERE number > :after ORDER BY number DESC LIMIT 1"  # noqa: S608  # constants
_OF_JOBS = f"""
SELECT {_COLUMNS} FROM notices
WHERE provider = :provider AND job_id IN (SELECT value FROM json_each(:job_ids))
     AND state <> 'running'
ORDER BY number
"""  # noqa: S608  # constants

_Row = tuple[int, str, str, str, str, str | None, int]


class InboxReader:
    """Reads the inbox in `folder`, which need not be there (yet). `now` gives unix seconds."""

    def __init__(self, folder: Path, observer: Observer, now: Callable[[], float]) -> None:
        self._file = inbox_path(folder)
        self._observer, self._now = observer, now
        self._connection: sqlite3.Connection | None = None
        self._read: tuple[int, int] | None = None
        self._after = 0
        self._failures = 0

    async def follow(
        self, providers: Collection[str], deliver: Callable[[WebhookEvent], object]
    ) -> None:
        """Tell everything that is kept, oldest first, then what comes; until cancelled.

        What comes is told within about a second. Jobs that ended are told as "ended":
        the link that came with the event is not there any more. A file that was replaced
        is read from its start, so that a notice may be told twice.
        """
        self._after = 0
        try:
            while True:
                page = self._page(providers)
                for notice in page:
                    deliver(notice)
                await asyncio.sleep(0 if len(page) == _PAGE else _EVERY)
        finally:
            self.close()

    def known(self, provider: str, job_ids: Collection[str]) -> list[WebhookEvent]:
        """What is kept of jobs that ended, oldest first."""
        rows = self._rows(_OF_JOBS, provider=provider, job_ids=_listed(job_ids))
        return [_notice(row) for row in rows]

    def close(self) -> None:
        """Let go of the file; the next question opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _page(self, providers: Collection[str]) -> list[WebhookEvent]:
        """The next notices; what nobody wants to be told is passed over once."""
        top = self._rows(_LAST)
        if not top:
            return []
        rows = self._rows(_AFTER, providers=_listed(providers), since=self._now() - _NEWS)
        if len(rows) == _PAGE:
            self._after = rows[-1][0]
        elif not self._failures:
            self._after = max(top[0][0], *(row[0] for row in rows), 0)
        return [_notice(row) for row in rows]

    def _rows(self, sql: str, **values: str | float) -> list[_Row]:
        try:
            connection = self._connected()
            if connection is None:
                return []
            found = connection.execute(sql, {"after": self._after, **values}).fetchall()
        except (OSError, sqlite3.Error, FatalError) as error:
            self.close()
            self._failures += 1
            if self._failures == _DOUBT:
                told = f"the webhook inbox {self._file} cannot be read, polling goes on: {error}"
                self._observer(Warned(told))
            return []
        self._failures = 0
        return found

    def _connected(self) -> sqlite3.Connection | None:
        """A connection to the file that is there now; None where there is nothing to read."""
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            self.close()
            return None
        if self._read != (stat.st_dev, stat.st_ino):
            self.close()
            self._read, self._after = (stat.st_dev, stat.st_ino), 0
        if self._connection is None:
            # It reads in the loop, so it must never wait for somebody else's lock.
            where = f"{self._file.as_uri()}?mode=ro"
            self._connection = sqlite3.connect(where, uri=True, timeout=0)
            if not readable(self._connection):
                self.close()
        return self._connection


def _listed(values: Collection[str]) -> str:
    return orjson.dumps(list(values)).decode()


def _notice(row: _Row) -> WebhookEvent:
    _, provider, event_id, job_id, word, track, units = row
    state = JobState.RUNNING if word == JobState.RUNNING.value else JobState.ENDED
    return WebhookEvent(provider, event_id, Job(id=job_id, state=state, track=track, units=units))
