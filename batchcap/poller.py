"""One loop watches every outstanding job of one provider, many ids a request.

Rows hand in their job and wait; the poller asks for whatever is due, with all
that is nearly due beside it, and wakes each row when its job is no longer
running. How long it waits before it asks again grows with a job's age, and
asking takes at most a tenth of the quota: creates and links need the rest.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools

from batchcap.errors import RowError, Unavailable
from batchcap.events import Warned
from batchcap.interfaces import Observer, Polled
from batchcap.model import Job, JobState
from batchcap.retry import Backoff
from batchcap.stopping import Stop

_LINGER = 0.05
"""Seconds for which a first due job waits for company."""

_GROWTH = 0.25
"""A job is asked about again after this share of its age."""

_LONGEST = 60.0
_SHARE = 0.1
"""Share of the read quota that asking may take."""


class Watch:
    """One job that a row waits for. Times are the loop's."""

    __slots__ = ("deaf_before", "due", "ended", "job_id", "since", "until", "waiting")

    def __init__(self, job_id: str, since: float, until: float) -> None:
        self.job_id = job_id
        self.since = since
        self.until = until
        self.due: float | None = None
        self.deaf_before = 0.0
        self.waiting = False
        self.ended: asyncio.Future[Job]


class Poller:
    """Watches the jobs of one provider for all its rows."""

    def __init__(self, provider: Polled, stop: Stop, observer: Observer) -> None:
        self._provider = provider
        self._stop = stop
        self._observer = observer
        self._watches: dict[str, list[Watch]] = {}
        self._due: list[tuple[float, int, Watch]] = []
        self._order = itertools.count()
        self._sooner = asyncio.Event()
        self._deaf = 0.0
        self._refusal_told = False
        self._backoff = Backoff(first=5.0, longest=60.0)

    @property
    def watching(self) -> int:
        """How many jobs are watched."""
        return len(self._watches)

    def watch(self, job_id: str, since: float, timeout: float) -> Watch:
        """Start to watch a job that began at `since`, for at most `timeout` seconds.

        Time in which the provider could not be asked does not count.
        """
        watch = Watch(job_id, since, since + timeout)
        watch.deaf_before = self._deaf
        return watch

    async def wait(self, watch: Watch) -> Job:
        """The job, as soon as it is not running, or "ended" once its time is over.

        Called again for the same watch, it goes on watching. Raises `Stopped`.
        """
        watch.ended = self._stop.future()
        watch.waiting = True
        self._watches.setdefault(watch.job_id, []).append(watch)
        self._schedule(watch)
        try:
            return await watch.ended
        finally:
            watch.waiting = False
            self._forget(watch)

    def _forget(self, watch: Watch) -> None:
        watches = self._watches[watch.job_id]
        watches.remove(watch)
        if not watches:
            del self._watches[watch.job_id]

    def overdue(self, watch: Watch) -> bool:
        """Whether a job had its time, less what the provider was out of reach."""
        return _clock() >= watch.until + self._deaf - watch.deaf_before

    async def run(self) -> None:
        """Ask until cancelled. Raises `FatalError` where the provider refuses us."""
        while True:
            batch = await self._next_batch()
            requests = await self._asked(batch)
            self._end_overdue(batch)
            for watch in batch:
                if watch.waiting:
                    self._schedule(watch)
            await self._rest(requests)

    async def _asked(self, batch: list[Watch]) -> int:
        """Ask until the provider answers; what it was out of reach counts for no job."""
        began, failures = _clock(), 0
        job_ids = list(dict.fromkeys(watch.job_id for watch in batch))
        while True:
            try:
                requests = await self._provider.poll(job_ids, self._report)
            except Unavailable as error:
                failures += 1
                self._observer(Warned(f"{self._provider.name} cannot be asked: {error.message}"))
                await self._stop.sleep(self._backoff.delay(failures))
            except RowError as error:
                self._refused(batch, error)
                return 1
            else:
                took = _clock() - began
                self._deaf += took if failures or took > _LONGEST else 0.0
                return requests

    def _refused(self, batch: list[Watch], error: RowError) -> None:
        """No job can be blamed for a refused bulk question: each row looks for itself."""
        if not self._refusal_told:
            self._refusal_told = True
            self._observer(Warned(f"{self._provider.name} refuses a poll: {error.message}"))
        for watch in batch:
            self._report(Job(id=watch.job_id, state=JobState.ENDED))

    async def _rest(self, requests: int) -> None:
        rate = self._provider.read_rate
        if rate:
            await self._stop.sleep(requests / (rate * _SHARE))

    async def _next_batch(self) -> list[Watch]:
        """Everything due and nearly due, once there is something due."""
        while True:
            wait = self._due[0][0] - _clock() if self._due else None
            if wait is not None and wait <= 0:
                await asyncio.sleep(_LINGER)
                if batch := self._take():
                    return batch
                continue
            self._sooner.clear()
            timer = asyncio.get_running_loop().call_later(wait, self._sooner.set) if wait else None
            await self._sooner.wait()
            if timer:
                timer.cancel()

    def _take(self) -> list[Watch]:
        """Everything due; with it what would come due while that is being asked."""
        batch: list[Watch] = []
        now = _clock()
        horizon = now
        while self._due and self._due[0][0] <= horizon:
            due, _, watch = heapq.heappop(self._due)
            if watch.due == due and watch.waiting:
                batch.append(watch)
                horizon = max(horizon, now + _GROWTH * self._gap(watch))
        return batch

    def _schedule(self, watch: Watch) -> None:
        now = _clock()
        if watch.due is None:
            watch.due = max(now, watch.since + self._provider.first_look)
        else:
            watch.due = now + self._gap(watch)
        if not self.overdue(watch):
            watch.due = min(watch.due, max(now, watch.until + self._deaf - watch.deaf_before))
        heapq.heappush(self._due, (watch.due, next(self._order), watch))
        if self._due[0][2] is watch:
            self._sooner.set()

    def _gap(self, watch: Watch) -> float:
        age = _clock() - watch.since
        return min(max(self._provider.shortest_gap, _GROWTH * age), _LONGEST)

    def _report(self, job: Job) -> None:
        for watch in self._watches.get(job.id or "", ()):
            if job.state is not JobState.RUNNING and not watch.ended.done():
                watch.ended.set_result(job)

    def _end_overdue(self, batch: list[Watch]) -> None:
        """Whose time is over is looked at once more, by its row."""
        for watch in batch:
            if watch.waiting and not watch.ended.done() and self.overdue(watch):
                watch.ended.set_result(Job(id=watch.job_id, state=JobState.ENDED))


def _clock() -> float:
    return asyncio.get_running_loop().time()
