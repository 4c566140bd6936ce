"""What need not be done again: files that are as they were when they were last dealt with.

A manifest that is in the ledger is not read again, and a results.jsonl that says what
the ledger says is not written again. `mark` is whatever tells one state of a file from
another.
"""

from __future__ import annotations

import sqlite3

RESULTS = "results"


def manifest(name: str) -> str:
    """What a manifest is noted as."""
    return f"manifest:{name}"


def recall(connection: sqlite3.Connection, file: str) -> str | None:
    """The mark that was noted last, or None."""
    found = connection.execute("SELECT mark FROM seen WHERE file = ?", (file,)).fetchone()
    return found[0] if found else None


def note(connection: sqlite3.Connection, file: str, mark: str) -> None:
    """Keep a file's mark, in the caller's transaction where there is one."""
    connection.execute("INSERT OR REPLACE INTO seen VALUES (?, ?)", (file, mark))


def forget_results(connection: sqlite3.Connection) -> None:
    """The ledger says something else now, or is about to."""
    connection.execute("DELETE FROM seen WHERE file = ?", (RESULTS,))
