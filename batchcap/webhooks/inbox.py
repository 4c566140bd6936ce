"""Keeps events for all runs on this machine: durable, each once.

A provider sends all events of an environment to one endpoint, and many runs wait for
some of them. It holds ids, states and track ids; no link, which would be dead when it is
needed, and no key. `synchronous=FULL`, as in a ledger: what was acknowledged to the
provider is not sent again.
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

from batchcap.errors import FatalError
from batchcap.grouping import Group
from batchcap.ledger.disk import check_disk
from batchcap.webhooks.event import MAX_ID_LENGTH, WebhookEvent

VERSION = 1

_TABLES = """
CREATE TABLE notices (
    number INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: readers go by it
    provider TEXT NOT NULL,
    event_id TEXT NOT NULL,
    job_id TEXT NOT NULL,
    state TEXT NOT NULL,
    track TEXT,
    units INTEGER NOT NULL,
    received_at REAL NOT NULL                  -- unix seconds
);
CREATE UNIQUE INDEX event ON notices (provider, event_id);
CREATE INDEX job ON notices (provider, job_id);
CREATE INDEX age ON notices (received_at);
"""
_KEEP = """
INSERT OR IGNORE INTO notices (provider, event_id, job_id, state, track, units, received_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_PRUNE = """
DELETE FROM notices WHERE received_at < ?
OR number <= (SELECT max(number) FROM notices) - ?
"""
_KEPT_FOR = 31 * 86400.0
"""Seconds. Mux deletes jobs after 30 days."""

_MOST = 1_000_000
_PRUNED_EVERY = 3600.0


_Row = tuple[str, str, str, str, str | None, int, float]


def inbox_path(folder: Path) -> Path:
    """The inbox's file."""
    return folder / "inbox.sqlite"


class Inbox:
    """The one writer of the inbox in `folder`, for as long as its block runs.

    With an executor (of one thread) commits run beside the loop; without, once a turn
    of the loop, in it. `now` gives unix seconds. Entering raises `FatalError` where
    another process keeps this inbox, and where it cannot be used.
    """

    def __init__(
        self, folder: Path, *, executor: Executor | None, now: Callable[[], float]
    ) -> None:
        self._folder, self._now = folder, now
        self._pruned_at = -_PRUNED_EVERY
        self._lines: Group[_Row, None] = Group(self._commit, executor)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                stack.enter_context(_held(self._folder))
                self._connection = stack.enter_context(closing(_opened(inbox_path(self._folder))))
            except (OSError, sqlite3.Error) as error:
                raise _unusable(self._folder, error) from None
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    async def keep(self, notice: WebhookEvent) -> None:
        """Keep a notice, or have kept it already; durable on return.

        Raises `FatalError` where the disk does not take it.
        """
        await self._lines.do(_row(notice, self._now()))

    async def drain(self) -> None:
        """Return when everything handed over is durable."""
        await self._lines.drain()

    def _commit(self, batch: Sequence[_Row]) -> list[Exception | None]:
        """All of a batch in one transaction. Runs in the writer's thread."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._prune(batch[-1][-1])
                self._connection.executemany(_KEEP, batch)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _unusable(self._folder, error) from None
        return [None] * len(batch)

    def _prune(self, now: float) -> None:
        if abs(now - self._pruned_at) >= _PRUNED_EVERY:
            self._connection.execute(_PRUNE, (now - _KEPT_FOR, _MOST))
            self._pruned_at = now


def _row(notice: WebhookEvent, now: float) -> _Row:
    job = notice.job
    track = job.track if len(job.track or "") <= MAX_ID_LENGTH else None
    state = job.state.value
    return notice.provider, notice.event_id, job.id or "", state, track, job.units, now


def _held(folder: Path) -> TextIOWrapper:
    """The lock's file, held until it is closed or its process dies, also by kill -9."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    try:
        check_disk(folder)
    except FatalError:
        raise FatalError(
            f"the inbox must not lie on a network disk: {folder}",
            hint="Set XDG_STATE_HOME to a folder on a local disk, for runs as well.",
        ) from None
    path = folder / "inbox.lock"  # Path.open takes no opener
    lock = open(path, "a+", encoding="utf-8", errors="replace", opener=_private)  # noqa: SIM115  # the caller closes it
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read(20).strip()
        lock.close()
        raise FatalError(
            f"another batchcap listen keeps the inbox in {folder}"
            + (f" (process {holder})" if holder.isdecimal() else ""),
            hint="One is enough: all runs on this machine read it.",
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _private(path: str, flags: int) -> int:
    """Opens a file for its owner alone, and not what a link under its name leads to."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _opened(path: Path) -> sqlite3.Connection:
    os.close(_private(str(path), os.O_RDWR | os.O_CREAT))  # SQLite's other files follow its mode
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA busy_timeout = 2000")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        readable(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def readable(connection: sqlite3.Connection) -> bool:
    """Whether there is an inbox in the file; False while it is being made.

    Raises `FatalError` where another version of batchcap wrote it.
    """
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found not in {0, VERSION}:
        raise FatalError(
            f"the inbox is of version {found}, this batchcap reads version {VERSION}",
            hint="Use one version of batchcap on this machine, or set another XDG_STATE_HOME.",
        )
    return bool(found)


def _unusable(folder: Path, error: OSError | sqlite3.Error) -> FatalError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return FatalError(
        f"the inbox {inbox_path(folder)} cannot be used: {why}",
        hint="Make room on the disk or mend the permissions. A damaged inbox can be deleted: "
        "runs then ask the provider instead.",
    )
