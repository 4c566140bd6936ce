"""A task that the ledger has already, described differently by a later import.

A row that failed, was skipped, or never started takes the new description. A row that a job
was paid for, or may have been, keeps its parameters: another job would be a second charge.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

_TASK = """
SELECT number, origin, state, finished_at, key, path, language, params FROM rows
WHERE source_id = ? AND target = ? AND provider = ? AND path IS NOT NULL
"""
# Errored and cancelled jobs are not billed. Any other create may be.
_BILLED = """
SELECT job_id, ended FROM creates
WHERE row = ? AND ifnull(ended, '') NOT IN ('errored', 'cancelled') ORDER BY nth DESC LIMIT 1
"""
# If a job completed, the row's end stays recorded: nothing is created for it again.
_CORRECT = """
UPDATE rows SET key = ?, language = ?, path = ?, params = ?, meta = ?, origin = ?,
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
    path: str
    language: str | None
    params: str

    def differences(self, values: Sequence[Any]) -> list[str]:
        """Return what `values` would change, in words."""
        _, key, _, _, language, _, path, params, *_ = values
        names = {
            "another key": key != self.key,
            "another path": path != self.path,
            "another language": language != self.language,
            "other parameters": params != self.params,
        }
        return [name for name, differs in names.items() if differs]


def find_task(connection: sqlite3.Connection, values: Sequence[Any]) -> Task | None:
    """Return the ledger's row for the task of `values`, or None."""
    _, _, provider, source_id, _, target, *_ = values
    row = connection.execute(_TASK, (source_id, target, provider)).fetchone()
    return Task(*row) if row else None


def why_fixed(connection: sqlite3.Connection, task: Task, differences: Sequence[str]) -> str:
    """Return why a task cannot take a new description and what to do, or "" if it can."""
    if task.state == "done" or (task.state is None and task.finished_at is not None):
        return "it is done; leave it as it was, or use another --out to create it anew"
    if task.state is None and "another path" in differences:
        return "it is pending; leave its name as it was, and run batchcap resume"
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
    """Give a task the key, language, path, parameters and columns of `values`; it is pending.

    Raises:
        sqlite3.IntegrityError: Another row has this key or path.
    """
    _, key, _, _, language, _, path, params, meta, origin = values
    connection.execute(_CORRECT, (key, language, path, params, meta, origin, task.number))
