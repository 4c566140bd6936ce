"""Stores events for all runs on this machine, durably and each once.

A provider sends all events of an environment to one endpoint, and several runs may wait for
them. The inbox stores ids, states and track ids. It stores no keys, and no links, which would
have expired by the time they are needed. SQLite runs with `synchronous=FULL`, as for a
ledger: a provider does not send an acknowledged event again.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Self

from batchcap.domain.errors import FatalError
from batchcap.storage.batcher import Batcher
from batchcap.storage.ledger.filesystem import check_disk
from batchcap.webhooks.event import MAX_ID_LENGTH, WebhookEvent

VERSION = 2

_SCHEMA = """
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: readers remember the last one
    provider TEXT NOT NULL,
    event_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    state TEXT NOT NULL,
    track TEXT,
    units INTEGER NOT NULL,
    received_at REAL NOT NULL                  -- unix seconds
);
CREATE UNIQUE INDEX event ON events (provider, event_id);
CREATE INDEX age ON events (received_at);
"""
_INSERT = """
INSERT OR IGNORE INTO events (provider, event_id, job_id, state, track, units, received_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_PRUNE = """
DELETE FROM events WHERE received_at < ?
OR number <= (SELECT max(number) FROM events) - ?
"""
_MAX_AGE = 31 * 86400.0  # seconds; Mux deletes jobs after 30 days
_MAX_EVENTS = 1_000_000
_PRUNE_INTERVAL = 3600.0  # seconds


_Row = tuple[str, str, str, str, str | None, int, float]


def inbox_path(folder: Path) -> Path:
    """Return the path of the inbox in `folder`."""
    return folder / "inbox.sqlite"


class Inbox:
    """The only writer of the inbox in `folder`, while its `with` block runs.

    With an executor (of one thread) commits run beside the event loop; without one they run
    in the loop, once per turn. `now` returns unix seconds.

    Raises:
        FatalError: on entering, if another process writes this inbox or if it is unusable.
    """

    def __init__(
        self, folder: Path, *, executor: Executor | None, now: Callable[[], float]
    ) -> None:
        self._folder, self._now = folder, now
        self._pruned_at = -_PRUNE_INTERVAL
        self._batches: Batcher[_Row, None] = Batcher(self._commit, executor)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                stack.enter_context(_lock(self._folder))
                connection = _open_database(inbox_path(self._folder))
                self._connection = stack.enter_context(closing(connection))
            except (OSError, sqlite3.Error) as error:
                raise _unusable(self._folder, error) from None
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    async def store(self, event: WebhookEvent) -> None:
        """Store an event, unless it is stored already. It is durable when this returns.

        Raises:
            FatalError: the event cannot be written.
        """
        await self._batches.submit(_row(event, self._now()))

    async def drain(self) -> None:
        """Wait until every event passed to `store` is durable."""
        await self._batches.drain()

    def _commit(self, rows: Sequence[_Row]) -> list[Exception | None]:
        """Write a batch in one transaction. Runs in the executor's thread."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._prune(rows[-1][-1])
                self._connection.executemany(_INSERT, rows)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _unusable(self._folder, error) from None
        return [None] * len(rows)

    def _prune(self, now: float) -> None:
        if abs(now - self._pruned_at) >= _PRUNE_INTERVAL:
            self._connection.execute(_PRUNE, (now - _MAX_AGE, _MAX_EVENTS))
            self._pruned_at = now


def _row(event: WebhookEvent, now: float) -> _Row:
    job = event.job
    track = job.track if len(job.track or "") <= MAX_ID_LENGTH else None
    state = job.state.value
    return event.provider, event.event_id, job.id or "", state, track, job.units, now


def _lock(folder: Path) -> TextIOWrapper:
    """Take the lock and return its file.

    The lock lasts until the file is closed or the process dies, also by kill -9.

    Raises:
        FatalError: another process holds the lock, or the folder is on a network disk.
    """
    _prepare_folder(folder)
    path = folder / "inbox.lock"  # Path.open takes no opener
    lock = open(path, "a+", encoding="utf-8", errors="replace", opener=_private)  # noqa: SIM115  # the caller closes it
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read(20).strip()
        lock.close()
        raise FatalError(
            f"another batchcap listen writes the inbox in {folder}"
            + (f" (process {holder})" if holder.isdecimal() else ""),
            hint="One is enough: all runs on this machine read its inbox.",
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _prepare_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    try:
        check_disk(folder)
    except FatalError:
        raise FatalError(
            f"the inbox must not be on a network disk: {folder}",
            hint="Set XDG_STATE_HOME to a folder on a local disk, for runs as well.",
        ) from None


def _private(path: str, flags: int) -> int:
    """Open a file with access for its owner only, and refuse a symbolic link."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _open_database(path: Path) -> sqlite3.Connection:
    os.close(_private(str(path), os.O_RDWR | os.O_CREAT))  # SQLite's other files get its mode
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA busy_timeout = 2000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        is_ready(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def is_ready(connection: sqlite3.Connection) -> bool:
    """Return whether the file contains an inbox; False while it is being created.

    Raises:
        FatalError: another version of batchcap wrote the inbox.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in {0, VERSION}:
        raise FatalError(
            f"the inbox has version {version}, this batchcap reads version {VERSION}",
            hint="Use one version of batchcap on this machine, or set another XDG_STATE_HOME.",
        )
    return bool(version)


def _unusable(folder: Path, error: OSError | sqlite3.Error) -> FatalError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return FatalError(
        f"the inbox {inbox_path(folder)} cannot be used: {reason}",
        hint="Free disk space or fix the permissions. A damaged inbox can be deleted: "
        "runs then poll the provider instead.",
    )
