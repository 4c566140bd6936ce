"""What verify and audit read from the ledger, a page at a time, and what a repair writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec
import orjson

from batchcap.ledger.seen import forget_results
from batchcap.model import Row

_PAGE = 512

_DELIVERED = """
SELECT number, key, path, bytes, sha256, cues FROM rows
WHERE state = 'done' AND number > ? ORDER BY number LIMIT ?
"""
# What stays of the outcome is its time: it says that the row was done once.
_WRONG = """
UPDATE rows SET state = NULL, started_at = NULL, bytes = NULL, sha256 = NULL, cues = NULL,
       job_id = NULL
WHERE number = ? AND state = 'done'
"""
_SOURCES = """
SELECT DISTINCT source_id FROM rows
WHERE provider = ? AND source_id > ? AND target <> '' AND path IS NOT NULL
ORDER BY source_id LIMIT ?
"""
_CAPTIONS = """
SELECT number, key, target, params FROM rows
WHERE provider = ? AND source_id = ? AND target <> '' AND path IS NOT NULL
"""


class Delivered(msgspec.Struct, frozen=True):
    """A row that is done, with what its file was when it was fetched."""

    number: int
    key: str
    path: str
    bytes: int
    sha256: str
    cues: int


class Recollection:
    """A `KeyValueStore` that knows what the ledger remembers and leaves the ledger as it is."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._memory = dict(connection.execute("SELECT key, value FROM memory"))

    def get(self, key: str) -> str | None:
        """See `interfaces.KeyValueStore`."""
        return self._memory.get(key)

    def set(self, key: str, value: str) -> None:
        """Keep a value as long as this object lives."""
        self._memory[key] = value


class Paid(msgspec.Struct, frozen=True):
    """One create that was sent. `job_id` None: nobody knows whether it arrived."""

    job_id: str | None
    ended: str | None
    units: int


class Wanted(msgspec.Struct, frozen=True):
    """A caption that jobs are made for, with the creates that were sent for it."""

    key: str
    source_id: str
    target: str
    track_id: str | None
    creates: tuple[Paid, ...]


def delivered(connection: sqlite3.Connection) -> Iterator[list[Delivered]]:
    """The rows that are done, in manifest order, by the page."""
    after = 0
    while found := connection.execute(_DELIVERED, (after, _PAGE)).fetchall():
        page = [Delivered(*one) for one in found]
        yield page
        after = page[-1].number


def put_wrong_back(connection: sqlite3.Connection, wrong: Sequence[int]) -> None:
    """Make rows that are done pending again, by number, all or none.

    What is known of their jobs stays known, and that they were done once, so that
    nothing is created for them.
    """
    connection.execute("BEGIN IMMEDIATE")
    forget_results(connection)
    connection.executemany(_WRONG, [(number,) for number in wrong])
    connection.execute("COMMIT")


def owned(connection: sqlite3.Connection, path: str) -> bool:
    """Whether any row's file has this path below the output folder."""
    # "+path", or SQLite puts ?1 into lower(path) too, and looks through all rows.
    find = "SELECT 1 FROM rows WHERE lower(path) = lower(?1) AND +path = ?1 AND path IS NOT NULL"
    try:
        return connection.execute(find, (path,)).fetchone() is not None
    except UnicodeEncodeError:
        return False  # no text of a manifest is such a name


def known(connection: sqlite3.Connection, row: Row) -> bool:
    """Whether the ledger has the task that a row asks for."""
    find = (
        "SELECT 1 FROM rows WHERE provider = ? AND source_id = ? AND target = ?"
        " AND path IS NOT NULL"
    )
    return (
        connection.execute(find, (row.provider, row.source_id, row.target)).fetchone() is not None
    )


def sources(connection: sqlite3.Connection, provider: str) -> Iterator[str]:
    """The source ids of a provider that jobs are made for, each once."""
    after = ""
    while page := connection.execute(_SOURCES, (provider, after, _PAGE)).fetchall():
        yield from (source_id for (source_id,) in page)
        (after,) = page[-1]


def paying(connection: sqlite3.Connection) -> list[str]:
    """The providers at which jobs are made for rows of the ledger."""
    found = connection.execute(
        "SELECT DISTINCT provider FROM rows WHERE target <> '' AND path IS NOT NULL"
    )
    return sorted(provider for (provider,) in found)


def wanted(connection: sqlite3.Connection, provider: str, source_id: str) -> list[Wanted]:
    """The captions of one source, each with its creates in their order."""
    creates = "SELECT job_id, ended, units FROM creates WHERE row = ? ORDER BY nth"
    return [
        Wanted(
            key=key,
            source_id=source_id,
            target=target,
            track_id=orjson.loads(params).get("track_id"),
            creates=tuple(Paid(*one) for one in connection.execute(creates, (number,))),
        )
        for number, key, target, params in connection.execute(_CAPTIONS, (provider, source_id))
    ]
