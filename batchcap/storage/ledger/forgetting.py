"""Rows that are taken back: which ones, what holds them, and their removal.

One row is one caption, and a row is removed only if it was not paid for. An errored or cancelled
job is not billed, unless the provider reported units for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from batchcap.domain.forgetting import ForgetScope, Hold
from batchcap.domain.languages import canonical
from batchcap.domain.models import PendingRow
from batchcap.storage.ledger import history, unlisted
from batchcap.storage.ledger.file_marks import MANIFEST_PREFIX, RESULTS

_PAGE = 256

_HOLD = """
CASE
    WHEN r.state = 'done' OR (r.state IS NULL AND r.finished_at IS NOT NULL) THEN 'done'
    ELSE ifnull((
        SELECT CASE
            WHEN max(ended = 'completed' OR units > 0) THEN 'paid'
            WHEN max(job_id IS NULL OR ifnull(ended, '') = 'missing') THEN 'unknown'
            WHEN max(ended IS NULL) THEN 'running'
        END FROM creates WHERE row = r.number
    ), 'none')
END
"""
_SELECTED = f"""
(:manifest IS NULL OR rtrim(r.origin, '0123456789') = :manifest)
AND (:key IS NULL OR matches_glob(ifnull(r.key, ''), :key))
AND (:label IS NULL OR r.target = :language
     OR (ifnull(r.target, '') = '' AND lower(r.language) = :label))
AND (:state IS NULL OR ifnull(r.state, 'pending') = :state)
AND (NOT :unlisted OR {unlisted.SQL})
"""
_COUNT = f"SELECT {_HOLD}, count(*) FROM rows r WHERE {_SELECTED} GROUP BY 1"  # noqa: S608  # constants
_HELD = f"""
SELECT {history.COLUMNS} FROM {history.TABLES}
WHERE r.number > :after AND {_SELECTED} AND {_HOLD} = :hold AND r.path IS NOT NULL
ORDER BY r.number LIMIT {_PAGE}
"""  # noqa: S608  # constants
_HELD_KEYS = f"""
SELECT r.key, (SELECT job_id FROM creates WHERE row = r.number ORDER BY nth DESC LIMIT 1)
FROM rows r WHERE {_SELECTED} AND {_HOLD} = :hold ORDER BY r.number
"""  # noqa: S608  # constants
_CHOOSE = f"""
CREATE TEMP TABLE chosen AS SELECT r.number FROM rows r WHERE {_SELECTED} AND {_HOLD} = 'none'
"""  # noqa: S608  # constants
_REMEMBER_JOBS = """
INSERT INTO forgotten
SELECT r.provider, r.source_id, r.target, r.key, c.job_id, c.ended, :now
FROM chosen JOIN rows r USING (number) JOIN creates c ON c.row = r.number
WHERE c.job_id IS NOT NULL
"""
_REMOVE = """
DELETE FROM creates WHERE row IN (SELECT number FROM chosen);
DELETE FROM rows WHERE number IN (SELECT number FROM chosen);
"""
_READ_AGAIN = "DELETE FROM seen WHERE file = ? OR substr(file, 1, length(?2)) = ?2"
_MANIFESTS = "SELECT DISTINCT rtrim(origin, '0123456789') FROM rows ORDER BY 1"


def manifests(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the manifests that rows were imported from."""
    return [origin.removesuffix(":") for (origin,) in connection.execute(_MANIFESTS) if origin]


def count_holds(connection: sqlite3.Connection, scope: ForgetScope) -> dict[Hold, int]:
    """Count the selected rows by what holds them."""
    counted = connection.execute(_COUNT, _values(connection, scope))
    return {Hold(hold): count for hold, count in counted}


def held_keys(
    connection: sqlite3.Connection, scope: ForgetScope, hold: Hold
) -> Iterator[tuple[str, str | None]]:
    """Yield key and last job id of the selected rows that something holds."""
    yield from connection.execute(_HELD_KEYS, _values(connection, scope) | {"hold": hold})


def held_rows(
    connection: sqlite3.Connection, scope: ForgetScope, hold: Hold
) -> Iterator[PendingRow]:
    """Yield the selected rows that something holds; they may be changed meanwhile."""
    values, after = _values(connection, scope) | {"hold": hold.value}, 0
    while page := connection.execute(_HELD, values | {"after": after}).fetchall():
        for row in page:
            yield history.pending_row(row)
        after = page[-1][0]


def forget(connection: sqlite3.Connection, scope: ForgetScope, now: float) -> int:
    """Remove the selected rows that nothing holds, in the caller's transaction."""
    connection.execute(_CHOOSE, _values(connection, scope))
    try:
        count: int = connection.execute("SELECT count(*) FROM chosen").fetchone()[0]
        if count:
            connection.execute(_REMEMBER_JOBS, {"now": now})
            for statement in filter(str.strip, _REMOVE.split(";")):
                connection.execute(statement)
            connection.execute(_READ_AGAIN, (RESULTS, MANIFEST_PREFIX))
        return count
    finally:
        connection.execute("DROP TABLE chosen")


def _values(connection: sqlite3.Connection, scope: ForgetScope) -> dict[str, Any]:
    connection.create_function("matches_glob", 2, fnmatchcase, deterministic=True)
    language, manifest = scope.language, scope.manifest
    return {
        "manifest": None if manifest is None else f"{manifest}:",
        "key": scope.key,
        "language": None if language is None else canonical(language),
        "label": None if language is None else language.lower(),
        "state": scope.state,
        "unlisted": scope.unlisted,
    }
