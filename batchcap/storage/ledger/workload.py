"""Counts what there is to do, in a few passes over the rows and in flat memory."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator

import orjson

from batchcap.domain.workload import PaidVideo, RowRules, TaskCount, Workload, video_seconds
from batchcap.storage.ledger.importer import ImportedRows

_PUBLISHES, _READS_SOURCE = 1, 2
_MOST_PAID = 10_000
"""Paid jobs that are looked at, the latest ones: prices change."""

_PENDING = "state IS NULL"
# A job that errored or was cancelled is no job any more, see `writer._PENDING`. A row that
# ended once has a job that was paid for: nothing is created for it.
_ROWS = """
SELECT provider, source_id, params, meta, has_job,
       target <> '' AND NOT has_job AND finished_at IS NULL AS creates
FROM (
    SELECT *, EXISTS (
        SELECT 1 FROM creates WHERE row = number AND job_id IS NOT NULL
        AND ifnull(ended, 'completed') = 'completed'
    ) AS has_job
    FROM rows WHERE {}
)
"""
_COUNTS = """
SELECT provider, count(*), sum(has_job), sum(creates), sum(creates AND rule(provider, params) & 1),
       count(CASE WHEN creates AND meta <> '{{}}' THEN seconds(meta) END),
       ifnull(sum(CASE WHEN creates AND meta <> '{{}}' THEN seconds(meta) END), 0.0)
FROM ({}) GROUP BY provider ORDER BY provider
"""
_SOURCES = """
SELECT count(*), ifnull(sum(n > 1), 0), ifnull(sum(is_read), 0) FROM (
    SELECT count(*) AS n, max(creates AND (rule(provider, params) & 2) > 0) AS is_read
    FROM ({}) WHERE provider = ? GROUP BY source_id
)
"""
_TASKS = """
SELECT provider, language, ifnull(state, 'pending'), count(*) FROM rows
WHERE path IS NOT NULL AND (number >= ? OR imported(number))
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
_BY_MANIFEST = """
SELECT rtrim(rtrim(origin, '0123456789'), ':'), count(*) FROM rows WHERE {}
GROUP BY 1 ORDER BY min(number)
"""
_PROBLEMS = """
SELECT origin, message FROM rows WHERE state = 'invalid' AND number >= ? ORDER BY number
"""
_PAID = """
SELECT c.units, seconds(r.meta) FROM creates c JOIN rows r ON r.number = c.row
WHERE c.ended = 'completed' AND c.units > 0 AND r.meta <> '{}'
ORDER BY c.row DESC LIMIT ?
"""


def workloads(connection: sqlite3.Connection, rules: RowRules, chosen: str) -> list[Workload]:
    """Return what there is to do at each provider; `chosen` is SQL that a row has to satisfy."""
    _register(connection, rules)
    rows = _ROWS.format(f"{_PENDING}{chosen}")
    counts = connection.execute(_COUNTS.format(rows)).fetchall()
    if rules.reads_source is None:
        return [Workload(*values) for values in counts]
    return [
        Workload(*values, *connection.execute(_SOURCES.format(rows), values[:1]).fetchone())
        for values in counts
    ]


def task_counts(connection: sqlite3.Connection, imported: ImportedRows) -> list[TaskCount]:
    """Count the tasks that an import named, those that were there before too."""
    connection.create_function("imported", 1, imported.__contains__, deterministic=True)
    return [TaskCount(*values) for values in connection.execute(_TASKS, (imported.first,))]


def pending_by_manifest(connection: sqlite3.Connection, chosen: str) -> dict[str, int]:
    """Count the chosen pending rows by the name of the manifest that they came from."""
    return dict(connection.execute(_BY_MANIFEST.format(f"{_PENDING}{chosen}")).fetchall())


def problems(connection: sqlite3.Connection, imported: ImportedRows) -> Iterator[tuple[str, str]]:
    """Yield "file:line" and text of every invalid row of an import, in manifest order."""
    yield from connection.execute(_PROBLEMS, (imported.first,))


def paid_videos(connection: sqlite3.Connection) -> list[PaidVideo]:
    """Return units and seconds of the latest completed jobs whose videos have a known length."""
    connection.create_function("seconds", 1, _seconds, deterministic=True)
    paid = connection.execute(_PAID, (_MOST_PAID,)).fetchall()
    return [PaidVideo(units, seconds) for units, seconds in paid if seconds]


def _register(connection: sqlite3.Connection, rules: RowRules) -> None:
    reads_source = rules.reads_source

    @functools.lru_cache(maxsize=4096)  # most rows of a manifest have the same parameters
    def rule(provider: str, params: str) -> int:
        parsed = orjson.loads(params)
        return (
            rules.publishes(provider, parsed) * _PUBLISHES
            + (reads_source(provider, parsed) if reads_source else 0) * _READS_SOURCE
        )

    connection.create_function("rule", 2, rule, deterministic=True)
    connection.create_function("seconds", 1, _seconds, deterministic=True)


def _seconds(meta: str) -> float | None:
    return None if meta == "{}" else video_seconds(orjson.loads(meta))
