"""Many statements in one transaction, on a connection whose commits are durable.

Nothing here knows the event loop, or what the statements mean: it is called in a thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batchcap.failpoints import reach

Statements = Mapping[str, str | None]
"""Every statement (SQL) that may come, in the order in which they are executed, each with
the boundary (`failpoints`) that it is to commit one."""

Statement = tuple[str, tuple[Any, ...]]


def opened(path: Path | str) -> sqlite3.Connection:
    """A connection on which a commit is durable once SQLite's log is in WAL mode."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def commit(
    connection: sqlite3.Connection, known: Statements, statements: Sequence[Statement]
) -> list[None]:
    """All statements or none, kind by kind; one result a statement. Raises `sqlite3.Error`."""
    values: dict[str, list[tuple[Any, ...]]] = {sql: [] for sql in known}
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
    for sql, boundary in known.items():
        if boundary:
            for _ in values[sql]:
                reach(boundary)
    return [None] * len(statements)
