"""The ledger of a run: rows come in, facts and outcomes are recorded, many to a commit."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import orjson

from batchcap.domain.forgetting import ForgetScope, Hold
from batchcap.domain.models import (
    Caption,
    Failure,
    ImportResult,
    InvalidRow,
    Job,
    JobState,
    MinuteCount,
    Outcome,
    PendingRow,
    Row,
)
from batchcap.domain.selection import Selection
from batchcap.domain.workload import TaskCount
from batchcap.storage.batcher import Batcher
from batchcap.storage.ledger import (
    file_marks,
    forgetting,
    history,
    importer,
    schema,
    unlisted,
    workload,
)
from batchcap.storage.ledger.queries import SqliteLedgerReader
from batchcap.storage.ledger.selection import CHOSEN, ChosenRows
from batchcap.storage.ledger.transactions import (
    Statement,
    Statements,
    commit,
    open_durable,
    transaction,
)

_PENDING = f"""
SELECT {history.COLUMNS} FROM {history.TABLES}
WHERE r.provider = ?1 AND r.state IS NULL AND r.number > ?2
     AND (NOT ?4 OR r.finished_at IS NOT NULL){{}}
ORDER BY r.number LIMIT ?3
"""  # noqa: S608  # constants
# If an intent without a job is sent again, it is the same create. INSERT from a SELECT costs
# twice as much: SQLite sets the result aside when it writes to a table that it reads.
_INTENT = """
INSERT INTO creates (row, nth, intent_at)
VALUES (?1, ifnull((SELECT max(nth) FROM creates WHERE row = ?1 AND job_id IS NOT NULL), 0) + 1, ?2)
ON CONFLICT (row, nth) DO UPDATE SET intent_at = excluded.intent_at
"""
_LAST = "row = ?1 AND nth = (SELECT max(nth) FROM creates WHERE row = ?1)"
_JOB = f"UPDATE creates SET job_id = ?2 WHERE {_LAST}"  # noqa: S608  # a constant
_NO_INTENT = f"DELETE FROM creates WHERE {_LAST} AND job_id IS NULL"  # noqa: S608  # a constant
# A job that completed was billed, even if the provider has deleted it since.
_JOB_ENDED = f"""
UPDATE creates SET units = max(units, ?3),
       ended = CASE WHEN ended = 'completed' AND ?2 = 'missing' THEN ended ELSE ?2 END
WHERE {_LAST} AND job_id = ?4
"""  # noqa: S608  # a constant
_OUTCOME = """
UPDATE rows SET state = ?, started_at = ?, finished_at = ?, bytes = ?, sha256 = ?, cues = ?,
       quality = ?, converted_from = ?, job_id = ?, code = ?, message = ?, retryable = ?
WHERE number = ?
"""
_HELD_BACK = "UPDATE rows SET code = ?, message = ?, retryable = ? WHERE number = ?"
_NOT_HELD_BACK = """
UPDATE rows SET code = NULL, message = NULL, retryable = NULL
WHERE state IS NULL AND code IS NOT NULL
"""
_VALUE = "INSERT OR REPLACE INTO memory VALUES (?, ?)"
_MINUTE = """
INSERT INTO minutes VALUES (?, ?, ?, ?)
ON CONFLICT (minute, source, what) DO UPDATE SET count = count + excluded.count
"""
_FINGERPRINT = "INSERT OR REPLACE INTO seen VALUES (?, ?)"
_NO_FINGERPRINT = "DELETE FROM seen WHERE file = ?"

# In the order of a row's life. A commit executes them kind by kind, which is cheaper than
# one by one; a further intent of a row comes only after its earlier facts were committed.
_STATEMENTS: Statements = {
    _INTENT: "intent committed",
    _JOB: "job committed",
    _NO_INTENT: None,
    _JOB_ENDED: None,
    _OUTCOME: "outcome committed",
    _HELD_BACK: None,
    _VALUE: None,
    _MINUTE: None,
    _NO_FINGERPRINT: None,
}

# If a pending row has a finished_at, its job was billed: no other one is created for it.
_REQUEUE_FAILED = """
UPDATE rows SET state = NULL, started_at = NULL, job_id = NULL,
       finished_at = CASE WHEN EXISTS (
           SELECT 1 FROM creates WHERE row = number AND ended = 'completed'
       ) THEN finished_at END,
       code = NULL, message = NULL, retryable = NULL
WHERE state = 'failed' AND (?1 IS NULL OR code = ?1) AND (retryable OR NOT ?2)
"""
# What stays of the outcome is its time: it says that the row was done once.
_REQUEUE_DAMAGED = """
UPDATE rows SET state = NULL, started_at = NULL, bytes = NULL, sha256 = NULL, cues = NULL,
       quality = NULL, converted_from = NULL, job_id = NULL
