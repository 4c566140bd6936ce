"""Imports manifest rows into the ledger, all or none.

SQLite's unique indexes find duplicates, also against earlier imports, so that memory does not
grow with the manifest. The indexes of a new ledger are made after its rows: sorting all rows
once takes a third of the time.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import orjson

from batchcap.domain.models import ImportResult, InvalidRow, Row
from batchcap.storage.ledger.corrections import Task, correct, find_failed, find_task, why_fixed
from batchcap.storage.ledger.import_problems import Problems
from batchcap.storage.ledger.path_collisions import collisions
from batchcap.storage.ledger.schema import DISTINCT, INDEXES
from batchcap.storage.ledger.unlisted import place

_BATCH = 1000
_SORTERS = 2
"""Threads with which SQLite sorts, beside its own; with more, it takes as long."""

_COLUMNS = ", ".join(Row.__struct_fields__)
_INSERT = f"INSERT OR IGNORE INTO rows ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  # constants
_INSERT_INVALID = """
INSERT INTO rows
    (number, provider, source_id, language, key, meta, origin, state, code, message, retryable)
VALUES (?, ?, ?, ?, ?, ?, ?, 'invalid', 'invalid', ?, 0)
"""

# Rows that may collide with an earlier one.
_LATER = """
SELECT number FROM (
    SELECT number, row_number() OVER (PARTITION BY {} ORDER BY number) AS nth
    FROM rows WHERE path IS NOT NULL
) WHERE nth > 1
"""
_CANDIDATES = f"""
CREATE TEMP TABLE candidates AS SELECT {_COLUMNS} FROM rows
WHERE number IN ({" UNION ".join(map(_LATER.format, DISTINCT.values()))})
"""  # noqa: S608  # constants

_KEY = "SELECT number, origin FROM rows WHERE key = ? AND path IS NOT NULL"
_PATH = "SELECT number, origin FROM rows WHERE lower(path) = lower(?) AND path IS NOT NULL"

Values = tuple[Any, ...]
"""A row's values for `_COLUMNS`."""


class ImportedRows(NamedTuple):
    """The rows that an import named: those from `first` on are new.

    `marks` has, by number, a 1 for each earlier row that it named again.
    """

    first: int = 1
    marks: bytearray = bytearray()

    def __contains__(self, number: object) -> bool:
        """Return whether the import named the row with this number."""
        assert isinstance(number, int)
        return number >= self.first or (number < len(self.marks) and bool(self.marks[number]))


def import_rows(
    connection: sqlite3.Connection,
    manifests: Sequence[tuple[str, Iterable[Row | InvalidRow]]],
    *,
    skip_invalid: bool,
    is_trial: bool = False,
) -> tuple[ImportResult, ImportedRows]:
    """Import manifests, given as (name, rows), in the caller's transaction.

    A trial is never refused: every problem becomes an invalid row.

    Raises:
        UsageError: Rows are invalid, and `skip_invalid` is off, or a whole file is. It lists
            the first ones; the caller has to roll back.
    """
    importer = _Importer(connection)
    for name, rows in manifests:
        importer.manifest(name, rows)
    imported = importer.finished()
    is_refused = imported.has_bad_file or (imported.invalid and not skip_invalid)
    if is_refused and not is_trial:
        raise importer.problems.refusal()
    return imported, importer.rows()


