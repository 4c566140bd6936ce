"""A new ledger, also in the place of one that is lost or damaged."""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from batchcap.domain.errors import BatchcapError
from batchcap.domain.models import Caption
from batchcap.storage.durable import sync
from batchcap.storage.ledger.queries import open_reader
from batchcap.storage.ledger.schema import cannot_make, file, open_file, sibling_path, temp_path
from batchcap.storage.ledger.transactions import transaction
from batchcap.storage.ledger.writer import SqliteLedger

_SIDES = ("", "-wal", "-shm")

_UNKNOWN = """
INSERT INTO creates (row, nth, intent_at)
SELECT number, 1, ? FROM rows WHERE target <> '' AND state IS NULL
"""
_DONE = """
UPDATE rows SET state = 'done', started_at = ?1, finished_at = ?1, bytes = ?2, sha256 = ?3,
       cues = ?4, job_id = CASE target WHEN '' THEN source_id ELSE
       (SELECT job_id FROM creates WHERE row = number AND ended = 'completed') END
WHERE number = ?5
"""
_COPY = "INSERT INTO memory VALUES (?, ?)"
_OPEN = "SELECT number, path FROM rows WHERE state IS NULL AND number > ? ORDER BY number LIMIT 512"


class NewSqliteLedger(SqliteLedger):
    """The `ledger_protocols.NewLedger` in one SQLite file."""

    def mark_creates_unknown(self, at: float) -> None:
        """See `ledger_protocols.NewLedger`."""
        with self._faults():
            self._connection.execute(_UNKNOWN, (at,))

    def copy_values(self, values: Mapping[str, str]) -> None:
        """See `ledger_protocols.NewLedger`."""
        with self._faults():
            self._connection.executemany(_COPY, values.items())
        self._values = {**self._values, **values}

    def unfinished_files(self) -> Iterator[list[tuple[int, str]]]:
        """See `ledger_protocols.NewLedger`."""
        after = 0
        while page := [(number, path) for number, path in self._select(_OPEN, (after,))]:
            yield page
            after = page[-1][0]

    def mark_done(self, files: Sequence[tuple[int, Caption, float]]) -> None:
        """See `ledger_protocols.NewLedger`."""
        with self._faults(), transaction(self._connection):
            self._connection.executemany(
                _DONE,
                [
                    (modified, caption.bytes, caption.sha256, caption.cues, number)
                    for number, caption, modified in files
                ],
            )


@contextmanager
def new_ledger(out: Path, *, now: Callable[[], float] = time.time) -> Iterator[NewSqliteLedger]:
    """Make a ledger, which takes its place when the block ends without an error.

    Until then no other process sees it, and an old one is left as it was; afterwards the
    old one is found at `backup_path`. If the block raises, nothing is left of the new one.

    Raises:
        FatalError: The disk refuses.
    """
    path = temp_path(out)
    try:
        _remove(path)
        connection = open_file(out, path, durable=False)
        with closing(NewSqliteLedger(connection, path, out, now=now)) as ledger:
            yield ledger
        sync(path)
        _move(file(out), backup_path(out))
        path.rename(file(out))
        sync(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise cannot_make(out, error) from None
    finally:
        with suppress(OSError):
            _remove(path)


@contextmanager
def replacement(out: Path, *, now: Callable[[], float] = time.time) -> Iterator[NewSqliteLedger]:
    """Make a ledger as `new_ledger` does, with the stored values of the old one.

    These are origins and pauses of the providers, if they can still be read.

    Raises:
        FatalError: The disk refuses.
    """
    with new_ledger(out, now=now) as ledger:
        ledger.copy_values(_values(out))
        yield ledger


def backup_path(out: Path) -> Path:
    """Return the first free name for a ledger that is moved aside: `ledger.sqlite.bad-<n>`."""
    names = (sibling_path(out, f"bad-{number}") for number in itertools.count(1))
    return next(name for name in names if not any(map(os.path.lexists, _sides(name))))


def _values(out: Path) -> dict[str, str]:
    try:
        with closing(open_reader(out)) as old:
            return old.values()
    except BatchcapError:
        return {}


def _sides(ledger: Path) -> list[Path]:
    """A ledger's file, and what SQLite keeps beside it."""
    return [ledger.with_name(ledger.name + side) for side in _SIDES]


def _remove(ledger: Path) -> None:
    for path in _sides(ledger):
        path.unlink(missing_ok=True)


def _move(ledger: Path, aside: Path) -> None:
    for old, new in zip(_sides(ledger), _sides(aside), strict=True):
        if old.exists():
            old.rename(new)