WHERE number = ? AND state = 'done'
"""

_HAS_HELD_BACK = "rows.held_back"
"""The ledger's key that is set while pending rows have an error."""

_FINAL = (JobState.COMPLETED, JobState.ERRORED, JobState.CANCELLED, JobState.MISSING)


class SqliteLedger(SqliteLedgerReader):
    """The `ledger_protocols.Ledger` in one SQLite file. `now` gives unix seconds."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        out: Path,
        *,
        now: Callable[[], float],
        repairs: bool = False,
    ) -> None:
        super().__init__(connection, path, out, repairs=repairs)
        self._now = now
        self._values = self.values()
        self._imported = importer.ImportedRows()
        self._record_on(connection, None)

    def import_rows(
        self,
        manifests: Sequence[tuple[str, Iterable[Row | InvalidRow]]],
        *,
        skip_invalid: bool,
        check: Callable[[], None] = lambda: None,
        is_trial: bool = False,
    ) -> ImportResult:
        """See `ledger_protocols.Ledger`."""
        with self._faults(), transaction(self._connection):
            before = self._connection.total_changes
            imported, self._imported = importer.import_rows(
                self._connection, manifests, skip_invalid=skip_invalid, is_trial=is_trial
            )
            if self._connection.total_changes > before:
                self._connection.execute(_NO_FINGERPRINT, (file_marks.RESULTS,))
            check()
        return imported

    def task_counts(self) -> list[TaskCount]:
        """See `ledger_protocols.Ledger`."""
        with self._faults():
            return workload.task_counts(self._connection, self._imported)

    def problems(self) -> Iterator[tuple[str, str]]:
        """See `ledger_protocols.Ledger`."""
        with self._faults():
            yield from workload.problems(self._connection, self._imported)

    def choose(self, selection: Selection) -> int:
        """See `ledger_protocols.Ledger`."""
        with self._faults():
            self._chosen = ChosenRows(self._connection, selection)
            self._chosen.register(self._connection)
        return self._chosen.count

    def requeue_failed(
        self,
        code: str | None,
        check: Callable[[], None] = lambda: None,
        *,
        only_retryable: bool = False,
    ) -> int:
        """See `ledger_protocols.Ledger`."""
        with self._faults(), transaction(self._connection):
            self._connection.execute(_NO_FINGERPRINT, (file_marks.RESULTS,))
            count = self._connection.execute(_REQUEUE_FAILED, (code, only_retryable)).rowcount
            check()
        return count

    def requeue_damaged(self, numbers: Sequence[int]) -> None:
        """See `ledger_protocols.Ledger`."""
        with self._faults(), transaction(self._connection):
            self._connection.execute(_NO_FINGERPRINT, (file_marks.RESULTS,))
            self._connection.executemany(_REQUEUE_DAMAGED, [(number,) for number in numbers])

    def held_rows(self, scope: ForgetScope, hold: Hold) -> Iterator[PendingRow]:
        """See `ledger_protocols.Ledger`."""
        with self._faults():
            yield from forgetting.held_rows(self._connection, scope, hold)

    def forget(self, scope: ForgetScope) -> int:
        """See `ledger_protocols.Ledger`."""
        with self._faults(), transaction(self._connection):
            return forgetting.forget(self._connection, scope, self._now())

    def mark_unlisted(self, manifests: Sequence[str]) -> None:
        """See `ledger_protocols.Ledger`."""
        with self._faults():
            unlisted.mark(self._connection, manifests, self._imported.__contains__)

    def set_fingerprint(self, file: str, fingerprint: str) -> None:
        """See `ledger_protocols.Ledger`."""
        with self._faults():
            self._connection.execute(_FINGERPRINT, (file, fingerprint))

    @asynccontextmanager
    async def recording(self, *, threads: bool) -> AsyncIterator[None]:
        """See `ledger_protocols.Ledger`."""
        self._forget_held_back()
        with ExitStack() as stack:
            if threads:
                with self._faults():
                    connection = stack.enter_context(closing(open_durable(self._path)))
                executor = ThreadPoolExecutor(1, thread_name_prefix="ledger")
                self._record_on(connection, stack.enter_context(executor))
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await self.drain()
                self._record_on(self._connection, None)

    async def pending(self, provider: str, after: int, limit: int) -> list[PendingRow]:
        """See `protocols.Checkpoint`."""
        page = (provider, after, limit, self._repairs)
        with self._faults():
            if self._executor is None:
                rows = self._pending(page)
            else:
                loop = asyncio.get_running_loop()
                rows = await loop.run_in_executor(self._executor, self._pending, page)
        return [history.pending_row(values) for values in rows]

    async def record_intent(self, row: Row) -> None:
        """See `protocols.Checkpoint`."""
        await self._record(_INTENT, row.number, self._now())

    async def record_job(self, row: Row, job_id: str) -> None:
        """See `protocols.Checkpoint`."""
        self._forget_results()
        await self._record(_JOB, row.number, job_id)

    async def discard_intent(self, row: Row) -> None:
        """See `protocols.Checkpoint`. Done even if the caller is being cancelled."""
        with anyio.CancelScope(shield=True):
            await self._record(_NO_INTENT, row.number)

    async def record_job_ended(self, row: Row, job: Job) -> None:
        """See `protocols.Checkpoint`."""
        self._forget_results()
        await self._record(_JOB_ENDED, row.number, job.state.value, job.units, job.id)

    async def record_outcome(self, row: Row, outcome: Outcome) -> None:
        """See `protocols.Checkpoint`."""
        job, caption, failure = outcome.job, outcome.caption, outcome.failure
        if job is not None and job.id is not None and job.state in _FINAL:
            self._batcher.submit_nowait(
                (_JOB_ENDED, (row.number, job.state.value, job.units, job.id))
            )
        self._forget_results()
        await self._record(
            _OUTCOME,
            outcome.state.value,
            outcome.started_at,
            outcome.finished_at,
            *((caption.bytes, caption.sha256, caption.cues) if caption else (None, None, None)),
            None if caption is None else _quality(caption),
            None if caption is None else caption.converted_from,
            job.id if job else None,
            *((failure.code, failure.message, failure.retryable) if failure else (None,) * 3),
            row.number,
        )

    async def record_held_back(self, row: Row, failure: Failure) -> None:
        """See `protocols.Checkpoint`. The next run forgets it when it starts."""
        self.set(_HAS_HELD_BACK, "yes")
        self._forget_results()
        values = (failure.code, failure.message, failure.retryable, row.number)
        await self._record(_HELD_BACK, *values)

    def get(self, key: str) -> str | None:
        """See `protocols.KeyValueStore`."""
        return self._values.get(key)

    def set(self, key: str, value: str) -> None:
        """See `protocols.KeyValueStore`."""
        if self._values.get(key) != value:
            self._values[key] = value
            self._batcher.submit_nowait((_VALUE, (key, value)))

    def add_minutes(self, counts: Iterable[MinuteCount]) -> None:
        """See `ledger_protocols.Ledger`."""
        for count in counts:
            self._batcher.submit_nowait((_MINUTE, msgspec.structs.astuple(count)))

    async def drain(self) -> None:
        """See `ledger_protocols.Ledger`."""
        await self._batcher.drain()

    def _forget_results(self) -> None:
        """Forget the fingerprint of results.jsonl, in the commit of the next record or before."""
        self._batcher.submit_nowait((_NO_FINGERPRINT, (file_marks.RESULTS,)))

    def _forget_held_back(self) -> None:
        if self.get(_HAS_HELD_BACK) and not self._repairs:
            with self._faults(), transaction(self._connection):
                self._connection.execute(_NOT_HELD_BACK)
                self._connection.execute(_NO_FINGERPRINT, (file_marks.RESULTS,))
            self.set(_HAS_HELD_BACK, "")

    def _record_on(self, connection: sqlite3.Connection, executor: Executor | None) -> None:
        self._recording, self._executor = connection, executor
        if self._chosen is not None:
            self._chosen.register(connection)
        self._batcher: Batcher[Statement, None] = Batcher(
            partial(commit, connection, _STATEMENTS), executor
        )

    def _pending(self, page: tuple[object, ...]) -> list[Any]:
        chosen = "" if self._chosen is None else f" AND {CHOSEN}(r.number)"
        return self._recording.execute(_PENDING.format(chosen), page).fetchall()

    async def _record(self, sql: str, *values: object) -> None:
        with self._faults():
            await self._batcher.submit((sql, values))


def _quality(caption: Caption) -> str | None:
    return None if caption.quality is None else orjson.dumps(caption.quality).decode()


def open_ledger(
    out: Path,
    *,
    create: bool = False,
    repairs: bool = False,
    now: Callable[[], float] = time.time,
) -> SqliteLedger:
    """Open an output folder's ledger for writing. With `repairs`, for those rows alone.

    Raises:
        UsageError: There is no ledger, and `create` is off.
        FatalError: It is damaged, of another version, or cannot be opened.
    """
    connection = schema.connect(out, create=create)
    return SqliteLedger(connection, schema.file(out), out, now=now, repairs=repairs)
