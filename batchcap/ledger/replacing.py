"""A new ledger, also in the place of one that is lost or damaged."""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from batchcap.errors import BatchcapError, FatalError
from batchcap.ledger.schema import beside, draft, file, opened, read_only
from batchcap.model import Caption

_SIDES = ("", "-wal", "-shm")

_UNKNOWN = """
INSERT INTO creates (row, nth, intent_at)
SELECT number, 1, ? FROM rows WHERE target <> '' AND state IS NULL
"""
_THERE = """
UPDATE rows SET state = 'done', started_at = ?1, finished_at = ?1, bytes = ?2, sha256 = ?3,
       cues = ?4, job_id = CASE target WHEN '' THEN source_id ELSE
       (SELECT job_id FROM creates WHERE row = number AND ended = 'completed') END
WHERE number = ?5
"""
_OPEN = "SELECT number, path FROM rows WHERE state IS NULL AND number > ? ORDER BY number LIMIT 512"


@contextmanager
def begun(out: Path) -> Iterator[sqlite3.Connection]:
    """A new ledger, which takes its place when the block ends without an error.

    Until then nobody sees it, and an old one is as it was; afterwards that is `kept_as`.
    Whatever happens in the block leaves nothing of the new one. Raises `FatalError`
    where the disk refuses.
    """
    fresh = draft(out)
    try:
        _remove(fresh)
        with closing(opened(out, fresh, durable=False)) as connection:
            yield connection
        _sync(fresh)
        _move(file(out), kept_as(out))
        fresh.rename(file(out))
        _sync(fresh.parent)
    except (OSError, sqlite3.Error) as error:
        raise FatalError(
            f"cannot make a new ledger in {fresh.parent}: {error}",
            hint="Make room or mend the permissions, then the same command again.",
        ) from None
    finally:
        with suppress(OSError):
            _remove(fresh)


@contextmanager
def replaced(out: Path) -> Iterator[sqlite3.Connection]:
    """As `begun`; what an old ledger remembers of the providers is taken over.

    Origins and pauses, that is, where they can still be read.
    """
    with begun(out) as connection:
        connection.executemany("INSERT INTO memory VALUES (?, ?)", _memory(out))
        yield connection


def kept_as(out: Path) -> Path:
    """The first free name for a ledger that is moved aside: `ledger.sqlite.bad-<n>`."""
    names = (beside(out, f"bad-{number}") for number in itertools.count(1))
    return next(name for name in names if not any(map(os.path.lexists, _sides(name))))


def doubt(connection: sqlite3.Connection, at: float) -> None:
    """Note of every caption that jobs are made for: a create may have left by then."""
    connection.execute(_UNKNOWN, (at,))


def open_files(connection: sqlite3.Connection) -> Iterator[list[tuple[int, str]]]:
    """Number and path of the rows that have not ended, by the page."""
    after = 0
    while page := connection.execute(_OPEN, (after,)).fetchall():
        yield page
        after = page[-1][0]


def adopt(connection: sqlite3.Connection, found: list[tuple[int, Caption, float]]) -> None:
    """Make rows done by what their files hold: (number, caption, time of the file)."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        _THERE,
        [(at, caption.bytes, caption.sha256, caption.cues, row) for row, caption, at in found],
    )
    connection.execute("COMMIT")


def _memory(out: Path) -> list[tuple[str, str]]:
    try:
        with closing(read_only(out)) as old:
            return old.execute("SELECT key, value FROM memory").fetchall()
    except (BatchcapError, sqlite3.Error):
        return []


def _sides(ledger: Path) -> list[Path]:
    """A ledger's file, and what SQLite keeps beside it."""
    return [ledger.with_name(ledger.name + side) for side in _SIDES]


def _remove(ledger: Path) -> None:
    for one in _sides(ledger):
        one.unlink(missing_ok=True)


def _move(ledger: Path, aside: Path) -> None:
    for old, new in zip(_sides(ledger), _sides(aside), strict=True):
        if old.exists():
            old.rename(new)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
