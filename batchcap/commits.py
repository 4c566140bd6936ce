"""What commits and queries do to the ledger's file.

Nothing here knows the loop, or what the statements say. It may run in a thread or
in a `sidecar`, which starts the sooner the less is imported.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from batchcap.failpoints import reach

Kinds = Mapping[str, str | None]
"""Every statement (SQL) that may come, in the order in which they are executed, each with
the boundary (`failpoints`) that it is to commit one."""

Statement = tuple[str, tuple[Any, ...]]
Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


def opened(path: Path | str) -> sqlite3.Connection:
    """A connection on which a commit is durable once SQLite's log is in WAL mode."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def commit(
    connection: sqlite3.Connection, kinds: Kinds, statements: Sequence[Statement]
) -> list[None]:
    """All statements or none, kind by kind; one result a statement. Raises `sqlite3.Error`."""
    values: dict[str, list[tuple[Any, ...]]] = {sql: [] for sql in kinds}
    for sql, one in statements:
        values[sql].append(one)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for sql, many in values.items():
            if many:
                connection.executemany(sql, many)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    for sql, boundary in kinds.items():
        if boundary:
            for _ in values[sql]:
                reach(boundary)
    return [None] * len(statements)


def commit_to(path: Path, kinds: Kinds, statements: Sequence[Statement]) -> list[None]:
    """The same on this process's own connection to the file. Raises `sqlite3.Error`."""
    return commit(_kept(path), kinds, statements)


def query(connection: sqlite3.Connection, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a query. Raises `sqlite3.Error`."""
    return connection.execute(sql, values).fetchall()


def query_of(path: Path, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The same on this process's own connection to the file. Raises `sqlite3.Error`."""
    return query(_kept(path), sql, values)


_kept = cache(opened)
