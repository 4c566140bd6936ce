"""Manifest rows into the ledger: checked whole, then in for good, or not at all.

SQLite's unique indexes find what is there twice, also against earlier imports,
in memory that does not grow with the manifest.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterable, Sequence

import msgspec
import orjson

from batchcap.errors import UsageError
from batchcap.model import InvalidRow, Row

_CHUNK = 1000
_SHOWN = 20

_INSERT = """
INSERT OR IGNORE INTO rows
    (number, provider, source_id, target, language, key, path, params, meta, origin)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_INVALID = """
INSERT INTO rows
    (number, provider, source_id, language, key, meta, origin, state, code, message, retryable)
VALUES (?, ?, ?, ?, ?, '{}', ?, 'invalid', 'invalid', ?, 0)
"""

# A pending row that has an end already was paid for: nothing is created for it.
_PUT_BACK = """
UPDATE rows SET state = NULL, started_at = NULL, job_id = NULL,
       finished_at = CASE WHEN EXISTS (
           SELECT 1 FROM creates WHERE row = number AND ended = 'completed'
       ) THEN finished_at END,
       code = NULL, message = NULL, retryable = NULL
WHERE state = 'failed' AND (?1 IS NULL OR code = ?1)
"""


class Intake(msgspec.Struct):
    """What an import did. `problems` are the first of `invalid`, as file:line: text."""

    added: int = 0
    known: int = 0
    invalid: int = 0
    problems: list[str] = []


def take_in(
    connection: sqlite3.Connection,
    manifests: Sequence[tuple[str, Iterable[Row | InvalidRow]]],
    *,
    skip_invalid: bool,
    check: Callable[[], None] = lambda: None,
) -> Intake:
    """Import manifests, given as (name, rows), in one transaction.

    What `check` raises before the commit undoes it all. Raises `UsageError` with the
    first problems, and leaves the ledger as it was, where there is any and
    `skip_invalid` is off.
    """
    importer = _Importer(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for name, rows in manifests:
            importer.manifest(name, rows)
        if importer.intake.invalid and not skip_invalid:
            raise _refused(importer.intake)
        check()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return importer.intake


def put_back(connection: sqlite3.Connection, code: str | None) -> int:
    """Make failed rows pending again (those with an error code, or all); returns how many.

    What is known of their jobs stays known: a job that ended well is not made anew.
    """
    return connection.execute(_PUT_BACK, (code,)).rowcount


def _refused(intake: Intake) -> UsageError:
    hidden = intake.invalid - len(intake.problems)
    lines = [*intake.problems, *([f"... and {hidden:,} more"] if hidden else [])]
    noun = "problem" if intake.invalid == 1 else "problems"
    return UsageError(
        f"{intake.invalid:,} {noun} in the manifest; nothing was started\n" + "\n".join(lines),
        hint="Mend them, or go on without these rows: --skip-invalid",
    )


class _Importer:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.intake = Intake(problems=[])
        last = connection.execute("SELECT ifnull(max(number), 0) FROM rows").fetchone()[0]
        self._next = last + 1

    def manifest(self, name: str, rows: Iterable[Row | InvalidRow]) -> None:
        """Take in one manifest; what was invalid in it before is judged anew."""
        prefix = f"{name}:"
        self._connection.execute(
            "DELETE FROM rows WHERE state = 'invalid' AND rtrim(origin, '0123456789') = ?",
            (prefix,),
        )
        stream = iter(rows)
        while chunk := list(itertools.islice(stream, _CHUNK)):
            good = [row for row in chunk if isinstance(row, Row)]
            if len(good) < len(chunk) or not self._all(good):
                for row in chunk:
                    self._single(row)

    def _all(self, rows: list[Row]) -> bool:
        """Insert a chunk at once; False, and nothing done, where any row collides."""
        values = [_values(number, row) for number, row in enumerate(rows, self._next)]
        before = self._connection.total_changes
        self._connection.execute("SAVEPOINT chunk")
        self._connection.executemany(_INSERT, values)
        complete = self._connection.total_changes - before == len(rows)
        if complete:
            self._added(len(rows))
        else:
            self._connection.execute("ROLLBACK TO chunk")
        self._connection.execute("RELEASE chunk")
        return complete

    def _added(self, count: int) -> None:
        self._next += count
        self.intake.added += count

    def _single(self, row: Row | InvalidRow) -> None:
        if isinstance(row, InvalidRow):
            self._invalid(row)
            return
        cursor = self._connection.execute(_INSERT, _values(self._next, row))
        if cursor.rowcount:
            self._added(1)
        elif clash := self._clash(row):
            self._invalid(_rejected(row, clash))
        else:
            self.intake.known += 1

    def _clash(self, row: Row) -> str:
        """Why a row cannot go in; "" where the very same row is in already."""
        find = self._connection.execute
        mine = (row.key, row.path, row.language, _text(row.params))
        task = find(
            "SELECT origin, key, path, language, params FROM rows"
            " WHERE provider = ? AND source_id = ? AND target = ? AND state IS NOT 'invalid'",
            (row.provider, row.source_id, row.target),
        ).fetchone()
        if task:
            return (
                "" if task[1:] == mine else f"the same task as {task[0]}, with {_other(task, mine)}"
            )
        key = find(
            "SELECT origin FROM rows WHERE key = ? AND state IS NOT 'invalid'", (row.key,)
        ).fetchone()
        if key:
            return f"key: {row.key[:60]!r} is the key of {key[0]} already"
        path = find(
            "SELECT origin FROM rows WHERE path = ? COLLATE NOCASE AND state IS NOT 'invalid'",
            (row.path,),
        ).fetchone()
        return f"name: {row.path[:80]!r} is the file of {path[0]} already"

    def _invalid(self, row: InvalidRow) -> None:
        self.intake.invalid += 1
        if len(self.intake.problems) < _SHOWN:
            self.intake.problems.append(f"{row.origin}: {row.message}")
        who = (row.provider, row.source_id, row.language, row.key)
        self._connection.execute(_INSERT_INVALID, (self._next, *who, row.origin, row.message))
        self._next += 1


def _values(number: int, row: Row) -> tuple[object, ...]:
    return (
        number,
        row.provider,
        row.source_id,
        row.target,
        row.language,
        row.key,
        row.path,
        _text(row.params),
        _text(row.meta),
        row.origin,
    )


def _text(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _other(task: Sequence[object], mine: Sequence[object]) -> str:
    names = ("another key", "another path", "another language", "other parameters")
    return " and ".join(
        name for name, old, new in zip(names, task[1:], mine, strict=True) if old != new
    )


def _rejected(row: Row, clash: str) -> InvalidRow:
    line = int(row.origin.rpartition(":")[2] or 0)
    return InvalidRow(
        line=line,
        message=clash,
        origin=row.origin,
        key=row.key,
        provider=row.provider,
        source_id=row.source_id,
        language=row.language,
    )
