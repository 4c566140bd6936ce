"""What the engine writes while it works: facts and outcomes, many to a commit."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from batchcap.grouping import Group
from batchcap.ledger.schema import damaged
from batchcap.ledger.transactions import Statement, Statements, commit
from batchcap.model import Facts, Job, JobState, Outcome, Row, Work

# A job that errored or was cancelled is no fact of its row any more; one that
# completed is: what it made is paid for. One that the provider did not know is
# an intent again: looked for before anything is sent.
_PENDING = """
SELECT r.number, r.key, r.provider, r.source_id, r.language, r.target, r.path,
       r.params, r.meta, r.origin,
       c.intent_at, CASE WHEN c.ended IS NOT 'missing' THEN c.job_id END,
       (SELECT group_concat(job_id, x'0a') FROM creates
        WHERE row = r.number AND ended IN ('errored', 'cancelled')),
       r.finished_at IS NOT NULL
FROM rows r
LEFT JOIN creates c ON c.row = r.number
     AND ifnull(c.ended, 'completed') IN ('completed', 'missing')
     AND c.nth = (SELECT max(nth) FROM creates WHERE row = r.number)
WHERE r.provider = ?1 AND r.state IS NULL AND r.number > ?2
     AND (NOT ?4 OR r.finished_at IS NOT NULL)
ORDER BY r.number LIMIT ?3
"""
# An intent without a job is the same create still, where it is sent again. INSERT from a
# SELECT costs twice as much: SQLite sets the result aside where it writes what it reads.
_INTEND = """
INSERT INTO creates (row, nth, intent_at)
VALUES (?1, ifnull((SELECT max(nth) FROM creates WHERE row = ?1 AND job_id IS NOT NULL), 0) + 1, ?2)
ON CONFLICT (row, nth) DO UPDATE SET intent_at = excluded.intent_at
"""
_LAST = "row = ?1 AND nth = (SELECT max(nth) FROM creates WHERE row = ?1)"
_CREATED = f"UPDATE creates SET job_id = ?2 WHERE {_LAST}"  # noqa: S608  # a constant
_WITHDRAWN = f"DELETE FROM creates WHERE {_LAST} AND job_id IS NULL"  # noqa: S608  # a constant
# What completed once was paid for, though its job is deleted since.
_JOB_ENDED = f"""
UPDATE creates SET units = max(units, ?3),
       ended = CASE WHEN ended = 'completed' AND ?2 = 'missing' THEN ended ELSE ?2 END
WHERE {_LAST} AND job_id = ?4
"""  # noqa: S608  # a constant
_ENDED = """
UPDATE rows SET state = ?, started_at = ?, finished_at = ?, bytes = ?, sha256 = ?, cues = ?,
       job_id = ?, code = ?, message = ?, retryable = ?
WHERE number = ?
"""
_NOTED = "INSERT OR REPLACE INTO memory VALUES (?, ?)"

# In the order of a row's life. A commit goes through them kind by kind, which is cheaper
# than one by one; what begins anew (a further intent) was waited for before.
_KINDS: Statements = {
    _INTEND: "intent committed",
    _CREATED: "job committed",
    _WITHDRAWN: None,
    _JOB_ENDED: None,
    _ENDED: "outcome committed",
    _NOTED: None,
}

_FINAL = (JobState.COMPLETED, JobState.ERRORED, JobState.CANCELLED, JobState.MISSING)


class SqliteLedger:
    """The engine's `Ledger` and `KeyValueStore`, many facts to a commit.

    Commits and queries are made in `executor`'s one thread, or in the loop if there is none
    (virtual time). `now` gives unix seconds. With `repairs`, only rows that were done once
    are handed out.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        out: Path,
        *,
        now: Callable[[], float],
        repairs: bool = False,
        executor: Executor | None = None,
    ) -> None:
        self.connection = connection
        self._repairs = repairs
        self._out = out
        self._now = now
        self._executor = executor
        self._lines: Group[Statement, None] = Group(partial(commit, connection, _KINDS), executor)
        self._memory = dict(connection.execute("SELECT key, value FROM memory"))

    async def pending(self, provider: str, after: int, limit: int) -> list[Work]:
        """See `interfaces.Ledger`."""
        page = (provider, after, limit, self._repairs)
        try:
            if self._executor is None:
                found = self._page(page)
            else:
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(self._executor, self._page, page)
        except sqlite3.Error as error:
            raise damaged(self._out, error) from None
        return [_work(one) for one in found]

    async def record_intent(self, row: Row) -> None:
        """See `interfaces.Ledger`."""
        await self._do(_INTEND, row.number, self._now())

    async def record_job(self, row: Row, job_id: str) -> None:
        """See `interfaces.Ledger`."""
        await self._do(_CREATED, row.number, job_id)

    async def discard_intent(self, row: Row) -> None:
        """See `interfaces.Ledger`. Also where the caller is being cancelled."""
        with anyio.CancelScope(shield=True):
            await self._do(_WITHDRAWN, row.number)

    async def record_job_ended(self, row: Row, job: Job) -> None:
        """See `interfaces.Ledger`."""
        await self._do(_JOB_ENDED, row.number, job.state.value, job.units, job.id)

    async def record_outcome(self, row: Row, outcome: Outcome) -> None:
        """See `interfaces.Ledger`."""
        job, caption, failure = outcome.job, outcome.caption, outcome.failure
        if job is not None and job.id is not None and job.state in _FINAL:
            self._lines.put((_JOB_ENDED, (row.number, job.state.value, job.units, job.id)))
        await self._do(
            _ENDED,
            outcome.state.value,
            outcome.started_at,
            outcome.finished_at,
            *((caption.bytes, caption.sha256, caption.cues) if caption else (None, None, None)),
            job.id if job else None,
            *((failure.code, failure.message, failure.retryable) if failure else (None,) * 3),
            row.number,
        )

    def get(self, key: str) -> str | None:
        """See `interfaces.KeyValueStore`."""
        return self._memory.get(key)

    def set(self, key: str, value: str) -> None:
        """See `interfaces.KeyValueStore`."""
        if self._memory.get(key) != value:
            self._memory[key] = value
            self._lines.put((_NOTED, (key, value)))

    async def drain(self) -> None:
        """Return when everything handed over is durable."""
        await self._lines.drain()

    def _page(self, values: tuple[object, ...]) -> list[Any]:
        return self.connection.execute(_PENDING, values).fetchall()

    async def _do(self, sql: str, *values: object) -> None:
        try:
            await self._lines.do((sql, values))
        except sqlite3.Error as error:
            raise damaged(self._out, error) from None


def _work(found: Sequence[Any]) -> Work:
    *values, intent, job, former, delivered = found
    jobs = tuple(former.split("\n")) if former else ()
    return Work(Row.of(values), Facts(intent, job, jobs, delivered=bool(delivered)))
