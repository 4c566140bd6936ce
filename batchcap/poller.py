"""One loop follows every outstanding job of one provider, many ids a request.

Rows hand in their job and wait. When to ask, and about which of them, is weighed in
`asking` by what is known of how long jobs take (`durations`); asking in vain takes at
most a tenth of the read quota, since creates and links need the rest. Events (webhooks)
settle jobs in the same place: what is heard of need not be asked about, and asking
slows down by as much as can be relied on them.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property

from batchcap.asking import Terms, Verdict, Watch, decide
from batchcap.durations import Durations
from batchcap.errors import RowError, Unavailable
from batchcap.events import Warned
from batchcap.interfaces import KeyValueStore, Observer, Polled
from batchcap.model import Job, JobState
from batchcap.retry import Backoff
from batchcap.stopping import Stop

_LINGER = 0.05
"""Seconds for which a first job waits for company."""

_UNLIMITED, _IDLE, _BUSY = 0.01, 3.0, 450.0
"""Seconds of waiting that a request may cost where there is no quota, where nobody
else wants it now, and where creates or links queue for it: then a run takes as long as
its queue, whenever a caption in the middle of it is noticed."""

_LONGEST_IDLE, _LONGEST_BUSY, _LONGEST_HEARD = 60.0, 300.0, 600.0
_SHARE = 0.1
"""Share of the read quota that requests which settle no job may take."""

_APART = 0.5
"""Seconds from one question to the next, so that newcomers share one."""

_TRUST = 0.05
"""How quickly events are relied on, and given up: the weight of one end."""

_NEVER_SURE = 0.005
_EARLY = 10_000
"""Events kept for jobs that no row follows yet: they overtake the answer to a create."""

_STUCK, _STUCK_AT_LEAST = 3.0, 600.0
"""A job is told of once it took so many times as long as all but 1 in 1,000 do, and
so many seconds."""


class Poller:
    """Follows the jobs of one provider for all its rows."""

    def __init__(
        self, provider: Polled, stop: Stop, observer: Observer, memory: KeyValueStore
    ) -> None:
        self._provider, self._stop, self._observer = provider, stop, observer
        self.durations = Durations(provider.name, memory)
        self._watches: dict[str, list[Watch]] = {}
        self._sooner = asyncio.Event()
        self._deaf = 0.0
        self._settled = 0
        self._unheard = 1.0
        self._doubted: float | None = None
        self._heard = self._found = 0
        self._heard_at = -math.inf
        self._early: OrderedDict[str, Job] = OrderedDict()
        self._told: set[object] = set()
        self._backoff = Backoff(first=5.0, longest=60.0)

    @property
    def watching(self) -> int:
        """How many jobs are watched."""
        return len(self._watches)

    def watch(self, job_id: str, kind: tuple[str, ...], age: float | None, timeout: float) -> Watch:
        """Start to watch a job that began `age` seconds ago, for at most `timeout` seconds of it.

        `age` None: nobody knows; its time starts now. Time in which the provider could
        not be asked does not count. For `kind` see `durations`.
        """
        since = self._clock() - (age or 0.0)
        return Watch(job_id, kind, since, since + timeout - self._deaf, dated=age is not None)

    async def wait(self, watch: Watch) -> Job:
        """The job, as soon as it is not running, or "ended" once its time is over.

        Called again for the same watch, it goes on watching. Raises `Stopped`.
        """
        if watch.told or hasattr(watch, "news"):  # its row looked, and it runs
            watch.asked = self._clock()
        self._found += watch.told
        if (job := self._early.pop(watch.job_id, None)) is not None:
            watch.told = True
            return job
        watch.news = self._stop.future()
        watch.waiting = True
        if (
            not self._watches
            or not watch.dated
            or watch.gap(self._clock()) >= self._provider.first_look
        ):
            self._sooner.set()
        self._watches.setdefault(watch.job_id, []).append(watch)
        try:
            return await watch.news
        finally:
            watch.waiting = False
            self._forget(watch)

    def age(self, watch: Watch) -> float:
        """Seconds since its job began, as far as that is known."""
        return self._clock() - watch.since

    def overdue(self, watch: Watch) -> bool:
        """Whether a job had its time, less what the provider was out of reach."""
        return self._clock() >= watch.deadline + self._deaf

    def ended(self, watch: Watch, job: Job) -> None:
        """Learn from a job that came to its end, as the provider describes it.

        Where that is not told, it ended midway between the last two looks at it.
        """
        took = job.took
        if took is None and watch.asked is not None:
            took = (self._clock() + watch.asked) / 2 - watch.since
        if took is not None and job.state in (JobState.COMPLETED, JobState.ERRORED):
            self.durations.learn(watch.kind, took)

    def hear(self, job: Job) -> None:
        """An event told of a job, in any order and as often as it likes."""
        self._heard_at = self._clock()
        if job.id is None:
            return
        if job.state is JobState.RUNNING:
            for watch in self._watches.get(job.id, ()):
                if not self.overdue(watch):
                    watch.asked = self._heard_at
        elif job.id in self._watches:
            self._settle(job, heard=True)
        else:
            self._early[job.id] = job
            if len(self._early) > _EARLY:
                self._early.popitem(last=False)

    async def run(self) -> None:
        """Ask until cancelled. Raises `FatalError` where the provider refuses us."""
        try:
            while True:
                batch, began = await self._next_batch(), self._clock()
                self._settled = 0
                requests = await self._asked(batch)
                self._end_doubt()
                self._rely()
                self._end_overdue(batch)
                self._tell_stuck(batch)
                await self._rest(requests - self._settled, began)
        finally:
            self.durations.save()

    async def _next_batch(self) -> list[Watch]:
        """Whom to ask about, once it is worth it."""
        while True:
            verdict = self._decided()
            if verdict.batch:
                return verdict.batch
            self._sooner.clear()
            with contextlib.suppress(TimeoutError):
                wait = verdict.again - self._clock() if self._watches else None
                await asyncio.wait_for(self._sooner.wait(), wait)
                await asyncio.sleep(_LINGER)

    def _decided(self) -> Verdict:
        watches = (watch for watches in self._watches.values() for watch in watches)
        waiting = (watch for watch in watches if not watch.news.done())
        verdict = decide(waiting, self._clock(), self._terms())
        if verdict.silent:
            self._doubted, self._unheard = self._unheard, 1.0
            self._heard = 0
            return self._decided()
        return verdict

    def _end_doubt(self) -> None:
        """Silence in which nothing happened is no fault of the events."""
        if self._doubted is not None and not self._settled:
            self._unheard = self._doubted
        self._doubted = None

    def _terms(self) -> Terms:
        """What asking costs at present."""
        provider = self._provider
        busy = provider.busy
        price, longest = (_BUSY, _LONGEST_BUSY) if busy else (_IDLE, _LONGEST_IDLE)
        return Terms(
            price=price if provider.read_rate else _UNLIMITED,
            first_look=provider.first_look,
            shortest=provider.shortest_gap,
            longest=min(longest / self._unheard, max(longest, _LONGEST_HEARD)),
            soon=longest,
            hurry=not busy,
            law=self.durations.law,
            cost=provider.cost,
            unheard=self._unheard,
            heard_at=self._heard_at,
            deaf=self._deaf,
        )

    async def _asked(self, batch: list[Watch]) -> int:
        """Ask until the provider answers; what it was out of reach counts for no job."""
        began, failures = self._clock(), 0
        job_ids = list(dict.fromkeys(watch.job_id for watch in batch))
        while True:
            asked_at = self._clock()
            try:
                requests = await self._provider.poll(job_ids, self._settle)
            except Unavailable as error:
                failures += 1
                self._observer(Warned(f"{self._provider.name} cannot be asked: {error.message}"))
                await self._stop.sleep(self._backoff.delay(failures))
            except RowError as error:
                self._refused(batch, error)
                return 1
            else:
                took = self._clock() - began
                self._deaf += took if failures or took > _LONGEST_IDLE else 0.0
                for watch in batch:
                    if not watch.news.done():
                        watch.asked = asked_at
                return requests

    def _refused(self, batch: list[Watch], error: RowError) -> None:
        """No job can be blamed for a refused bulk question: each row looks for itself."""
        self._tell("refused", f"{self._provider.name} refuses a poll: {error.message}")
        for watch in batch:
            self._settle(Job(id=watch.job_id, state=JobState.ENDED))

    def _settle(self, job: Job, *, heard: bool = False) -> None:
        """Wake the rows of a job that does not run any more."""
        if job.state is JobState.RUNNING:
            return
        for watch in self._watches.get(job.id or "", ()):
            if not watch.news.done():
                watch.news.set_result(job)
                if heard:
                    watch.asked = self._heard_at
                self._settled += not heard
                watch.told = watch.told or heard
                self._heard += heard
                self._found += not heard

    def _rely(self) -> None:
        """Rely on events by the ends since the last question.

        Only a question shows what was not heard of: between two of them there seem to be
        no other ends than those that events tell of.
        """
        ends = self._heard + self._found
        if ends:
            unheard = max(self._found / ends, _NEVER_SURE)
            self._unheard += (1 - (1 - _TRUST) ** ends) * (unheard - self._unheard)
        self._heard = self._found = 0

    def _end_overdue(self, batch: list[Watch]) -> None:
        """Whose time is over is looked at once more, by its row."""
        for watch in batch:
            if watch.waiting and not watch.news.done() and self.overdue(watch):
                watch.news.set_result(Job(id=watch.job_id, state=JobState.ENDED))

    def _tell_stuck(self, batch: list[Watch]) -> None:
        """A job that takes far longer than all others do is worth a word, once."""
        now = self._clock()
        for watch in batch:
            age = now - watch.since
            usual = self.durations.law(watch.kind).nearly_all
            if watch.waiting and age > max(_STUCK * usual, _STUCK_AT_LEAST):
                told = f"job {watch.job_id} has run for {age / 60:.0f} minutes, most end within"
                self._tell(watch.kind, f"{self._provider.name}: {told} {usual / 60:.0f}")

    def _tell(self, what: object, message: str) -> None:
        """Warn of a thing once."""
        if what not in self._told:
            self._told.add(what)
            self._observer(Warned(message))

    async def _rest(self, requests: int, began: float) -> None:
        """Leave the quota to others until asking in vain had no more than its share of it."""
        rate = self._provider.read_rate
        share = requests / (rate * _SHARE) if rate else 0.0
        await self._stop.sleep(began + max(share, _APART) - self._clock())

    def _forget(self, watch: Watch) -> None:
        watches = self._watches[watch.job_id]
        watches.remove(watch)
        if not watches:
            del self._watches[watch.job_id]

    @cached_property
    def _clock(self) -> Callable[[], float]:
        """The loop's clock, asked for once: before Python 3.12 that is a call of the system."""
        return asyncio.get_running_loop().time
