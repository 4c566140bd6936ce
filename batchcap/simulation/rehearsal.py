"""Runs a scenario on virtual time, to learn how long it takes and what it requests."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import anyio
import msgspec

from batchcap.domain.models import Row
from batchcap.domain.protocols import Observer, Provider
from batchcap.domain.settings import Settings
from batchcap.domain.shutdown import ShutdownToken
from batchcap.engine import Engine, Lane, Policy, Poller
from batchcap.providers import PROVIDERS, ProviderContext
from batchcap.providers.registry import documented_rates
from batchcap.reports.metrics import Metrics
from batchcap.reports.observers import each
from batchcap.simulation.api_client import InMemorySender
from batchcap.simulation.in_memory import InMemoryLedger, InMemoryStore, NullDownloader
from batchcap.simulation.providers import InMemoryHeyGen, InMemoryMux, InMemoryProvider, JobLengths
from batchcap.testing import VirtualLoop
from batchcap.transport.api_client import Api
from batchcap.transport.rate_limiter import Bucket

_EPOCH = 1_790_000_000.0


class Scenario(msgspec.Struct, frozen=True):
    """A run to simulate: `rows` of one provider. Rates are in requests per second.

    `account` is the number of translations in a HeyGen account. `events_lost` is the share of
    Mux's webhooks that never arrive; None: there are no webhooks. At Mux, the first `running`
    rows have a job already, and `asset_reads` is the share of rows that name no source track
    and read an asset which was not read before.
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
    running: int = 0
    asset_reads: float = 0.0

    def provider_in_memory(self) -> InMemoryProvider:
        """Return the provider in memory, with these limits."""
        if self.provider == "heygen":
            return InMemoryHeyGen(self.rows, self.account, self.rates["heygen"])
        return InMemoryMux(
            self.lengths, self.rates["mux.write"], self.rates["mux.read"], self.running
        )

    def lower_bound(self) -> float:
        """Return the least seconds that a run can take.

        Each create leaves exactly at the limit, and each end is noticed at once.
        """
        if self.provider == "heygen":
            rate = self.rates["heygen"]
            return self.rows / rate if rate else 0.0
        rate = self.rates["mux.write"]
        starts = 1 / rate if rate else 0.0
        return max(number * starts + self.lengths.of(number) for number in range(self.rows))

    def row(self, number: int) -> Row:
        """Return a row as from a manifest. Numbers begin at 1, ids at 0."""
        source_id = f"row-{number - 1}"
        mux = self.provider == "mux"
        reads_asset = math.floor(number * self.asset_reads) > math.floor(
            (number - 1) * self.asset_reads
        )
        return Row(
            number=number,
            key=source_id,
            provider=self.provider,
            source_id=source_id,
            language="es" if mux else None,
            target="es" if mux else "",
            path=source_id,
            params={"track_id": "t"} if mux and not reads_asset else {},
        )


class Result(msgspec.Struct, frozen=True):
    """How a simulated run went.

    `waits` are the seconds from the end of each job to the end of its row, sorted.
    """

    makespan: float
    lower_bound: float
    done: int
    requests: Mapping[str, int]
    worst_second: Mapping[str, int]
    throttled: int
    waits: list[float]

    def requests_per_caption(self) -> float:
        """Return the API requests for each caption, without downloads."""
        return sum(self.requests.values()) / max(1, self.done)

    def wait(self, share: float) -> float:
        """Return the wait that this share of the captions did not exceed."""
        return self.waits[min(len(self.waits) - 1, int(share * len(self.waits)))]


def rehearse(scenario: Scenario, *observers: Observer) -> Result:
    """Run the engine through a scenario on virtual time, with further observers of its events."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_Rehearsal(scenario, observers).run())


class _Rehearsal:
    def __init__(self, scenario: Scenario, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self._scenario, self._simulated = scenario, scenario.provider_in_memory()
        self._metrics, self._store = Metrics(), InMemoryStore()
        self._buckets: dict[str, Bucket] = {}

    async def run(self) -> Result:
        scenario, began = self._scenario, _clock()
        ledger = InMemoryLedger(
            scenario.rows, scenario.row, self._simulated.ended_at, scenario.running
        )
        async with AsyncExitStack() as stack:
            provider = await self._provider(stack)
            window = scenario.window or PROVIDERS[scenario.provider].window
            lane = Lane(
                provider=provider,
                poller=Poller(provider, self._stop, self._observer, self._store, window=window),
                downloader=NullDownloader(scenario.latency),
                stop=self._stop,
                window=window,
            )
            if scenario.events_lost is not None:
                self._simulated.on_end = lane.poller.on_webhook
                self._simulated.events_lost = scenario.events_lost
            engine = Engine(ledger, [lane], Policy(), self._observer, _now)
            async with anyio.create_task_group() as group:
                for bucket in self._buckets.values():
                    group.start_soon(bucket.run)
                await engine.run()
                group.cancel_scope.cancel()
        return self._result(ledger, began)

    async def _provider(self, stack: AsyncExitStack) -> Provider:
        scenario, spec = self._scenario, PROVIDERS[self._scenario.provider]
        self._stop, self._observer = ShutdownToken(), each(self._metrics, *self._observers)
        connections = anyio.Semaphore(scenario.connections, fast_acquire=True)
        for name in {spec.read, spec.write}:
            self._buckets[name] = Bucket(
                name,
                scenario.rates[name],
                connections=connections,
                stop=self._stop,
                memory=self._store,
                observer=self._observer,
                now=_now,
            )
        api = Api(
            InMemorySender(self._simulated, scenario.latency / 2),
            scenario.provider,
            read=self._buckets[spec.read],
            write=self._buckets[spec.write],
            stop=self._stop,
            observer=self._observer,
            now=_now,
        )
        await stack.enter_async_context(api)
        settings = spec.configure({}, Settings(out=Path()), sandbox=True)
        return spec.build(ProviderContext(api, settings, self._store, self._observer, _now))

    def _result(self, ledger: InMemoryLedger, began: float) -> Result:
        writes, reads = self._simulated.writes, self._simulated.reads
        return Result(
            makespan=ledger.last - began,
            lower_bound=self._scenario.lower_bound(),
            done=sum(ledger.states.values()),
            requests={name: self._metrics.requests[name] for name in self._buckets},
            worst_second={"write": writes.worst_second, "read": reads.worst_second},
            throttled=self._metrics.throttled,
            waits=sorted(ledger.waits),
        )


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _now() -> float:
    """Unix seconds of the simulation."""
    return _EPOCH + _clock()
