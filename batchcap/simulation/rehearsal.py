"""What a run of so many rows under such limits comes to, found by running it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import anyio
import msgspec

from batchcap.domain.models import Row
from batchcap.domain.protocols import Observer, Provider
from batchcap.domain.settings import Settings
from batchcap.domain.shutdown import Stop
from batchcap.engine import Engine, Lane, Policy, Poller
from batchcap.providers import PROVIDERS, ProviderContext
from batchcap.providers.registry import documented_rates
from batchcap.reports.metrics import Metrics
from batchcap.simulation.api_client import WorldSender
from batchcap.simulation.in_memory import Books, Notebook, Sink
from batchcap.simulation.providers import HeyGenWorld, JobLengths, MuxWorld, World
from batchcap.testing import VirtualLoop
from batchcap.transport.api_client import Api
from batchcap.transport.rate_limiter import Bucket

_EPOCH = 1_790_000_000.0


class Course(msgspec.Struct, frozen=True):
    """What is to be rehearsed: `rows` of one provider, rates in requests per second.

    For HeyGen, `account` is how many translations the account holds.
    """

    provider: Literal["mux", "heygen"] = "mux"
    rows: int = 10_000
    rates: Mapping[str, float | None] = msgspec.field(
        default_factory=lambda: documented_rates(PROVIDERS.values())
    )
    lengths: JobLengths = JobLengths()
    account: int = 10_000_000
    latency: float = 0.1
    connections: int = 64
    window: int | None = None
    events_lost: float | None = None
    """Share of Mux's webhook events that never arrive; None: there are no webhooks."""

    def world(self) -> World:
        """The provider in memory, at these limits."""
        if self.provider == "heygen":
            return HeyGenWorld(self.rows, self.account, self.rates["heygen"])
        return MuxWorld(self.lengths, self.rates["mux.write"], self.rates["mux.read"])

    def lower_bound(self) -> float:
        """Seconds below which no run can be: each create exactly at the limit, each end seen."""
        if self.provider == "heygen":
            rate = self.rates["heygen"]
            return self.rows / rate if rate else 0.0
        rate = self.rates["mux.write"]
        starts = 1 / rate if rate else 0.0
        return max(number * starts + self.lengths.of(number) for number in range(self.rows))

    def row(self, number: int) -> Row:
        """One row as a manifest makes it; numbers begin at 1, ids at 0."""
        source_id = f"row-{number - 1}"
        mux = self.provider == "mux"
        return Row(
            number=number,
            key=source_id,
            provider=self.provider,
            source_id=source_id,
            language="es" if mux else None,
            target="es" if mux else "",
            path=source_id,
            params={"track_id": "t"} if mux else {},
        )


class Forecast(msgspec.Struct, frozen=True):
    """How a rehearsal went. Seconds; `waits` from the end of a job to that of its row, sorted."""

    makespan: float
    lower_bound: float
    done: int
    requests: Mapping[str, int]
    worst_second: Mapping[str, int]
    throttled: int
    waits: list[float]

    def requests_per_caption(self) -> float:
        """API requests a caption; files are not counted."""
        return sum(self.requests.values()) / max(1, self.done)

    def wait(self, share: float) -> float:
        """The wait that this share of the captions did not exceed."""
        return self.waits[min(len(self.waits) - 1, int(share * len(self.waits)))]


def rehearse(course: Course) -> Forecast:
    """Run the engine through a course on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_Rehearsal(course).run())


class _Rehearsal:
    def __init__(self, course: Course) -> None:
        self._course, self._world = course, course.world()
        self._metrics, self._memory = Metrics(), Notebook()
        self._buckets: dict[str, Bucket] = {}

    async def run(self) -> Forecast:
        course, began = self._course, _clock()
        books = Books(course.rows, course.row, self._world.ended_at)
        async with AsyncExitStack() as stack:
            provider = await self._provider(stack)
            window = course.window or PROVIDERS[course.provider].window
            lane = Lane(
                provider=provider,
                poller=Poller(provider, self._stop, self._observer, self._memory, window=window),
                downloader=Sink(course.latency),
                stop=self._stop,
                window=window,
            )
            if course.events_lost is not None:
                self._world.on_end = lane.poller.on_webhook
                self._world.events_lost = course.events_lost
            engine = Engine(books, [lane], Policy(), self._observer, _now)
            async with anyio.create_task_group() as group:
                for bucket in self._buckets.values():
                    group.start_soon(bucket.run)
                await engine.run()
                group.cancel_scope.cancel()
        return self._forecast(books, began)

    async def _provider(self, stack: AsyncExitStack) -> Provider:
        course, spec = self._course, PROVIDERS[self._course.provider]
        self._stop, self._observer = Stop(), _observer(self._metrics)
        connections = anyio.Semaphore(course.connections, fast_acquire=True)
        for name in {spec.read, spec.write}:
            self._buckets[name] = Bucket(
                name,
                course.rates[name],
                connections=connections,
                stop=self._stop,
                memory=self._memory,
                observer=self._observer,
                now=_now,
            )
        api = Api(
            WorldSender(self._world, course.latency / 2),
            course.provider,
            read=self._buckets[spec.read],
            write=self._buckets[spec.write],
            stop=self._stop,
            observer=self._observer,
            now=_now,
        )
        await stack.enter_async_context(api)
        settings = spec.configure({}, Settings(out=Path()), sandbox=True)
        return spec.build(ProviderContext(api, settings, self._memory, self._observer, _now))

    def _forecast(self, books: Books, began: float) -> Forecast:
        world = self._world
        worst = {"write": world.writes.worst_second, "read": world.reads.worst_second}
        return Forecast(
            makespan=books.last - began,
            lower_bound=self._course.lower_bound(),
            done=sum(books.states.values()),
            requests={name: self._metrics.requests[name] for name in self._buckets},
            worst_second=worst,
            throttled=self._metrics.throttled,
            waits=sorted(books.waits),
        )


def _observer(metrics: Metrics) -> Observer:
    return metrics


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _now() -> float:
    return _EPOCH + _clock()
