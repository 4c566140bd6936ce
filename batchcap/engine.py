"""Carries each row from manifest to file; knows no HTTP and no provider.

A row's life is one coroutine that reads from top to bottom: prepare, create,
follow, keep. The next step comes from the facts in the ledger, so resuming has
no code of its own: the same coroutine starts later.

Each provider has a lane with a window of rows of its own, so that a queue at one
does not starve the other. Rows stream in from the ledger; what waits there
costs nothing here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import anyio
import msgspec

from batchcap import durations
from batchcap.errors import (
    Ambiguous,
    BadCaption,
    FatalError,
    LinkExpired,
    NotAccepted,
    RowError,
    RowSkipped,
    Stopped,
    Unavailable,
)
from batchcap.events import JobCreated, LaneStopped, RowEnded, RowStarted
from batchcap.interfaces import Checkpoint, Downloader, Observer, Provider
from batchcap.model import (
    Caption,
    Facts,
    Failure,
    Job,
    JobRequest,
    JobState,
    Outcome,
    Row,
    RowState,
    Work,
)
from batchcap.poller import Poller
from batchcap.retry import Backoff
from batchcap.stopping import Stop

_PAGE = 256
_STARTED_AT_ONCE = 100
"""Workers after which the loop gets its turn: 2,000 at once would hold it up for 30 ms."""

_LINKS = Backoff(attempts=6, first=1.0, longest=20.0)
"""How many links may turn out dead, and the wait before the next one."""

_LONGEST_SEND = 120.0
"""Seconds for which a create may be on its way (the transport's time-out)."""

_SENDS = 5
"""How often a create is sent whose absence was established each time."""

_LOOKS = 2
"""How often something that is not WebVTT is fetched before it is believed."""


class Policy(msgspec.Struct, frozen=True):
    """The user's choices that concern the engine; durations in seconds."""

    job_timeout: float = 7200.0
    settle: float = 60.0
    """How long after a create without an answer its absence is not believed."""
    retry_jobs: int = 0
    adopt_since: float | None = None
    """When a run began that died (unix seconds): what it put on disk is taken as it is."""


class Lane(msgspec.Struct, frozen=True):
    """One provider's part of the run.

    `window` rows are worked on at once.
    """

    provider: Provider
    poller: Poller
    downloader: Downloader
    stop: Stop
    window: int


class Engine:
    """Works until every row of the lanes' providers has ended, or is stopped.

    After `run` returned, `fatal` holds what stopped a lane, if anything did.
    """

    def __init__(
        self,
        ledger: Checkpoint,
        lanes: list[Lane],
        policy: Policy,
        observer: Observer,
        now: Callable[[], float],
    ) -> None:
        self._ledger, self._lanes, self._policy = ledger, lanes, policy
        self._observer, self._now = observer, now
        self._began = now()
        self.fatal: list[FatalError] = []

    async def run(self) -> None:
        """Carry all rows. A fault that stops one lane leaves the others at work."""
        async with anyio.create_task_group() as group:
            for lane in self._lanes:
                group.start_soon(self._run_lane, lane)

    async def _run_lane(self, lane: Lane) -> None:
        feed = _Feed(self._ledger, lane.provider.name)
        async with anyio.create_task_group() as group:
            group.start_soon(self._guarded, lane, lane.poller.run)
            async with anyio.create_task_group() as workers:
                for number in range(min(lane.window, await self._sized(lane, feed))):
                    workers.start_soon(self._guarded, lane, _worker, self, lane, feed)
                    if number % _STARTED_AT_ONCE == 0:
                        await asyncio.sleep(0)
            group.cancel_scope.cancel()

    async def _sized(self, lane: Lane, feed: _Feed) -> int:
        """How many rows there are at hand, at most a window: no worker without work."""
        try:
            await feed.fill(lane.window)
        except FatalError as error:
            self._stop_for(lane, error)
        return len(feed)

    async def _guarded(self, lane: Lane, work: Callable[..., object], *args: object) -> None:
        """Let a fatal fault close the lanes that it concerns, and nothing else."""
        try:
            await work(*args)  # type: ignore[misc]  # Callable[..., Awaitable] to anyio
        except Stopped:
            pass
        except FatalError as error:
            self._stop_for(lane, error)

    def _stop_for(self, lane: Lane, error: FatalError) -> None:
        told = (error.provider, error.message)
        if any((known.provider, known.message) == told for known in self.fatal):
            return
        self.fatal.append(error)
        self._observer(LaneStopped(lane.provider.name, error.message, error.hint))
        for other in self._lanes:
            if error.provider is None or other is lane:
                other.stop.request()

    async def carry(self, lane: Lane, work: Work) -> None:
        """One row, from its facts to its outcome."""
        started = work.facts.intent_at or self._now()
        self._observer(RowStarted(work.row))
        carrier = Carrier(self._ledger, lane, self._policy, self._observer, self._now, work.row)
        outcome = await carrier.outcome(self._dated(work.facts), started)
        await self._ledger.record_outcome(work.row, outcome)
        self._observer(RowEnded(work.row, outcome))

    def _dated(self, facts: Facts) -> Facts:
        """When an answer that an earlier run waited for was lost, at the latest."""
        if facts.intent_at is None:
            return facts
        lost_at = min(facts.intent_at + _LONGEST_SEND, self._began)
        return msgspec.structs.replace(facts, lost_at=lost_at)


async def _worker(engine: Engine, lane: Lane, feed: _Feed) -> None:
    while not lane.stop.requested and (work := await feed.take()):
        await engine.carry(lane, work)


class _Feed:
    """The pending rows of one provider, a page at a time, for many workers."""

    def __init__(self, ledger: Checkpoint, provider: str) -> None:
        self._ledger, self._provider = ledger, provider
        self._page: deque[Work] = deque()
        self._after = 0
        self._exhausted = False
        self._reading = anyio.Lock()

    def __len__(self) -> int:
        return len(self._page)

    async def fill(self, size: int) -> None:
        """Read ahead until so many rows are at hand, or all."""
        while len(self._page) < size and not self._exhausted:
            page = await self._ledger.pending(self._provider, self._after, _PAGE)
            self._exhausted = len(page) < _PAGE
            self._page.extend(page)
            if page:
                self._after = page[-1].row.number

    async def take(self) -> Work | None:
        """The next row, or None where there is none left."""
        if not self._page and not self._exhausted:
            async with self._reading:
                await self.fill(1)
        return self._page.popleft() if self._page else None


class Carrier:
    """One row on its way. `job` is what is known of its job so far."""

    __slots__ = (
        "_began",
        "_delivered",
        "_lane",
        "_ledger",
        "_now",
        "_observer",
        "_policy",
        "_provider",
        "_row",
        "_seconds",
        "job",
    )

    def __init__(
        self,
        ledger: Checkpoint,
        lane: Lane,
        policy: Policy,
        observer: Observer,
        now: Callable[[], float],
        row: Row,
    ) -> None:
        self._ledger, self._lane, self._policy = ledger, lane, policy
        self._observer, self._now, self._row = observer, now, row
        self._provider = lane.provider
        self._delivered = False
        self._began: float | None = None
        self._seconds: float | None = None
        self.job: Job | None = None

    async def outcome(self, facts: Facts, started: float) -> Outcome:
        """The whole way, and how it ended. Raises `Stopped` and `FatalError` only."""
        self._delivered = facts.delivered
        caption: Caption | None = None
        failure: Failure | None = None
        state = RowState.FAILED
        try:
            caption = await self._caption(facts)
            state = RowState.DONE
        except RowSkipped:
            state = RowState.SKIPPED
        except RowError as error:
            failure = Failure(error.code, error.message, error.retryable)
        except Unavailable as error:
            failure = Failure("unavailable", error.message, retryable=True)
        return Outcome(
            state=state,
            started_at=started,
            finished_at=self._now(),
            caption=caption,
            failure=failure,
            job=self.job,
        )

    async def _caption(self, facts: Facts) -> Caption:
        for again in range(self._policy.retry_jobs + 1):
            job = await self._start(facts)
            job = self.job = await self._followed(job)
            if job.state is JobState.COMPLETED:
                return await self._kept(job)
            failure = _job_failure(job)
            worth = job.state is JobState.ERRORED and failure.retryable
            if again == self._policy.retry_jobs or not worth or self._delivered:
                break
            await self._ledger.record_job_ended(self._row, job)
            facts = Facts(former=(*facts.former, job.id or ""))
        raise RowError(failure.code, failure.message, retryable=failure.retryable)

    async def _start(self, facts: Facts) -> Job:
        """The job that the facts name, or the one that exists, or a new one.

        A create whose answer was lost is looked up, and sent again only where it
        surely did not arrive.
        """
        if facts.job_id is not None:
            self._began = facts.intent_at
            return Job(id=facts.job_id, state=JobState.RUNNING)
        if self._delivered:
            return await self._recovered(facts)
        lost = Ambiguous("no answer")
        for _ in range(_SENDS):
            if facts.intent_at is not None and (job := await self._found(facts)):
                return job
            prepared = await self._provider.prepare(self._row)
            if isinstance(prepared, Job):
                return prepared
            try:
                return await self._created(prepared)
            except Ambiguous as error:
                lost, at = error, self._now()
                facts = msgspec.structs.replace(facts, intent_at=at, lost_at=at)
        if job := await self._found(facts):
            return job
        told = f"{_SENDS} creates were lost on their way, the last: {lost.message}"
        raise RowError("unavailable", told, retryable=True)

    async def _recovered(self, facts: Facts) -> Job:
        """Where a caption that was on disk once comes from; nothing is created for it."""
        job = await self._provider.find(self._row, facts, self._now())
        if job is None:
            raise RowError("not_found", "the provider has neither a job nor a track for it")
        return job

    async def _created(self, request: JobRequest) -> Job:
        self._seconds = request.seconds
        try:
            job = await self._send(request)
        except (Stopped, RowError, RowSkipped, Unavailable, FatalError) as error:
            if not (isinstance(error, RowError) and error.code == "outcome_unknown"):
                await self._ledger.discard_intent(self._row)
            raise
        self._began = self._now()
        await self._adopted(job)
        return job

    async def _send(self, request: JobRequest) -> Job:
        """One POST, and another one as long as the provider surely did not accept it."""
        failures = 0
        while True:
            try:
                async with self._provider.send_slot(failures) as slot:  # the quota is there
                    await self._ledger.record_intent(self._row)  # durable before anything leaves
                    return await slot.create(request)
            except NotAccepted as error:
                failures = error.failures
                await self._lane.stop.sleep(error.delay)

    async def _found(self, facts: Facts) -> Job | None:
        """Look for what became of a create, once it cannot arrive any more."""
        assert facts.lost_at is not None
        since = min(facts.lost_at, self._now()) + self._policy.settle  # clocks are set back
        await self._lane.stop.sleep(since - self._now())
        job = await self._provider.find(self._row, facts, since)
        if job is None:
            await self._ledger.discard_intent(self._row)
        else:
            await self._adopted(job)
        return job

    async def _adopted(self, job: Job) -> None:
        """The create made this job; or none, where the caption exists without it."""
        if job.id is None:
            await self._ledger.discard_intent(self._row)
        else:
            await self._ledger.record_job(self._row, job.id)
            self._observer(JobCreated(self._row, job.id))

    async def _followed(self, job: Job) -> Job:
        """The job once it has ended, described in full."""
        self.job = job
        if job.id is None or job.state is not JobState.RUNNING:
            return job
        age = None if self._began is None else max(0.0, self._now() - self._began)
        kind, timeout = durations.kind(self._row.target, self._seconds), self._policy.job_timeout
        watch = self._lane.poller.watch(job.id, kind, age, timeout)
        while True:
            job = await self._lane.poller.wait(watch)
            young = self._lane.poller.age(watch) < self._provider.missing_grace
            if job.state is JobState.ENDED or (job.state is JobState.MISSING and not young):
                job = await self._provider.look(self._row, watch.job_id)
            early = job.state is JobState.MISSING and young
            if job.state is not JobState.RUNNING and not early:
                self._lane.poller.ended(watch, job)
                return job
            if self._lane.poller.overdue(watch):
                raise RowError(
                    "job_timeout",
                    f"job {watch.job_id} has not ended within {self._policy.job_timeout:.0f} s",
                    retryable=True,
                )

    async def _kept(self, job: Job) -> Caption:
        """The completed job's caption on disk."""
        since = None if self._delivered else self._policy.adopt_since
        there = since is not None and await self._lane.downloader.adopt(self._row.path, since)
        return there or await self._fetched(job)

    async def _fetched(self, job: Job) -> Caption:
        """From link to file, by as many fresh links as it takes."""
        dead: list[str] = []
        doubts, waits, since = 0, 0, 0.0
        while True:
            link = await self._provider.link(self._row, job, dead)
            if link is None:
                since = since or _clock()
                if _clock() - since >= self._provider.link_grace and dead:
                    raise RowError("link_dead", "no link is left that works", retryable=True)
                if _clock() - since >= self._provider.link_grace:
                    raise RowError("captions_not_enabled", "the job completed without a caption")
                waits += 1
                await self._lane.stop.sleep(_LINKS.delay(waits))
            else:
                try:
                    return await self._lane.downloader.fetch(link, self._row.path)
                except LinkExpired as error:
                    await self._refused(link, dead, error)
                except BadCaption as error:
                    doubts += 1
                    if doubts >= _LOOKS:
                        raise RowError("bad_caption", error.message) from None
            if job.id is not None:
                look = await self._provider.look(self._row, job.id)
                job = self.job = _still_completed(await self._followed(look))

    async def _refused(self, link: str, dead: list[str], error: LinkExpired) -> None:
        dead.append(link)
        if len(dead) >= _LINKS.attempts:
            raise RowError(
                "link_dead", f"{len(dead)} links in a row: {error.message}", retryable=True
            )
        if len(dead) > 1:
            await self._lane.stop.sleep(_LINKS.delay(len(dead) - 1))


def _still_completed(job: Job) -> Job:
    if job.state is JobState.COMPLETED:
        return job
    failure = _job_failure(job)
    raise RowError(failure.code, failure.message, retryable=failure.retryable)


def _job_failure(job: Job) -> Failure:
    """Why a job that ended has no caption, in the contract's codes."""
    if job.failure is not None:
        return job.failure
    match job.state:
        case JobState.CANCELLED:
            return Failure("job_cancelled", f"job {job.id} was cancelled", retryable=True)
        case JobState.MISSING:
            return Failure("not_found", f"{job.id} is not known to the provider")
        case _:
            return Failure("job_failed", f"job {job.id} failed without a reason")


def _clock() -> float:
    return asyncio.get_running_loop().time()
