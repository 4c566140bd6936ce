"""One sweep over all open jobs of one provider, again and again.

Rows wait for their jobs; a sweep polls all of them in as few requests as the API allows, and
wakes the rows whose jobs have ended. Sweeps begin

- every `SWEEP_INTERVAL` while the queued requests need longer than that: the queue decides
  how long the run takes, so it does no harm to notice the end of a job late;
- every `SWEEP_INTERVAL`, too, while webhooks report the ends of jobs (the last one, at
  least): then sweeps only find what events missed;
- at once for a job that existed before its row began to wait;
- every `MIN_SWEEP_INTERVAL` if there is no quota, or if half of the window or more waits for
  jobs: then new rows cannot start until some of these jobs have ended;
- otherwise by the length of the run, from every `MIN_SWEEP_INTERVAL` if it had 40 jobs to
  every `SWEEP_INTERVAL` if it had 800. The last rows of 10,000, swept every 2 s for half an
  hour, would cost as many requests as all sweeps before.

Requests that settle no job never take more than `QUOTA_SHARE` of the read quota.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import OrderedDict
from collections.abc import Iterator

from batchcap.domain.backoff import Backoff
from batchcap.domain.errors import RowError, Unavailable
from batchcap.domain.events import JobEnded, Waiting, Warned
from batchcap.domain.models import Job, JobState, Row
from batchcap.domain.protocols import KeyValueStore, Observer, OnJob, Pollable
from batchcap.domain.shutdown import ShutdownToken
from batchcap.engine.job_durations import JobDurations

SWEEP_INTERVAL = 40.0
"""Seconds from one sweep to the next while creates queue, or while webhooks arrive."""

MIN_SWEEP_INTERVAL = 2.0
"""Seconds from one sweep to the next at least."""

QUOTA_SHARE = 0.1
"""Share of the read quota that may go into requests which settle no job."""

SECONDS_PER_JOB = 0.05
"""Seconds of the interval for each job that the run has followed, at the end of a run."""

_SHARED_CHECK = 0.5
"""Seconds from one sweep to the next while jobs that existed before come in: they share one."""

_LINGER = 0.05
"""Seconds for which a sweep waits for more jobs after the first."""

_BACKOFF = Backoff(first=5.0, longest=60.0)
"""Waits after polls without a response."""

_UNREACHABLE = 60.0
"""If a poll takes longer than this (seconds), it counts as an outage, even if it succeeds."""

_MAX_UNCLAIMED = 10_000
"""Webhook events kept for jobs that no row waits for yet: they overtake a create's response."""

_STUCK, _STUCK_AT_LEAST = 3.0, 600.0
"""Multiples of the usual p95, and seconds, after both of which a running job causes a warning."""


class _Waiting:
    """A row that waits for a job, since `since`. Times are the loop's.

    `is_fresh`: the job has just been created, so it began when `began` says.
    """

    __slots__ = ("began", "deadline", "is_fresh", "job_id", "report", "row", "since")
    report: asyncio.Future[Job]

    def __init__(
        self, row: Row, job_id: str, began: float, deadline: float, *, is_fresh: bool
    ) -> None:
        self.row, self.job_id = row, job_id
        self.began, self.deadline, self.is_fresh = began, deadline, is_fresh
        self.since = _clock()


