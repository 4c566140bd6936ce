"""The tables, the version, and how the file is opened.

`synchronous=FULL` always: what was acknowledged survives a power cut. WAL, so
that `status` reads while a run writes.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from batchcap.errors import FatalError, UsageError

VERSION = 1

_TABLES = """
CREATE TABLE memory (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE rows (
    number INTEGER PRIMARY KEY,
    provider TEXT,
    source_id TEXT,
    target TEXT,       -- with provider and source_id: the task
    language TEXT,
    key TEXT,
    path TEXT,
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
CREATE UNIQUE INDEX task ON rows (provider, source_id, target) WHERE state IS NOT 'invalid';
CREATE UNIQUE INDEX key ON rows (key) WHERE state IS NOT 'invalid';
CREATE UNIQUE INDEX path ON rows (path COLLATE NOCASE) WHERE state IS NOT 'invalid';
CREATE INDEX pending ON rows (provider, number) WHERE state IS NULL;

-- Every create is a record of its own: it may cost.
CREATE TABLE creates (
    row INTEGER NOT NULL,
    nth INTEGER NOT NULL,
    intent_at REAL NOT NULL,
    job_id TEXT,       -- NULL: nobody knows whether it arrived
    ended TEXT,        -- how its job ended, once known
    units INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (row, nth)
) WITHOUT ROWID;
"""


def folder(out: Path) -> Path:
    """Where an output folder's ledger lives."""
    return out / ".batchcap"


def file(out: Path) -> Path:
    """The ledger's file."""
    return folder(out) / "ledger.sqlite"


def beside(out: Path, what: str) -> Path:
    """A file beside the ledger that is named after it."""
    return folder(out) / f"ledger.sqlite.{what}"


def refuse_links(*paths: Path) -> None:
    """Raise `FatalError` where the ledger would be written through a planted link."""
    for path in paths:
        if path.is_symlink():
            raise FatalError(
                f"{path} is a symbolic link, which is not followed",
                hint="Remove the link; --out itself may be one.",
            )


def connect(out: Path, *, create: bool) -> sqlite3.Connection:
    """Open an output folder's ledger for writing.

    Raises `UsageError` where there is none and none may be made, `FatalError`
    where it is damaged, of another version, or cannot be opened.
    """
    if not create and not file(out).exists():
        raise _nothing_here(out)
    return opened(out, file(out))


def opened(out: Path, path: Path) -> sqlite3.Connection:
    """Open a ledger's file for writing, made where it is missing. Raises as `connect` does."""
    refuse_links(folder(out), path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _prepared(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
    except OSError as error:
        raise FatalError(
            f"cannot make {folder(out)}: {error.strerror or error}",
            hint="Choose another folder with --out, or mend its permissions.",
        ) from None
    except sqlite3.Error as error:
        raise damaged(out, error) from None


def discard_empty(connection: sqlite3.Connection, out: Path) -> None:
    """Take away a ledger without a row, so that a run that never started leaves nothing."""
    if connection.execute("SELECT 1 FROM rows LIMIT 1").fetchone():
        return
    connection.close()
    for path in (file(out), folder(out) / "lock"):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # what else is there stays there
        folder(out).rmdir()
        out.rmdir()


def read_only(out: Path) -> sqlite3.Connection:
    """Open a ledger to read from it, also while a run writes it."""
    if not file(out).exists():
        raise _nothing_here(out)
    try:
        connection = sqlite3.connect(f"{file(out).absolute().as_uri()}?mode=ro", uri=True)
        _check_version(connection)
    except sqlite3.Error as error:
        raise damaged(out, error) from None
    return connection


def damaged(out: Path, error: sqlite3.Error) -> FatalError:
    """What to tell where SQLite refuses the file."""
    return FatalError(
        f"the ledger {file(out)} cannot be used: {error}",
        hint="Make room on the disk or mend the permissions if that is the cause, then: "
        "batchcap resume. A damaged ledger: batchcap verify --rebuild MANIFEST makes a new one.",
    )


def _nothing_here(out: Path) -> UsageError:
    return UsageError(
        f"there is no ledger in {folder(out)}",
        hint="batchcap run MANIFEST starts one; --out names another folder.",
    )


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
    _check_version(connection)
    return connection


def _check_version(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found != VERSION:
        raise FatalError(
            f"the ledger is of version {found}, this batchcap reads version {VERSION}",
            hint="Use the batchcap that wrote it (a newer one?), or another --out.",
        )
