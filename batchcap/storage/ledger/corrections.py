"""A task that the ledger has already, described differently by a later import.

A row that failed, was skipped, or never started takes the new description. A row that a job
was paid for, or may have been, keeps its parameters: another job would be a second charge.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

_COLUMNS = """
SELECT number, origin, state, finished_at, key, provider, source_id, target, path, language,
       params, meta
FROM rows
"""
_TASK = f"{_COLUMNS} WHERE source_id = ? AND target = ? AND provider = ? AND path IS NOT NULL"
# A row without creates, since those are about its source.
_FAILED = f"""
{_COLUMNS} WHERE key = ? AND path IS NOT NULL AND state = 'failed'
AND rtrim(origin, '0123456789') = rtrim(?, '0123456789')
AND NOT EXISTS (SELECT 1 FROM creates WHERE row = number)
"""  # noqa: S608  # constants
# Errored and cancelled jobs are not billed. Any other create may be.
_BILLED = """
SELECT job_id, ended FROM creates
WHERE row = ? AND ifnull(ended, '') NOT IN ('errored', 'cancelled') ORDER BY nth DESC LIMIT 1
"""
# If a job completed, the row's end stays recorded: nothing is created for it again.
_CORRECT = """
UPDATE rows SET key = ?, provider = ?, source_id = ?, language = ?, target = ?, path = ?,
       params = ?, meta = ?, origin = ?,
       state = NULL, started_at = NULL, job_id = NULL,
       finished_at = CASE WHEN EXISTS (
           SELECT 1 FROM creates WHERE row = number AND ended = 'completed'
       ) THEN finished_at END,
       code = NULL, message = NULL, retryable = NULL
WHERE number = ?
"""


class Task(NamedTuple):
    """A row of the ledger, with the columns that another description may change."""

    number: int
    origin: str
    state: str | None
    finished_at: float | None
    key: str
    provider: str
    source_id: str
    target: str
    path: str
    language: str | None
    params: str
    meta: str

    def differences(self, values: Sequence[Any]) -> list[str]:
        """Return what `values` would change, in words."""
        _, key, provider, source_id, language, target, path, params, *_ = values
        names = {
            "another id": (provider, source_id) != (self.provider, self.source_id),
            "another target": target != self.target,
            "another key": key != self.key,
            "another path": path != self.path,
            "another language": language != self.language,
            "other parameters": params != self.params,
        }
        return [name for name, differs in names.items() if differs]

    def describe_differences(self, values: Sequence[Any]) -> str:
        """Return what `values` would change as a text that names the parameters."""
        *_, params, _, _ = values
        old, new = orjson.loads(self.params), orjson.loads(params)
        changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        text = " and ".join(self.differences(values))
        return text.replace("other parameters", f"other parameters ({', '.join(changed)})")


def find_task(connection: sqlite3.Connection, values: Sequence[Any]) -> Task | None:
    """Return the ledger's row for the task of `values`, or None."""
    _, _, provider, source_id, _, target, *_ = values
    row = connection.execute(_TASK, (source_id, target, provider)).fetchone()
    return Task(*row) if row else None


def find_failed(connection: sqlite3.Connection, values: Sequence[Any]) -> Task | None:
    """Return the failed row of the same manifest and key, whose id or language was wrong."""
    _, key, *_, origin = values
    row = connection.execute(_FAILED, (key, origin)).fetchone()
    return Task(*row) if row else None


def why_fixed(connection: sqlite3.Connection, task: Task, differences: Sequence[str]) -> str:
    """Return why a task cannot take a new description and what to do, or "" if it can."""
    leave = "leave it as it was"
    if differences == ["another path"]:
        leave = "leave --name and the column name as they were"
    if task.state == "done" or (task.state is None and task.finished_at is not None):
        return f"it is done; {leave}, or use another --out to create it anew"
    if task.state is None and "another path" in differences:
        return f"it is pending; {leave}, and run batchcap resume"
    billed = connection.execute(_BILLED, (task.number,)).fetchone()
    if billed is None or "other parameters" not in differences:
        return ""
    job_id, ended = billed
    if job_id is None or ended == "missing":
        fact = "it is unknown whether a create of it arrived"
    else:
        fact = f"its job {job_id} {'has completed' if ended == 'completed' else 'may be running'}"
    command = "resume" if task.state is None else "resume --retry-failed"
    return f"{fact}; leave it as it was and run batchcap {command}, or use another --out"


def correct(connection: sqlite3.Connection, task: Task, values: Sequence[Any]) -> None:
    """Give a row all that `values` say; it is pending.

    Raises:
        sqlite3.IntegrityError: Another row has this key or path.
    """
    _, *description = values
    connection.execute(_CORRECT, (*description, task.number))
