"""Opens a ledger to read from it, also in a folder where the user may not write.

SQLite reads a file in WAL mode with the help of a `-shm` file beside it, and creates that if
it is missing. In a read-only folder it cannot. If there is no log either, all records are in
the file itself, which SQLite reads as `immutable`. With a log and no `-shm`, as the copy of a
killed run may have them, both files are copied to a temporary folder and read there.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from batchcap.domain.errors import FatalError
from batchcap.storage.ledger import schema

_MUST_WRITE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


def connect(out: Path) -> sqlite3.Connection:
    """Open an output folder's ledger to read from it, also while a run writes it.

    Raises:
        UsageError: There is no ledger.
        FatalError: It is damaged, of another version, or may not be read.
    """
    path = schema.file(out)
    _check_access(out, path)
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        try:
            return _connect(uri)
        except sqlite3.OperationalError as error:
            if schema.primary_code(error) not in _MUST_WRITE:
                raise
            log = path.with_name(f"{path.name}-wal")
            if log.exists() and log.stat().st_size:
                return _connect_copy(out, path, log)
            return _connect(f"{uri}&immutable=1")
    except sqlite3.Error as error:
        raise schema.unusable(out, path, error) from None


def _connect(uri: str) -> sqlite3.Connection:
    """Open a ledger and read from it, which is when SQLite looks at the files."""
    connection = sqlite3.connect(uri, uri=True)
    try:
        schema.check_version(connection, schema.READABLE)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_access(out: Path, path: Path) -> None:
    """Check that there is a ledger which may be read, without opening it.

    A process that closes a file loses its locks on it (POSIX). If this one has the ledger open
    elsewhere, another process would take itself for the last user, and remove the log.
    """
    try:
        path.stat()
        reason = "" if os.access(path, os.R_OK) else os.strerror(errno.EACCES)
    except (FileNotFoundError, NotADirectoryError):
        raise schema.nothing_here(out) from None
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise FatalError(
            f"cannot read {path}: {reason}",
            hint="Ask the owner of the folder for permission to read it and .batchcap in it.",
        )


def _connect_copy(out: Path, path: Path, log: Path) -> sqlite3.Connection:
    """Open a copy of a ledger with its log. No file of the copy has a name on return."""
    try:
        with TemporaryDirectory(prefix="batchcap-") as temporary:
            copy = Path(temporary) / path.name
            before = [_state(file) for file in (path, log)]
            shutil.copyfile(path, copy)
            shutil.copyfile(log, copy.with_name(log.name))
            if [_state(file) for file in (path, log)] != before:
                raise _log_unreadable(out, path, "a run has just begun to write it")
            try:
                with closing(sqlite3.connect(copy)) as connection:
                    connection.execute("PRAGMA journal_mode = DELETE")  # takes the log in
            except sqlite3.OperationalError as error:  # of the temporary disk
                raise _log_unreadable(out, path, str(error)) from None
            return _connect(f"{copy.as_uri()}?mode=ro&immutable=1")
    except OSError as error:
        raise _log_unreadable(out, path, error.strerror or str(error)) from None


def _state(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _log_unreadable(out: Path, path: Path, reason: str) -> FatalError:
    return FatalError(
        f"cannot read the ledger {path}: its last run did not end, the log that it left cannot be "
        f"read in {schema.folder(out)}, and a temporary copy failed: {reason}",
        hint="Copy the whole folder to a place of your own, and name that with --out.",
    )
