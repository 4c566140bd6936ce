"""An engine over a provider, a downloader and a ledger in memory."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Sequence
from contextlib import asynccontextmanager

import anyio

from batchcap.domain.errors import RowSkipped
from batchcap.domain.models import (
    Caption,
    Failure,
    Job,
    JobRequest,
    JobState,
    Outcome,
    PendingRow,
    Row,
    RowHistory,
    RowState,
)
from batchcap.domain.protocols import OnJob
from batchcap.domain.quality import Examine
from batchcap.domain.shutdown import ShutdownToken
from batchcap.engine import Engine, Lane, Policy, Poller
from batchcap.simulation.in_memory import InMemoryStore
from tests.harness.clock import clock, now
from tests.harness.observers import Recorder
from tests.harness.rows import CAPTION, row

JobNow = Job | Exception


class FakeProvider:
    """A provider in memory. Jobs take `takes` seconds; then `endings` says how each ends.

    `endings[source_id]` are the ends of a source's jobs in order (the last one
    repeats), `prepared` and `submits` answers (or faults) in place of a create.
    """

    link_timeout = 30.0
    not_found_grace = 60.0

    def __init__(self, name: str = "fake", *, takes: float = 10.0) -> None:
        self.name = name
        self.takes = takes
        self.read_rate: float | None = None
        self.backlog_seconds = 0.0
        self.endings: dict[str, list[JobState | Job]] = {}
        self.prepared: dict[str, Job | Exception] = {}
        self.submits: dict[str, list[Job | Exception]] = defaultdict(list)
        self.links: dict[str, list[str | None]] = {}
        self.in_the_air: Callable[[], Awaitable[None]] | None = None
        self.finds: list[tuple[str, float]] = []
        self.existing_jobs: dict[str, Job | Exception] = {}
        self.creates: list[str] = []
        self.attempts: list[int] = []
        self.polls: list[list[str]] = []
        self.looks: list[str] = []
        self.poll_fault: Exception | None = None
        self.before_submit: Callable[[], Awaitable[None]] | None = None
        self.open = 0
        self.most_open = 0
        self.jobs: dict[str, tuple[str, float, int]] = {}

    def put_job(self, job_id: str, source_id: str, began: float) -> None:
        """Add a job that an earlier run created."""
        self.jobs[job_id] = (source_id, began, 0)

    async def prepare(self, row: Row) -> JobRequest | Job:
        prepared = self.prepared.get(row.source_id)
        if isinstance(prepared, Exception):
            raise prepared
        return prepared or JobRequest(row, {"asset": row.source_id})

    async def find_existing_job(self, row: Row, history: RowHistory, since: float) -> Job | None:
        self.finds.append((row.source_id, now()))
        assert now() >= since
        job = self.existing_jobs.get(row.source_id)
        if isinstance(job, Exception):
            raise job
        return job

    @asynccontextmanager
    async def send_slot(self, failures: int = 0) -> AsyncIterator[FakeProvider]:
        self.attempts.append(failures)
        if self.before_submit is not None:
            await self.before_submit()
        yield self

    async def create(self, request: JobRequest) -> Job:
        source_id = request.row.source_id
        if self.in_the_air is not None:
            await self.in_the_air()
        self.creates.append(source_id)
        if self.submits[source_id]:
            answer = self.submits[source_id].pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        nth = self.creates.count(source_id)
        job_id = f"job-{source_id}-{nth}"
        self.jobs[job_id] = (source_id, clock(), nth - 1)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        return Job(id=job_id, state=JobState.RUNNING)

    async def poll(self, job_ids: Sequence[str], on_job: OnJob) -> int:
        self.polls.append(list(job_ids))
        if self.poll_fault is not None:
            raise self.poll_fault
        for job_id in job_ids:
            on_job(self._at_present(job_id))
        return 1

    async def get_job(self, row: Row, job_id: str) -> Job:
        self.looks.append(job_id)
        return self._at_present(job_id)

    async def get_download_url(self, row: Row, job: Job, expired: Container[str]) -> str | None:
        if row.source_id not in self.links:
            return f"https://files/{row.source_id}"
        offered = self.links[row.source_id]
        return offered.pop(0) if len(offered) > 1 else offered[0]

    def _at_present(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            return Job(id=job_id, state=JobState.MISSING)
        source_id, began, nth = self.jobs[job_id]
        if clock() - began < self.takes:
            return Job(id=job_id, state=JobState.RUNNING)
        self.open = max(0, self.open - 1)
        ends = self.endings.get(source_id, [JobState.COMPLETED])
        end = ends[min(nth, len(ends) - 1)]
        return end if isinstance(end, Job) else Job(id=job_id, state=end, units=1)


class FakeDownloader:
    """Fetches in no time; `answers[link]` are faults to raise first, in order."""

    def __init__(self) -> None:
        self.adoptable: dict[str, Caption] = {}
        self.fetched: list[tuple[str, str]] = []
        self.answers: dict[str, list[Exception]] = {}
        self.always: Exception | None = None

    async def adopt(
        self, path: str, since: float, examine: Examine | None = None
    ) -> Caption | None:
        return self.adoptable.get(path)

    async def fetch(
        self, link: str, path: str, examine: Examine | None = None, *, srt: bool = False
    ) -> Caption:
        self.fetched.append((link, path))
        await asyncio.sleep(0)
        if self.always is not None:
            raise self.always
        if self.answers.get(link):
            raise self.answers[link].pop(0)
        return CAPTION


class FakeLedger:
    """A `Ledger` in memory that records its writes in order."""

    def __init__(
        self, rows: Sequence[Row] = (), histories: dict[int, RowHistory] | None = None
    ) -> None:
        self.rows = {row.number: row for row in rows}
        self.histories = dict(histories or {})
        self.outcomes: dict[int, Outcome] = {}
        self.wrote: list[tuple[str, int]] = []
        self.ended_jobs: list[Job] = []
        self.held_back: dict[int, Failure] = {}
        self.fault: Exception | None = None

    async def pending(self, provider: str, after: int, limit: int) -> list[PendingRow]:
        rows = [
            PendingRow(row, self.histories.get(number, RowHistory()))
            for number, row in sorted(self.rows.items())
            if row.provider == provider and number > after and number not in self.outcomes
        ]
        return rows[:limit]

    async def record_intent(self, row: Row) -> None:
        await self._write("intend", row)
        self.histories[row.number] = RowHistory(now())

    async def record_job(self, row: Row, job_id: str) -> None:
        await self._write("created", row)
        self.histories[row.number] = RowHistory(self.histories[row.number].intent_at, job_id)

    async def discard_intent(self, row: Row) -> None:
        await self._write("withdrawn", row)
        self.histories.pop(row.number, None)

    async def record_job_ended(self, row: Row, job: Job) -> None:
        await self._write("job_ended", row)
        self.ended_jobs.append(job)
        self.histories.pop(row.number, None)

    async def record_held_back(self, row: Row, failure: Failure) -> None:
        await self._write("held_back", row)
        self.held_back[row.number] = failure

    async def record_outcome(self, row: Row, outcome: Outcome) -> None:
        await self._write("ended", row)
        self.outcomes[row.number] = outcome

    async def _write(self, record: str, row: Row) -> None:
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        self.wrote.append((record, row.number))

    def state(self, number: int) -> RowState:
        return self.outcomes[number].state if number in self.outcomes else RowState.PENDING

    def code(self, number: int) -> str:
        failure = self.outcomes[number].failure
        return failure.code if failure is not None else ""


SKIPPED = RowSkipped("there already")


class EngineHarness:
    """An engine over fakes; `rows` belong to the provider "fake" unless they name another."""

    def __init__(
        self,
        rows: Sequence[Row] = (),
        *,
        histories: dict[int, RowHistory] | None = None,
        providers: Sequence[str] = ("fake",),
        window: int = 100,
        policy: Policy | None = None,
    ) -> None:
        self.ledger = FakeLedger(rows or [row()], histories)
        self.observer = Recorder()
        self.providers = {name: FakeProvider(name) for name in providers}
        self.downloaders = {name: FakeDownloader() for name in providers}
        self.stops = {name: ShutdownToken() for name in providers}
        self.lanes = [
            Lane(
                provider=provider,
                poller=Poller(
                    provider, self.stops[name], self.observer, InMemoryStore(), window=window
                ),
                downloader=self.downloaders[name],
                stop=self.stops[name],
                window=window,
            )
            for name, provider in self.providers.items()
        ]
        self.engine = Engine(self.ledger, self.lanes, policy or Policy(), self.observer, now)

    @property
    def provider(self) -> FakeProvider:
        return next(iter(self.providers.values()))

    @property
    def downloader(self) -> FakeDownloader:
        return next(iter(self.downloaders.values()))

    async def run(self) -> None:
        with anyio.fail_after(10**6):
            await self.engine.run()

    def stop(self) -> None:
        for stop in self.stops.values():
            stop.request()

    def failure(self, number: int = 1) -> Failure:
        failure = self.ledger.outcomes[number].failure
        assert failure is not None
        return failure