class _Importer:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._result = ImportResult()
        self.problems = Problems()
        last = connection.execute("SELECT ifnull(max(number), 0) FROM rows").fetchone()[0]
        self._first = self._next = last + 1
        self._imported = bytearray(self._first)  # by number: rows that this import has, too
        self._other_path = ""
        self._moved: list[int] = []  # rows of the ledger that got another path
        self._has_indexes = True
        if self._next == 1:
            self._drop_indexes()

    def manifest(self, name: str, rows: Iterable[Row | InvalidRow]) -> None:
        """Import one manifest. Its invalid rows of an earlier import are removed first."""
        prefix = f"{name}:"
        self._connection.execute(
            "DELETE FROM rows WHERE state = 'invalid' AND rtrim(origin, '0123456789') = ?",
            (prefix,),
        )
        for batch in _batches(rows):
            if not self._insert(batch):
                for row in batch:
                    self._single(row)

    def finished(self) -> ImportResult:
        """Return what the import did, once all rows are known to be distinct."""
        if not self._has_indexes:
            try:
                self._make_indexes()
            except sqlite3.IntegrityError:
                self._resolve_duplicates()
        self._refuse_colliding_paths()
        self._result.problems = self.problems.lines()
        self._result.more_problems = len(self.problems) - len(self._result.problems)
        self._result.has_bad_file = self.problems.are_of_a_file
        return self._result

    def rows(self) -> ImportedRows:
        """Return the rows that were imported, or were there already."""
        return ImportedRows(self._first, self._imported)

    def _refuse_colliding_paths(self) -> None:
        """Replace new rows by invalid ones if their file is an earlier row's on other systems.

        A corrected row stays; what the ledger had of it cannot be skipped.
        """
        for number, origin in collisions(self._connection, self._first, self._moved):
            query = f"SELECT {_COLUMNS} FROM rows WHERE number = ?"  # noqa: S608  # constants
            values = self._connection.execute(query, (number,)).fetchone()
            path = values[6]
            problem = (
                f"name: {path[:80]!r} and the file of {place(origin)} are one on macOS and Windows"
            )
            row = _rejected(values, problem)
            if number < self._first:
                self._invalid(self._next, msgspec.structs.replace(row, is_whole_file=True))
                self._next += 1
                continue
            self._connection.execute("DELETE FROM rows WHERE number = ?", (number,))
            self._result.added -= 1
            self._invalid(number, row)

    def _insert(self, batch: Sequence[Row | InvalidRow]) -> bool:
        """Insert a batch at once. Return False, with nothing done, if a row is bad or collides."""
        good = [row for row in batch if isinstance(row, Row)]
        if len(good) < len(batch):
            return False
        values = [_values(number, row) for number, row in enumerate(good, self._next)]
        before = self._connection.total_changes
        self._connection.execute("SAVEPOINT batch")
        self._connection.executemany(_INSERT, values)
        complete = self._connection.total_changes - before == len(values)
        if complete:
            self._next += len(values)
            self._result.added += len(values)
        else:
            self._connection.execute("ROLLBACK TO batch")
        self._connection.execute("RELEASE batch")
        return complete

    def _single(self, row: Row | InvalidRow) -> None:
        if isinstance(row, InvalidRow):
            self._invalid(self._next, row)
            self._next += 1
        elif self._put(_values(self._next, row)):
            self._next += 1

    def _put(self, values: Values) -> bool:
        """Insert a row, or its problem. Return False if the ledger has the task already."""
        task = self._existing(values) if self._has_indexes else None
        problem = self._conflict(values, task) if self._has_indexes else ""
        if problem:
            row = _rejected(values, problem)
            if self._other_path:  # else each row of the ledger would be there twice, once invalid
                row = msgspec.structs.replace(row, is_whole_file=True)
            self._invalid(values[0], row)
            return True
        if task is None:
            self._connection.execute(_INSERT, values)
            self._result.added += 1
            return True
        if task.differences(values):
            correct(self._connection, task, values)
            if task.path != values[6]:
                self._moved.append(task.number)
            self._result.corrected += 1
        else:
            self._list_again(task, values)
            self._result.known += 1
            if self._is_imported(task) and task.meta != values[8]:
                self._result.repeated += 1
                self._result.repeats = self._result.repeats or (task.origin, values[9])
        if task.number < self._first:
            self._imported[task.number] = 1
        return False

    def _list_again(self, task: Task, values: Values) -> None:
        """Give a row its line back if its manifest did not list it any more."""
        if task.origin.endswith(":"):
            update = "UPDATE rows SET origin = ? WHERE number = ?"
            self._connection.execute(update, (values[9], task.number))

    def _drop_indexes(self) -> None:
        for name in INDEXES:
            self._connection.execute(f"DROP INDEX {name}")
        self._has_indexes = False

    def _make_indexes(self) -> None:
        """Make the indexes, all or none.

        Raises:
            sqlite3.IntegrityError: Rows collide.
        """
        self._connection.execute(f"PRAGMA threads = {_SORTERS}")
        self._connection.execute("SAVEPOINT indexes")
        try:
            for sql in INDEXES.values():
                self._connection.execute(sql)
            self._has_indexes = True
        except sqlite3.IntegrityError:
            self._connection.execute("ROLLBACK TO indexes")
            raise
        finally:
            self._connection.execute("RELEASE indexes")

    def _resolve_duplicates(self) -> None:
        """Take rows that may collide with earlier ones out again, and put them in one by one."""
        self._connection.execute(_CANDIDATES)
        again = "DELETE FROM rows WHERE number IN (SELECT number FROM candidates)"
        self._result.added -= self._connection.execute(again).rowcount
        self._make_indexes()
        for values in self._connection.execute("SELECT * FROM candidates ORDER BY number"):
            self._put(values)
        self._connection.execute("DROP TABLE candidates")

    def _existing(self, values: Values) -> Task | None:
        """Return the row that has the task of `values`, or that they correct."""
        task = find_task(self._connection, values)
        if task is None and (failed := find_failed(self._connection, values)):
            return None if self._is_imported(failed) else failed
        return task

    def _is_imported(self, task: Task) -> bool:
        """Return whether this import has a row for the task already."""
        return task.number >= self._first or bool(self._imported[task.number])

    def _conflict(self, values: Values, task: Task | None) -> str:
        """Return why a row cannot be imported, "" if it can or the ledger has it already."""
        find = self._connection.execute
        _, key, _, _, _, _, path, *_ = values
        if task:
            differences = task.differences(values)
            if not differences:
                return ""
            same = (
                f"the same task as {place(task.origin)}, with {task.describe_differences(values)}"
            )
            if self._is_imported(task):
                return same
            if reason := why_fixed(self._connection, task, differences):
                if differences == ["another path"]:  # of all rows, if --name has changed
                    self._other_path = self._other_path or task.path
                    same = (
                        "the ledger has this caption with another path "
                        f"(its paths are like {self._other_path[:80]!r})"
                    )
                return f"{same}: {reason}"
        number = task.number if task else None
        if (other := find(_KEY, (key,)).fetchone()) and other[0] != number:
            return f"key: {key[:60]!r} is the key of {place(other[1])} already"
        if (other := find(_PATH, (path,)).fetchone()) and other[0] != number:
            return f"name: {path[:80]!r} is the file of {place(other[1])} already"
        return ""

    def _invalid(self, number: int, row: InvalidRow) -> None:
        self._result.invalid += 1
        self.problems.add(number, row)
        who = (row.provider, row.source_id, row.language, row.key)
        meta = orjson.dumps(row.meta).decode()
        self._connection.execute(_INSERT_INVALID, (number, *who, meta, row.origin, row.message))


def _batches(rows: Iterable[Row | InvalidRow]) -> Iterator[list[Row | InvalidRow]]:
    remaining = iter(rows)
    while batch := list(itertools.islice(remaining, _BATCH)):
        yield batch


def _values(number: int, row: Row) -> Values:
    return (
        number,
        row.key,
        row.provider,
        row.source_id,
        row.language,
        row.target,
        row.path,
        orjson.dumps(row.params, None, orjson.OPT_SORT_KEYS).decode(),
        orjson.dumps(row.meta, None, orjson.OPT_SORT_KEYS).decode() if row.meta else "{}",
        row.origin,
    )


def _rejected(values: Values, problem: str) -> InvalidRow:
    _, key, provider, source_id, language, *_, meta, origin = values
    return InvalidRow(
        line=int(origin.rpartition(":")[2] or 0),
        message=problem,
        origin=origin,
        key=key,
        provider=provider,
        source_id=source_id,
        language=language,
        meta=orjson.loads(meta),
    )
