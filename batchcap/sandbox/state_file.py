"""What survives a restart: jobs, first looks, late creates and the clock, in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from batchcap.sandbox.mux.jobs import Job

_SCHEMA = """
create table if not exists jobs (number integer primary key, id text unique, body blob);
create table if not exists looks (id text primary key, at real);
create table if not exists kept (name text primary key, body blob);
"""
_UPSERT_JOB = (
    "insert into jobs (id, body) values (?, ?) on conflict (id) do update set body = excluded.body"
)
_Landings = list[tuple[float, int, str]]


class State:
    """A state file. What was saved is there after a kill -9 of the process.

    It need not survive the machine, so SQLite does not wait for the disk.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path)
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = off")
        self._connection.executescript(_SCHEMA)

    def jobs(self) -> Iterator[Job]:
        """Every job, in the order of creation."""
        for (body,) in self._connection.execute("select body from jobs order by number"):
            yield msgspec.json.decode(body, type=Job)

    def looks(self) -> dict[str, float]:
        """The sandbox time of the first look at each video where it matters."""
        return dict(self._connection.execute("select id, at from looks"))

    def clock(self) -> float | None:
        """The sandbox time of the last save, None in a new file."""
        kept = self._kept("clock")
        return None if kept is None else msgspec.json.decode(kept, type=float)

    def landings(self) -> list[tuple[float, int, bytes]]:
        """The creates that were still to land."""
        kept = self._kept("landings")
        rows = [] if kept is None else msgspec.json.decode(kept, type=_Landings)
        return [(due, number, body.encode()) for due, number, body in rows]

    def save(
        self,
        jobs: list[Job],
        looks: list[tuple[str, float]],
        landings: list[tuple[float, int, bytes]],
        clock: float,
    ) -> None:
        """Write the jobs and looks that changed, all late creates, and the clock."""
        late = [(due, number, body.decode(errors="replace")) for due, number, body in landings]
        kept = [("clock", msgspec.json.encode(clock)), ("landings", msgspec.json.encode(late))]
        with self._connection as connection:
            connection.executemany(_UPSERT_JOB, [(job.id, _encode(job)) for job in jobs])
            connection.executemany("insert or replace into looks values (?, ?)", looks)
            connection.executemany("insert or replace into kept values (?, ?)", kept)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _kept(self, name: str) -> bytes | None:
        found = self._connection.execute("select body from kept where name = ?", (name,)).fetchone()
        return None if found is None else bytes(found[0])


_encode = msgspec.json.Encoder().encode
