"""Rows that were imported from a manifest which does not list them any more.

Another manifest may list them: a row knows the one that it was imported from first.

A user who corrects an id or a language in place makes another task, and the row of the old
line would stay failed, or be worked on, without anybody wanting it. Such rows lose their line:
`origin` is then "file:". A row that is listed again gets its line back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence

FLAG = "rows.unlisted"
"""The ledger's key that is set once there have been such rows, so that others need no scan."""

SQL = "(substr(r.origin, -1) = ':' AND (r.state IS NULL OR r.state = 'failed'))"
"""Whether a row `r` is such a row. One that is done is left alone."""

_MARK = """
UPDATE rows SET origin = :prefix
WHERE rtrim(origin, '0123456789') = :prefix AND origin <> :prefix AND path IS NOT NULL
    AND (state = 'failed' OR (state IS NULL AND finished_at IS NULL)) AND NOT imported(number)
"""
_HAS_FLAG = "SELECT 1 FROM memory WHERE key = ?"
_KEYS = f"SELECT r.key FROM rows r WHERE {SQL} AND r.path IS NOT NULL ORDER BY r.number"  # noqa: S608  # a constant


def mark(
    connection: sqlite3.Connection, manifests: Sequence[str], is_imported: Callable[[object], bool]
) -> None:
    """Mark rows of these manifests, which were just read, whose number the import did not name."""
    connection.create_function("imported", 1, is_imported, deterministic=True)
    for name in manifests:
        if connection.execute(_MARK, {"prefix": f"{name}:"}).rowcount:
            connection.execute("INSERT OR REPLACE INTO memory VALUES (?, 'yes')", (FLAG,))


def place(origin: str) -> str:
    """Return where a row comes from, for a message."""
    return f"a line that is not in {origin[:-1]} any more" if origin.endswith(":") else origin


def keys(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the keys of marked rows, in manifest order."""
    if connection.execute(_HAS_FLAG, (FLAG,)).fetchone():
        yield from (key for (key,) in connection.execute(_KEYS))
