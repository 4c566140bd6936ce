"""One row's life, from manifest to file.

`RowTask.process_row` reads from top to bottom. The next step comes from the history in
the ledger, so resuming has no code of its own: the same function starts further down.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec.structs import replace

from batchcap.domain.errors import (
    Ambiguous,
    FatalError,
    NotAccepted,
    RowError,
    RowSkipped,
    Stopped,
    Unavailable,
)
from batchcap.domain.events import JobCreated, RowMoved, Waiting
from batchcap.domain.models import (
    Caption,
    Failure,
    Job,
    JobState,
    Outcome,
    Phase,
    Row,
    RowHistory,
    RowState,
)
from batchcap.domain.protocols import Checkpoint, Observer, SendSlot
from batchcap.engine.caption_download import CaptionDownload
from batchcap.engine.lane import Lane, Policy

MAX_CREATE_ATTEMPTS = 5
"""How often a create is sent if its response is lost and it did not arrive, each time."""


class RowTask:
    """Processes one row. `job` is its job as last described."""

    __slots__ = (
        "_failures",
        "_has_created",
        "_job_began",
        "_lane",
        "_ledger",
        "_lost_responses",
        "_new_jobs",
        "_now",
        "_observer",
        "_policy",
        "_provider",
        "_row",
        "_was_completed",
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
        self._failures = self._new_jobs = 0
        self._lost_responses: list[str] = []
        self._job_began: float | None = None
        self._was_completed = self._has_created = False
        self.job: Job | None = None

    async def run(self, history: RowHistory) -> Outcome:
        """Process the row and return how it ended.

        Raises:
            Stopped: The run is stopped; the row stays pending.
            CreatesRefused: The row has no job, and none can be created; it stays pending.
            FatalError: The run or the provider's lane cannot go on; the row stays pending.
        """
        started = history.intent_at or self._now()
        self._was_completed = history.was_completed
        caption: Caption | None = None
        failure: Failure | None = None
        state = RowState.FAILED
        try:
            caption = await self._process_until_done(history)
            state = RowState.DONE
        except RowSkipped:
            state = RowState.SKIPPED
        except RowError as error:
            failure = Failure(error.code, error.message, error.retryable)
        except Unavailable as error:
            failure = self._unavailable(error, history)
        finally:
            self._settle_budget()
        return Outcome(
            state=state,
            started_at=started,
            finished_at=self._now(),
            caption=caption,
            failure=failure,
            job=self.job,
        )

    def _unavailable(self, error: Unavailable, history: RowHistory) -> Failure:
        """Return why the row failed, and that a job may exist if a create was not answered."""
        message = error.message
        was_sent = history.intent_at is not None and history.job_id is None
        if self.job is None and (self._lost_responses or was_sent):
            message += "; a create was sent, and its job may exist: --retry-failed looks for it"
        return Failure("unavailable", message, retryable=True)

    async def process_row(self, history: RowHistory) -> Caption:
        """Take the row through its steps, from the one that its history names.

        The order ensures that no caption is paid for twice: the intent is durable before the
        create leaves, and the job is durable before the row waits for it.

        Raises:
            NotAccepted: The provider did not accept the create, which may be sent again.
            Ambiguous: The create may have arrived; the next call looks it up.
            RowError, RowSkipped, Unavailable: The row ends without a caption.
            CreatesRefused, FatalError, Stopped: See `run`.
        """
        job = await self._earlier_job(history)
        if job is None:
            self._check_lost_responses()
            with self._lane.creates.waiting():
                prepared = await self._provider.prepare(self._row)
            if isinstance(prepared, Job):  # a job or a caption that exists already
                job = prepared
            else:
                async with (
                    self._send_slot() as slot,  # the quota is there
                    self._recorded_intent(),  # durable before anything leaves
                ):
                    job = await slot.create(prepared)  # one POST
                    self._has_created = True
                await self._record_job(job, began=self._now())
        self._observer(RowMoved(self._row, Phase.AT_PROVIDER, self._job_began))
        job = await self._wait_for_job(job)
        self._observer(RowMoved(self._row, Phase.DOWNLOADING))
        return await self._save_caption(job)

    async def _process_until_done(self, history: RowHistory) -> Caption:
        """Start again with the new history, as long as no caption can be paid for twice."""
        while True:
            try:
                return await self.process_row(history)
            except NotAccepted as error:
                self._failures = error.failures
                history = replace(history, intent_at=None, response_lost_at=None)
                await self._wait(f"the next create, after {error.message}", error.delay)
            except Ambiguous as error:  # the next round looks the create up first
                self._lost_responses.append(error.message)
                at = self._now()
                history = replace(history, intent_at=at, response_lost_at=at)
            except _JobErrored as error:  # the next round creates a new job
                self._new_jobs += 1
                self._observer(RowMoved(self._row, Phase.WAITING))
                await self._ledger.record_job_ended(self._row, error.job)
                previous = (*history.previous_job_ids, error.job.id or "")
                history = RowHistory(previous_job_ids=previous)

    async def _wait(self, reason: str, seconds: float) -> None:
        if seconds > 0:
            self._observer(Waiting(self._row.provider, reason, seconds, self._row))
        await self._lane.stop.sleep(seconds)

    @asynccontextmanager
    async def _send_slot(self) -> AsyncIterator[SendSlot]:
        """Wait for room for one create, for as long as the provider accepts creates."""
        async with AsyncExitStack() as stack:
            with self._lane.creates.waiting():
                if self._lane.budget is not None:
                    await self._lane.budget.reserve(self._row)
                slot = await stack.enter_async_context(self._provider.send_slot(self._failures))
            yield slot

    def _settle_budget(self) -> None:
        if self._lane.budget is None:
            return
        if self._has_created or self._lost_responses:
            self._lane.budget.settle(self._row, self.job)
        else:
            self._lane.budget.release(self._row)

    @asynccontextmanager
    async def _recorded_intent(self) -> AsyncIterator[None]:
        """Record the intent of a create; discard it if surely nothing was created."""
        await self._ledger.record_intent(self._row)
        try:
            yield
        except (NotAccepted, Unavailable, RowError, RowSkipped, FatalError, Stopped) as error:
            if not (isinstance(error, RowError) and error.code == "outcome_unknown"):
                await self._ledger.discard_intent(self._row)
            raise

    async def _record_job(self, job: Job, began: float | None = None) -> None:
        """Record the job of a create; discard the intent if the caption exists without a job."""
        self._failures, self._job_began = 0, began
        if job.id is None:
            await self._ledger.discard_intent(self._row)
        else:
            await self._ledger.record_job(self._row, job.id)
            self._observer(JobCreated(self._row, job.id))

    async def _earlier_job(self, history: RowHistory) -> Job | None:
        """Return the job of the history or of an earlier create, None if surely there is none."""
        if history.job_id is not None:
            self._job_began = history.intent_at
            return Job(id=history.job_id, state=JobState.RUNNING)
        if self._was_completed:
            return await self._find_delivered(history)
        if history.response_lost_at is None:
            return None
        # The create may still be under way. If the clock was set back, the wait stays short.
        since = min(history.response_lost_at, self._now()) + self._policy.settle
        await self._wait("the job of a create without a response", since - self._now())
        job = await self._provider.find_existing_job(self._row, history, since)
        if job is not None:
            await self._record_job(job)
            return job
        await self._ledger.discard_intent(self._row)
        return None

    async def _find_delivered(self, history: RowHistory) -> Job:
        """Return the job of a caption that was on disk once; nothing is created for it."""
        job = await self._provider.find_existing_job(self._row, history, self._now())
        if job is None:
            raise RowError("not_found", "the provider has neither a job nor a track for it")
        return job

    def _check_lost_responses(self) -> None:
        if len(self._lost_responses) >= MAX_CREATE_ATTEMPTS:
            count, last = len(self._lost_responses), self._lost_responses[-1]
            message = f"gave up after {count} create requests without a response: {last}"
            raise RowError("unavailable", message, retryable=True)

    async def _wait_for_job(self, job: Job) -> Job:
        """Return the completed job, described in full.

        Raises:
            RowError: The job ended without a caption, or not in time.
        """
        job = await self._ended(job)
        is_retryable = job.state is JobState.ERRORED and _failure_of(job).retryable
        if is_retryable and self._new_jobs < self._policy.retry_jobs and not self._was_completed:
            raise _JobErrored(job)
        return _completed(job)

    async def _ended(self, job: Job) -> Job:
        self.job = job
        if job.id is None or job.state is not JobState.RUNNING:
            return job
        age = None if self._job_began is None else max(0.0, self._now() - self._job_began)
        self.job = await self._lane.poller.wait(
            self._row, job.id, timeout=self._policy.job_timeout, age=age
        )
        return self.job

    async def _save_caption(self, job: Job) -> Caption:
        """Put the completed job's caption on disk."""
        since = None if self._was_completed else self._policy.adopt_since
        if since is not None:
            examine = self._lane.examiner(self._row)
            caption = await self._lane.downloader.adopt(self._row.path, since, examine)
            if caption is not None:
                return caption
        return await CaptionDownload(self._lane, self._row, self._observer, self._refreshed).run(
            job
        )

    async def _refreshed(self, job: Job) -> Job:
        """Return the completed job as the provider describes it now, with a fresh link."""
        if job.id is None:
            return job
        return _completed(await self._ended(await self._provider.get_job(self._row, job.id)))


class _JobErrored(Exception):  # what happened, as all errors here are named
    """The job errored, and the user allows another one, which costs."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job


def _completed(job: Job) -> Job:
    """Return the job.

    Raises:
        RowError: It ended without a caption.
    """
    if job.state is JobState.COMPLETED:
        return job
    failure = _failure_of(job)
    raise RowError(failure.code, failure.message, retryable=failure.retryable)


def _failure_of(job: Job) -> Failure:
    """Return why a job that ended has no caption, with a documented code."""
    if job.failure is not None:
        return job.failure
    match job.state:
        case JobState.CANCELLED:
            return Failure("job_cancelled", f"job {job.id} was cancelled", retryable=True)
        case JobState.MISSING:
            return Failure("not_found", f"{job.id} is not known to the provider")
        case _:
            return Failure("job_failed", f"job {job.id} failed without a reason")