class Poller:
    """Follows the jobs of one provider for all its rows."""

    def __init__(
        self,
        provider: Pollable,
        stop: ShutdownToken,
        observer: Observer,
        store: KeyValueStore,
        *,
        window: int,
    ) -> None:
        self._provider, self._stop, self._observer = provider, stop, observer
        self._window, self._jobs_begun = window, 0
        self.durations = JobDurations(provider.name, store)
        self._open: dict[str, list[_Waiting]] = {}
        self._wake = asyncio.Event()
        self._unclaimed: OrderedDict[str, Job] = OrderedDict()
        self._swept_at = -math.inf
        self._vain_seconds = 0.0
        self._unreachable_seconds = 0.0
        self._has_unchecked = self._webhooks_arrive = False
        self._warned: set[str] = set()

    async def wait(self, row: Row, job_id: str, *, timeout: float, age: float | None) -> Job:
        """Return the job once it has ended, described in full.

        The job began `age` seconds ago and has `timeout` seconds from then on. If `age` is
        None, its start is unknown, and its time begins now. Time in which the provider did
        not respond does not count.

        Raises:
            RowError: "job_timeout", after a last `get_job` beyond the deadline.
            Stopped: The run is stopped.
        """
        began = _clock() - (age or 0.0)
        self._jobs_begun += 1
        is_fresh = age is not None and age < MIN_SWEEP_INTERVAL
        deadline = began + timeout - self._unreachable_seconds
        waiting = _Waiting(row, job_id, began, deadline, is_fresh=is_fresh)
        if not is_fresh:
            self._has_unchecked = True
            self._wake.set()
        while True:
            job = await self._next_report(waiting)
            is_overdue = self._is_overdue(waiting)
            if job.state is JobState.NOT_RUNNING or self._is_missing(job, waiting):
                job = await self._provider.get_job(row, job_id)
            is_delayed = job.state is JobState.MISSING and not self._is_missing(job, waiting)
            if job.state is not JobState.RUNNING and not is_delayed:
                self._record_duration(waiting, job)
                return job
            if is_overdue:
                message = f"job {job_id} has not ended within {timeout:.0f} s"
                raise RowError("job_timeout", message, retryable=True)

    def on_webhook(self, job: Job) -> None:
        """Take in what an event reports of a job, in any order and as often as it comes."""
        if job.id is None or job.state is JobState.RUNNING:
            return
        if job.id in self._open:
            self._webhooks_arrive |= self._settle(job) > 0
        else:
            self._unclaimed[job.id] = job
            if len(self._unclaimed) > _MAX_UNCLAIMED:
                self._unclaimed.popitem(last=False)

    async def run(self) -> None:
        """Sweep until cancelled.

        Raises:
            FatalError: No row of the provider can succeed.
            Stopped: The run is stopped.
        """
        try:
            while True:
                await self._sweep_due()
                await self._sweep()
        finally:
            self.durations.save()

    async def _next_report(self, waiting: _Waiting) -> Job:
        """Return the job once it is not running any more, or as NOT_RUNNING once it is overdue."""
        job_id = waiting.job_id
        if (job := self._unclaimed.pop(job_id, None)) is not None:
            self._webhooks_arrive = True
            return job
        waiting.report = self._stop.waiter()
        if not self._open:
            self._wake.set()
            if not self._has_unchecked:
                self._swept_at = _clock()  # there was nothing to poll until now
        self._open.setdefault(job_id, []).append(waiting)
        try:
            return await waiting.report
        finally:
            self._open[job_id].remove(waiting)
            if not self._open[job_id]:
                del self._open[job_id]

    async def _sweep_due(self) -> None:
        """Return when the next sweep is due.

        The time changes as queues empty and webhooks stop, so it is computed often.
        """
        while True:
            left = self._swept_at + self._interval() - _clock()
            if left <= 0 and any(True for _ in self._rows()):
                return
            wait = min(max(left, _LINGER), MIN_SWEEP_INTERVAL) if self._open else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
                    self._wake.clear()
                    await asyncio.sleep(_LINGER)

    def _interval(self) -> float:
        """Return the seconds from one sweep to the next; the module's docstring has the reasons."""
        provider = self._provider
        if any(map(self._is_overdue, self._rows())):
            interval = MIN_SWEEP_INTERVAL
        elif provider.backlog_seconds >= SWEEP_INTERVAL:
            interval = SWEEP_INTERVAL
        elif self._has_unchecked:
            interval = _SHARED_CHECK
        elif self._webhooks_arrive:
            interval = SWEEP_INTERVAL
        elif provider.read_rate is None or 2 * len(self._open) >= self._window:
            interval = MIN_SWEEP_INTERVAL
        else:
            interval = min(
                max(MIN_SWEEP_INTERVAL, self._jobs_begun * SECONDS_PER_JOB), SWEEP_INTERVAL
            )
        return max(interval, self._vain_seconds)

    async def _sweep(self) -> None:
        """Poll all open jobs; wake the rows of those that have ended or are overdue."""
        self._swept_at, self._has_unchecked = _clock(), False
        settled = 0

        def on_job(job: Job) -> None:
            nonlocal settled
            settled += self._settle(job)

        job_ids = list({waiting.job_id: None for waiting in self._rows()})
        requests = await self._poll(job_ids, on_job)
        self._webhooks_arrive &= not settled
        rate = self._provider.read_rate
        self._vain_seconds = (requests - settled) / (rate * QUOTA_SHARE) if rate else 0.0
        for waiting in self._rows():
            if self._is_overdue(waiting):
                waiting.report.set_result(Job(id=waiting.job_id, state=JobState.NOT_RUNNING))
            else:
                self._warn_if_stuck(waiting)

    async def _poll(self, job_ids: list[str], on_job: OnJob) -> int:
        """Poll until the provider responds; return the number of requests."""
        began, failures = _clock(), 0
        while True:
            try:
                requests = await self._provider.poll(job_ids, on_job)
            except Unavailable as error:
                failures += 1
                self._observer(Warned(f"{self._provider.name}: polling failed: {error.message}"))
                delay = _BACKOFF.delay(failures)
                reason = f"the next poll, after {error.message}"
                self._observer(Waiting(self._provider.name, reason, delay))
                await self._stop.sleep(delay)
            except RowError as error:
                # A refused bulk request does not show which job is at fault: each row gets its job.
                self._warn_once("", f"{self._provider.name} refuses a poll: {error.message}")
                for job_id in job_ids:
                    on_job(Job(id=job_id, state=JobState.NOT_RUNNING))
                return 1
            else:
                took = _clock() - began
                self._unreachable_seconds += took if failures or took > _UNREACHABLE else 0.0
                return requests

    def _settle(self, job: Job) -> int:
        """Wake the rows of a job that is not running any more; return how many there were."""
        if job.state is JobState.RUNNING:
            return 0
        rows = [row for row in self._open.get(job.id or "", ()) if not row.report.done()]
        for row in rows:
            row.report.set_result(job)
        return len(rows)

    def _is_overdue(self, waiting: _Waiting) -> bool:
        """Return whether a job is overdue, not counting time without a response of the provider."""
        return _clock() >= waiting.deadline + self._unreachable_seconds

    def _is_missing(self, job: Job, waiting: _Waiting) -> bool:
        """Return whether the provider does not know a job that is old enough to be known."""
        is_young = _clock() - waiting.began < self._provider.not_found_grace
        return job.state is JobState.MISSING and not is_young

    def _record_duration(self, waiting: _Waiting, job: Job) -> None:
        """Record how long a job took: as the provider reports it, or else until it was noticed."""
        if job.state in (JobState.COMPLETED, JobState.ERRORED):
            noticed = _clock() - waiting.began if waiting.is_fresh else None
            duration = noticed if job.duration is None else job.duration
            if duration is not None:
                self.durations.add(waiting.row.target, duration)
                self._observer(JobEnded(waiting.row, duration))

    def _warn_if_stuck(self, waiting: _Waiting) -> None:
        """Warn once a class about a job that takes far longer than most."""
        usual, age = self.durations.quantile(0.95, waiting.row.target), _clock() - waiting.since
        if usual is not None and age > max(_STUCK * usual, _STUCK_AT_LEAST):
            message = (
                f"{self._provider.name}: job {waiting.job_id} has run for {age / 60:.0f} minutes "
                f"in this run, most end within {usual / 60:.1f}"
            )
            self._warn_once(f"stuck {waiting.row.target}", message)

    def _warn_once(self, about: str, message: str) -> None:
        if about not in self._warned:
            self._warned.add(about)
            self._observer(Warned(message))

    def _rows(self) -> Iterator[_Waiting]:
        """Yield the rows that wait and have not been woken."""
        return (row for rows in self._open.values() for row in rows if not row.report.done())


def _clock() -> float:
    return asyncio.get_running_loop().time()
