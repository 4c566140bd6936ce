"""Keeps what survives a restart in SQLite: jobs, tracks, translations, first requests, clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from batchcap.sandbox.heygen.translations import TranslationStore
from batchcap.sandbox.mux.jobs import Job

_SCHEMA = """
create table if not exists jobs (number integer primary key, id text unique, body blob);
create table if not exists first_requests (id text primary key, at real);
create table if not exists variables (name text primary key, body blob);
"""
_UPSERT_JOB = (
    "insert into jobs (id, body) values (?, ?) on conflict (id) do update set body = excluded.body"
)
_StoredCreates = list[tuple[float, int, str]]


class StateFile:
    """A state file. What was saved survives a kill -9 of the process.

    It need not survive a crash of the machine, so SQLite does not wait for the disk.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path)
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = off")
        self._connection.executescript(_SCHEMA)

    def jobs(self) -> Iterator[Job]:
        """Yield every job, in the order of creation."""
        for (body,) in self._connection.execute("select body from jobs order by number"):
            yield msgspec.json.decode(body, type=Job)

    def first_requested(self) -> dict[str, float]:
        """Return the sandbox time of the first request for each video that has one."""
        return dict(self._connection.execute("select id, at from first_requests"))

    def clock(self) -> float | None:
        """Return the sandbox time of the last save, or None in a new file."""
        body = self._variable("clock")
        return None if body is None else msgspec.json.decode(body, type=float)

    def delayed_creates(self) -> list[tuple[float, int, bytes]]:
        """Return the creates that were accepted but not carried out yet."""
        stored = self._variable("delayed_creates")
        rows = [] if stored is None else msgspec.json.decode(stored, type=_StoredCreates)
        return [(due, number, body.encode()) for due, number, body in rows]

    def deleted_tracks(self) -> set[str]:
        """Return the ids of the text tracks that were deleted."""
        body = self._variable("deleted_tracks")
        return set() if body is None else msgspec.json.decode(body, type=set[str])

    def translations(self) -> TranslationStore:
        """Return the HeyGen translations that were created."""
        body = self._variable("translations") or b"{}"
        return msgspec.json.decode(body, type=TranslationStore)

    def save(
        self,
        jobs: list[Job],
        first_requested: list[tuple[str, float]],
        delayed_creates: list[tuple[float, int, bytes]],
        deleted_tracks: set[str],
        translations: TranslationStore,
        clock: float,
    ) -> None:
        """Write the jobs and first requests that changed, and the rest as a whole."""
        creates = [
            (due, number, body.decode(errors="replace")) for due, number, body in delayed_creates
        ]
        variables = [
            ("clock", msgspec.json.encode(clock)),
            ("delayed_creates", msgspec.json.encode(creates)),
            ("deleted_tracks", msgspec.json.encode(deleted_tracks)),
            ("translations", msgspec.json.encode(translations)),
        ]
        with self._connection as connection:
            connection.executemany(_UPSERT_JOB, [(job.id, _encode(job)) for job in jobs])
            connection.executemany(
                "insert or replace into first_requests values (?, ?)", first_requested
            )
            connection.executemany("insert or replace into variables values (?, ?)", variables)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _variable(self, name: str) -> bytes | None:
        query = "select body from variables where name = ?"
        row = self._connection.execute(query, (name,)).fetchone()
        return None if row is None else bytes(row[0])


_encode = msgspec.json.Encoder().encode
