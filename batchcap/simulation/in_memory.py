"""A ledger, a key-value store and a downloader that write nothing to disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchcap.domain.models import (
    Caption,
    Failure,
    Job,
    Outcome,
    PendingRow,
    Row,
    RowHistory,
    RowState,
)
from batchcap.domain.quality import Examine

_CAPTION = Caption(bytes=0, sha256="", cues=1)


class InMemoryStore:
    """A `KeyValueStore` that lasts as long as the simulation."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        """See `protocols.KeyValueStore`."""
        return self.values.get(key)

    def set(self, key: str, value: str) -> None:
        """See `protocols.KeyValueStore`."""
        self.values[key] = value


class InMemoryLedger:
    """A `Checkpoint` of `count` rows that counts outcomes and records nothing else.

    `row` makes a row from its number when it is read. The first `running` rows have a job.
    `waits` are the seconds from the end of each job to the end of its row; `last` is when the
    last row ended, on the loop's clock.
    """

    def __init__(
        self,
        count: int,
        row: Callable[[int], Row],
        ended_at: Callable[[str], float],
        running: int = 0,
    ) -> None:
        self._count, self._row, self._ended_at = count, row, ended_at
        self._running = running
        self.states: dict[RowState, int] = {}
        self.waits: list[float] = []
        self.last = 0.0

    async def pending(self, provider: str, after: int, limit: int) -> list[PendingRow]:
        """See `protocols.Checkpoint`."""
        numbers = range(after + 1, min(after + limit, self._count) + 1)
        return [PendingRow(self._row(number), self._history(number)) for number in numbers]

    def _history(self, number: int) -> RowHistory:
        if number > self._running:
            return RowHistory()
        return RowHistory(job_id=f"rjob_{self._row(number).source_id}")

    async def record_intent(self, row: Row) -> None:
        """See `protocols.Checkpoint`."""

    async def record_job(self, row: Row, job_id: str) -> None:
        """See `protocols.Checkpoint`."""

    async def discard_intent(self, row: Row) -> None:
        """See `protocols.Checkpoint`."""

    async def record_job_ended(self, row: Row, job: Job) -> None:
        """See `protocols.Checkpoint`."""

    async def record_held_back(self, row: Row, failure: Failure) -> None:
        """See `protocols.Checkpoint`. The simulated providers refuse no create."""

    async def record_outcome(self, row: Row, outcome: Outcome) -> None:
        """See `protocols.Checkpoint`."""
        self.last = asyncio.get_running_loop().time()
        self.states[outcome.state] = self.states.get(outcome.state, 0) + 1
        self.waits.append(self.last - self._ended_at(row.source_id))


class NullDownloader:
    """A `Downloader` that takes `latency` seconds for each file and writes none."""

    def __init__(self, latency: float) -> None:
        self._latency = latency

    async def adopt(
        self, path: str, since: float, examine: Examine | None = None
    ) -> Caption | None:
        """See `protocols.Downloader`."""
        return None

    async def fetch(
        self, link: str, path: str, examine: Examine | None = None, *, srt: bool = False
    ) -> Caption:
        """See `protocols.Downloader`."""
        await asyncio.sleep(self._latency)
        return _CAPTION
