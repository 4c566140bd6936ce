"""Paths that differ on Linux, but are one file on macOS or Windows.

Those compare names without regard to case in any script, and macOS also to the normal form
(é as one character or as two). The unique index on `lower(path)` knows ASCII only, so paths
with other characters are compared here, in SQLite's temporary storage.
"""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

_FOLDED = """
CREATE TEMP TABLE folded AS
SELECT number, fold_path(path) AS name FROM rows WHERE path GLOB '*[^ -~]*'
"""
_COLLISIONS = """
WITH pairs AS (
    SELECT number, min(number) OVER (PARTITION BY name) AS other FROM folded
    UNION
    SELECT max(f.number, r.number), min(f.number, r.number)
    FROM folded AS f JOIN rows AS r ON lower(r.path) = f.name AND r.path IS NOT NULL
    WHERE f.name NOT GLOB '*[^ -~]*'
)
SELECT pairs.number, min(earlier.origin)
FROM pairs JOIN rows AS earlier ON earlier.number = pairs.other
WHERE pairs.number <> pairs.other
    AND (pairs.number >= ? OR pairs.number IN moved OR pairs.other IN moved)
GROUP BY pairs.number ORDER BY pairs.number
"""


def fold(path: str) -> str:
    """Return the same text for all paths that may be one file on macOS or Windows."""
    decomposed = unicodedata.normalize("NFD", path)
    return unicodedata.normalize("NFC", decomposed.casefold())


def collisions(
    connection: sqlite3.Connection, first: int, moved: Iterable[int] = ()
) -> Sequence[tuple[Any, ...]]:
    """Return (number, origin) of rows whose path is an earlier row's file.

    One of the two is from `first` on, or among `moved`. `origin` is that of the earlier row.
    """
    connection.create_function("fold_path", 1, fold, deterministic=True)
    connection.execute(_FOLDED)
    connection.execute("CREATE TEMP TABLE moved (number INTEGER PRIMARY KEY)")
    try:
        connection.executemany("INSERT OR IGNORE INTO moved VALUES (?)", zip(moved))
        return connection.execute(_COLLISIONS, (first,)).fetchall()
    finally:
        connection.execute("DROP TABLE folded")
        connection.execute("DROP TABLE moved")
