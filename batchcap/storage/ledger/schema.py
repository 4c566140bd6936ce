"""The tables, the version, and how the file is opened.

`synchronous=FULL` always: what was acknowledged survives a power cut. WAL, so
that `status` reads while a run writes.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from batchcap.domain.errors import FatalError, UsageError
from batchcap.storage.ledger import transactions

VERSION = 5
READABLE = {1, 2, 3, 4, VERSION}
"""Versions that can be read; an older one is migrated when it is opened for writing."""

_NO_ACCESS = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
_DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_IN_USE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

_TABLES = """
CREATE TABLE memory (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE rows (
    number INTEGER PRIMARY KEY,
    provider TEXT,
    source_id TEXT,
    target TEXT,       -- with provider and source_id: the task; NULL: the row is invalid
    language TEXT,
    key TEXT,
    path TEXT,         -- NULL: the row is invalid
    params TEXT,       -- JSON
    meta TEXT,         -- JSON
    origin TEXT,       -- file:line
    state TEXT,        -- NULL: not ended
    started_at REAL,   -- unix seconds, like every time here
    finished_at REAL,
    bytes INTEGER,
    sha256 TEXT,
    cues INTEGER,
    job_id TEXT,
    code TEXT,
    message TEXT,
    retryable INTEGER
);
-- Every create is a record of its own: it may cost.
CREATE TABLE creates (
    row INTEGER NOT NULL,
    nth INTEGER NOT NULL,
    intent_at REAL NOT NULL,
    job_id TEXT,       -- NULL: it is unknown whether the create arrived
    ended TEXT,        -- how its job ended, once known
    units INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (row, nth)
) WITHOUT ROWID;
"""
_SEEN = """
-- Files as they were when they were last read, or written.
CREATE TABLE seen (
    file TEXT PRIMARY KEY,
    mark TEXT NOT NULL
) WITHOUT ROWID;
"""

_FORGOTTEN = """
-- Jobs of rows that were taken back.
CREATE TABLE forgotten (
    provider TEXT,
    source_id TEXT,
    target TEXT,
    key TEXT,
    job_id TEXT NOT NULL,
    ended TEXT,
    forgotten_at REAL
);
CREATE INDEX forgotten_task ON forgotten (source_id, target, provider);
"""

_MINUTES = """
-- What happened in each minute, for time lines; see `models.MinuteCount`.
CREATE TABLE minutes (
    minute INTEGER NOT NULL,
    source TEXT NOT NULL,
    what TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (minute, source, what)
) WITHOUT ROWID;
"""

DISTINCT = {"task": "source_id, target, provider", "key": "key", "path": "lower(path)"}
"""What must differ between any two valid rows, by the name of the unique index.

None of these columns changes when a row ends, so that its outcome costs these indexes
nothing.
"""


INDEXES = {
    **{
        name: f"CREATE UNIQUE INDEX {name} ON rows ({what}) WHERE path IS NOT NULL"
        for name, what in DISTINCT.items()
    },
    "pending": "CREATE INDEX pending ON rows (provider) WHERE state IS NULL",
    # For those who watch a run. Time grows, so an outcome is added at the end of the index.
    "ended": "CREATE INDEX ended ON rows (finished_at) WHERE finished_at IS NOT NULL",
}
"""All indexes of the rows, by name: the statements that make them."""

_INDEXES = "".join(f"{sql};" for sql in INDEXES.values())
_FROM_4 = "".join(
    f"ALTER TABLE rows ADD COLUMN {name} TEXT;" for name in ("quality", "converted_from")
)
"""`quality`: counts of findings by kind, as JSON; NULL: the caption was not checked.
`converted_from`: the format that the provider served, NULL: WebVTT."""
_FROM_3 = f"{_MINUTES} DROP INDEX IF EXISTS ended; {INDEXES['ended']}; {_FROM_4}"
_FROM_2 = f"{_FORGOTTEN} {_FROM_3}"
_NO_INDEXES = "".join(f"DROP INDEX IF EXISTS {name};" for name in INDEXES)
_FROM_1 = f"{_NO_INDEXES} {_SEEN} {_INDEXES} {_FROM_2}"


def folder(out: Path) -> Path:
    """Where an output folder's ledger lives."""
    return out / ".batchcap"


def file(out: Path) -> Path:
    """The ledger's file."""
    return folder(out) / "ledger.sqlite"


def sibling_path(out: Path, what: str) -> Path:
    """A file beside the ledger that is named after it."""
    return folder(out) / f"ledger.sqlite.{what}"


def temp_path(out: Path) -> Path:
    """The file of a new ledger until it takes its place."""
    return sibling_path(out, "new")


def refuse_links(*paths: Path) -> None:
    """Refuse to write the ledger through a symbolic link.

    Raises:
        FatalError: One of the paths is a link.
    """
    for path in paths:
        if path.is_symlink():
            raise FatalError(
                f"{path} is a symbolic link, which is not followed",
                hint="Remove the link; --out itself may be one.",
            )


def require(out: Path) -> None:
    """Require a ledger, or one that is being made.

    Raises:
        UsageError: There is none.
    """
    with contextlib.suppress(PermissionError):  # the lock's error will name the folder
        if not file(out).exists() and not temp_path(out).exists():
            raise nothing_here(out)


def connect(out: Path, *, create: bool) -> sqlite3.Connection:
    """Open an output folder's ledger for writing.

    Raises:
        UsageError: There is no ledger, and `create` is off.
        FatalError: It is damaged, of another version, or cannot be opened.
    """
    if not create and not file(out).exists():
        raise nothing_here(out)
    return open_file(out, file(out))


def open_file(out: Path, path: Path, *, durable: bool = True) -> sqlite3.Connection:
    """Open a ledger's file for writing; create it if it is missing.

    If it is not `durable` yet, the caller syncs it in the end.

    Raises:
        FatalError: It is damaged, of another version, or cannot be opened.
    """
    refuse_links(folder(out), path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _prepared(transactions.open_durable(path), durable=durable)
    except OSError as error:
        raise FatalError(
            f"cannot make {folder(out)}: {error.strerror or error}",
            hint="Choose another folder with --out, or fix its permissions.",
        ) from None
    except sqlite3.Error as error:
        raise unusable(out, path, error) from None


def discard_new(out: Path) -> None:
    """Remove the lock and folders that were made for a ledger which was then not created."""
    if file(out).exists():
        return
    with contextlib.suppress(OSError):  # what else is there stays there
        (folder(out) / "lock").unlink(missing_ok=True)
        folder(out).rmdir()
        out.rmdir()


def unusable(out: Path, path: Path, error: sqlite3.Error) -> FatalError:
    """Return the error to raise when SQLite refuses a ledger's file."""
    if path == temp_path(out):
        return cannot_make(out, error)
    return FatalError(f"the ledger {path} cannot be used: {error}", hint=_hint(out, error))


def primary_code(error: sqlite3.Error) -> int | None:
    """Return SQLite's code for the kind of an error, or None if SQLite gave no code."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _hint(out: Path, error: sqlite3.Error) -> str:
    """Return what to do. To rebuild the ledger is the advice only if it is damaged."""
    code = primary_code(error)
    if code in _NO_ACCESS:
        return f"Fix the permissions of {folder(out)} and its files, then run: batchcap resume"
    if code in _DISK:
        return "Free disk space or check the disk, then run: batchcap resume"
    if code in _IN_USE:
        return "Close the program that uses the ledger, then run: batchcap resume"
    return "The ledger is damaged: batchcap rebuild MANIFEST makes a new one."


def cannot_make(out: Path, error: Exception) -> FatalError:
    """Return the error to raise when there is no place for a new ledger."""
    return FatalError(
        f"cannot make a new ledger in {folder(out)}: {error}",
        hint="Free disk space or fix permissions, then run the same command again.",
    )


def nothing_here(out: Path) -> UsageError:
    """Return the error to raise when there is no ledger in a folder."""
    if temp_path(out).exists():
        return UsageError(
            f"the ledger in {folder(out)} is being made from its manifest",
            hint="Try again in some seconds. If no run is at work: batchcap run MANIFEST.",
        )
    return UsageError(
        f"there is no ledger in {folder(out)}",
        hint="batchcap run MANIFEST starts one, batchcap rebuild MANIFEST replaces a lost one; "
        "--dir names another folder.",
    )


def _prepared(connection: sqlite3.Connection, *, durable: bool) -> sqlite3.Connection:
    connection.execute(f"PRAGMA journal_mode = {'WAL' if durable else 'DELETE'}")
    if not durable:
        connection.execute("PRAGMA synchronous = OFF")
    match connection.execute("PRAGMA user_version").fetchone()[0]:
        case 0:
            _change(connection, f"{_TABLES} {_SEEN} {_INDEXES} {_FROM_2}")
        case 1:
            _change(connection, _FROM_1)
        case 2:
            _change(connection, _FROM_2)
        case 3:
            _change(connection, _FROM_3)
        case 4:
            _change(connection, _FROM_4)
    check_version(connection, {VERSION})
    return connection


def _change(connection: sqlite3.Connection, sql: str) -> None:
    connection.executescript(f"BEGIN IMMEDIATE; {sql} PRAGMA user_version = {VERSION}; COMMIT;")


def has_quality(connection: sqlite3.Connection) -> bool:
    """Return whether the ledger has findings: one of an older version that is only read has none.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    return bool(connection.execute("PRAGMA user_version").fetchone()[0] >= 5)


def check_version(connection: sqlite3.Connection, usable: set[int]) -> None:
    """Check the version of a ledger.

    Raises:
        FatalError: It is not one of the `usable` versions.
        sqlite3.Error: The file cannot be read.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in usable:
        raise FatalError(
            f"the ledger is of version {version}, this batchcap reads version {VERSION}",
            hint="Use the batchcap that wrote it (a newer one?), or another --out.",
        )
