"""Many statements in one transaction, on a connection whose commits are durable.

Nothing here knows the event loop, or what the statements mean: it is called in a thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from batchcap.domain.failpoints import reach

Statements = Mapping[str, str | None]
"""Every statement (SQL) that may come, in the order in which they are executed, each with
the failpoint that is reached when it is committed."""

Statement = tuple[str, tuple[Any, ...]]


def open_durable(path: Path) -> sqlite3.Connection:
    """Open a file. A commit is durable once SQLite's log is in WAL mode.

    Raises:
        sqlite3.Error: The file cannot be opened.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block does, or undo all of it if anything is raised.

    Raises:
        sqlite3.Error: Another connection writes for longer than 5 s, or the disk refuses.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def commit(
    connection: sqlite3.Connection, in_order: Statements, statements: Sequence[Statement]
) -> list[None]:
    """Execute all statements or none, in the order of `in_order`; return one result for each.

    Raises:
        sqlite3.Error: None of them was executed.
    """
    values: dict[str, list[tuple[Any, ...]]] = {sql: [] for sql in in_order}
    for sql, parameters in statements:
        values[sql].append(parameters)
    with transaction(connection):
        for sql, many in values.items():
            if many:
                connection.executemany(sql, many)
    for sql, failpoint in in_order.items():
        if failpoint:
            for _ in values[sql]:
                reach(failpoint)
    return [None] * len(statements)
