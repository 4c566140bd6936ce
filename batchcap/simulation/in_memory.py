"""A ledger of rows that are made when they are read, and a downloader without a disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchcap.domain.models import Caption, Job, Outcome, PendingRow, Row, RowHistory, RowState

_CAPTION = Caption(bytes=0, sha256="", cues=1)


class Notebook:
    """A `KeyValueStore` that lasts as long as the rehearsal."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        """See `interfaces.KeyValueStore`."""
        return self._kept.get(key)

    def set(self, key: str, value: str) -> None:
        """See `interfaces.KeyValueStore`."""
        self._kept[key] = value


class Books:
    """A `Checkpoint` of `count` rows, made by `row` from their numbers; nothing is written.

    `waits` are the seconds between the end of each job and that of its row.
    """

    def __init__(
        self, count: int, row: Callable[[int], Row], ended_at: Callable[[str], float]
    ) -> None:
        self._count, self._row, self._ended_at = count, row, ended_at
        self.states: dict[RowState, int] = {}
        self.waits: list[float] = []
        self.last = 0.0

    async def pending(self, provider: str, after: int, limit: int) -> list[PendingRow]:
        """See `interfaces.Checkpoint`."""
        numbers = range(after + 1, min(after + limit, self._count) + 1)
        return [PendingRow(self._row(number), RowHistory()) for number in numbers]

    async def record_intent(self, row: Row) -> None:
        """See `interfaces.Checkpoint`."""

    async def record_job(self, row: Row, job_id: str) -> None:
        """See `interfaces.Checkpoint`."""

    async def discard_intent(self, row: Row) -> None:
        """See `interfaces.Checkpoint`."""

    async def record_job_ended(self, row: Row, job: Job) -> None:
        """See `interfaces.Checkpoint`."""

    async def record_outcome(self, row: Row, outcome: Outcome) -> None:
        """See `interfaces.Checkpoint`."""
        self.last = asyncio.get_running_loop().time()
        self.states[outcome.state] = self.states.get(outcome.state, 0) + 1
        self.waits.append(self.last - self._ended_at(row.source_id))


class Sink:
    """A `Downloader` that takes its time and keeps nothing."""

    def __init__(self, latency: float) -> None:
        self._latency = latency

    async def adopt(self, path: str, since: float) -> Caption | None:
        """See `interfaces.Downloader`."""
        return None

    async def fetch(self, link: str, path: str) -> Caption:
        """See `interfaces.Downloader`."""
        await asyncio.sleep(self._latency)
        return _CAPTION
