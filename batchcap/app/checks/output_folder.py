"""Whether files and a ledger can be written to the output folder, and how much space is left."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from batchcap.app.checks.diagnosis import Diagnosis
from batchcap.domain.errors import FatalError
from batchcap.storage.ledger import folder
from batchcap.storage.ledger.filesystem import check_disk
from batchcap.storage.ledger.schema import refuse_links

SUBJECT = "output folder"

MIN_FREE = 500 * 10**6
"""Bytes of free space below which there is a warning: a ledger and some 50,000 captions."""

_FREE_SPACE = "Free disk space, or choose another disk: -o DIR"
_SAMPLE = bytes(64 * 1024)


def check_output_folder(out: Path) -> list[Diagnosis]:
    """Write a file and a ledger's kind of database, and remove both again.

    A folder that does not exist yet is not made; the one that will hold it is tried instead.
    """
    place = out
    try:
        check_disk(out)
        refuse_links(folder(out))
        for place in _places(out):
            _write(place)
        free = shutil.disk_usage(place).free
    except FatalError as error:
        return [Diagnosis(SUBJECT, "problem", error.message, error.hint)]
    except OSError as error:
        reason = error.strerror or str(error)
        return [Diagnosis(SUBJECT, "problem", f"cannot write to {place}: {reason}", _hint(error))]
    except sqlite3.Error as error:
        hint = "Choose a folder on a local disk with enough space: -o DIR"
        return [Diagnosis(SUBJECT, "problem", f"no ledger can be kept in {place}: {error}", hint)]
    return [_with_space(f"{out} can be written", free)]


def _with_space(text: str, free: int) -> Diagnosis:
    text = f"{text}, {free / 10**9:,.1f} GB free"
    if free < MIN_FREE:
        return Diagnosis(SUBJECT, "warning", text, _FREE_SPACE)
    return Diagnosis(SUBJECT, "ok", text)


def _places(out: Path) -> list[Path]:
    """Return the folders to write to; before the first run, the folder in which they will be."""
    if out.exists():
        return [place for place in (folder(out), out) if place.exists()]
    return [next(parent for parent in out.absolute().parents if parent.exists())]


def _write(place: Path) -> None:
    """Write to a folder.

    Raises:
        OSError: No file can be written.
        sqlite3.Error: SQLite cannot write a database with a write-ahead log.
    """
    if not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is not a folder")
    with TemporaryDirectory(prefix=".batchcap-doctor-", dir=place) as temporary:
        Path(temporary, "sample").write_bytes(_SAMPLE)
        with closing(sqlite3.connect(Path(temporary, "ledger.sqlite"))) as connection:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            connection.execute("CREATE TABLE sample (data BLOB)")
            if mode != "wal":
                raise sqlite3.OperationalError("its file system has no write-ahead log")


def _hint(error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return _FREE_SPACE
    return "Fix the permissions, or choose another folder: -o DIR"
