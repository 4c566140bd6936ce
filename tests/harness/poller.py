"""A poller over a provider in memory."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio

from batchcap.domain.errors import FatalError, RowError, Unavailable
from batchcap.domain.events import Warned
from batchcap.domain.models import Job, JobState, Row
from batchcap.domain.protocols import OnJob
from batchcap.domain.shutdown import ShutdownToken
from batchcap.engine.poller import Poller
from batchcap.simulation.in_memory import InMemoryStore
from tests.harness.clock import clock
from tests.harness.observers import Recorder
from tests.harness.rows import row

ROW = row(target="es")


class FakePollable:
    """A provider whose jobs end at set times. Satisfies `protocols.Pollable`.

    A sweep takes `requests`, and `takes` seconds.
    """

    name = "fake"
    not_found_grace = 30.0

    def __init__(self, *, rate: float | None = None) -> None:
        self.read_rate = rate
        self.backlog_seconds = 0.0
        self.requests = 1
        self.takes = 0.0
        self.ends: dict[str, float] = {}
        self.end = JobState.COMPLETED
        self.unmentioned: set[str] = set()
        self.unrequested: list[Job] = []
        self.down_until = 0.0
        self.fatal = self.refuses = False
        self.asked: list[tuple[float, list[str]]] = []
        self.looks: list[tuple[float, str]] = []

    async def poll(self, job_ids: Sequence[str], on_job: OnJob) -> int:
        self.asked.append((clock(), list(job_ids)))
        await asyncio.sleep(self.takes)
        if self.fatal:
            raise FatalError("the key is wrong", provider="fake")
        if self.refuses:
            raise RowError("rejected", "no lists today")
        if clock() < self.down_until:
            raise Unavailable("503")
        for job in self.unrequested:
            on_job(job)
        for job_id in job_ids:
            if job_id not in self.unmentioned:
                on_job(self.at_present(job_id))
        return self.requests

    async def get_job(self, row: Row, job_id: str) -> Job:
        self.looks.append((clock(), job_id))
        return self.at_present(job_id)

    def at_present(self, job_id: str) -> Job:
        ended = clock() >= self.ends.get(job_id, math.inf)
        return Job(id=job_id, state=self.end if ended else JobState.RUNNING)

    def times(self, job_id: str) -> list[float]:
        return [at for at, ids in self.asked if job_id in ids]


class PollerHarness:
    def __init__(
        self, provider: FakePollable, notes: InMemoryStore | None = None, window: int = 1000
    ) -> None:
        self.stop, self.observer = ShutdownToken(), Recorder()
        self.notes = notes or InMemoryStore()
        self.provider = provider
        self.poller = Poller(provider, self.stop, self.observer, self.notes, window=window)
        self.done: dict[str, tuple[float, Job]] = {}

    async def follow(
        self, job_id: str, timeout: float = 7200.0, *, age: float | None = 0.0, row: Row = ROW
    ) -> Job:
        job = await self.poller.wait(row, job_id, timeout=timeout, age=age)
        self.done[job_id] = (clock(), job)
        return job

    def hear(self, job_id: str | None, state: JobState = JobState.COMPLETED) -> None:
        self.poller.on_webhook(Job(id=job_id, state=state))

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.observer.of(Warned)]

    def late(self, job_id: str) -> float:
        """Return the seconds between a job's end and the moment at which its row was woken."""
        return self.done[job_id][0] - self.provider.ends[job_id]


@asynccontextmanager
async def running_poller(
    provider: FakePollable, notes: InMemoryStore | None = None, window: int = 1000
) -> AsyncIterator[PollerHarness]:
    harness = PollerHarness(provider, notes, window)
    async with anyio.create_task_group() as group:
        group.start_soon(harness.poller.run)
        yield harness
        group.cancel_scope.cancel()
