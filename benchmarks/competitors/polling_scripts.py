"""Two other ways of polling, on virtual time, against the same provider in memory.

The provider counts the requests and refuses those that are above the limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import orjson

from batchcap.simulation import Result, Scenario
from batchcap.testing import VirtualLoop

_POLL_INTERVAL = 5.0  # seconds; of the paced one
_SCRIPT_INTERVAL = 10.0  # seconds; of the plain script
_WORKERS = 64
_MAX_OPEN_JOBS = 1000
_CREATE, _JOB = "/robots/v0/jobs/translate-captions", "/robots/v0/jobs/translate-captions/rjob_"


class Attempt:
    """One run: sends the requests, and notes how long each caption waited for its download."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.provider = scenario, scenario.provider_in_memory()
        self.ids = [f"row-{number}" for number in range(scenario.rows)]
        self.waits: list[float] = []
        self.last = 0.0

    async def request(
        self, method: str, path: str, source_id: str = ""
    ) -> tuple[int, dict[str, str]]:
        """Send one request; return the status and `data` after the scenario's latency."""
        await asyncio.sleep(self.scenario.latency / 2)
        body = {"parameters": {"asset_id": source_id}}
        status, answer = self.provider.answer(method, path, body)
        await asyncio.sleep(self.scenario.latency / 2)
        return status, orjson.loads(answer).get("data", {})

    async def download(self, source_id: str) -> None:
        """Fetch the file, which no quota limits."""
        await asyncio.sleep(self.scenario.latency)
        self.last = _clock()
        self.waits.append(self.last - self.provider.ended_at(source_id))

    def result(self, started: float) -> Result:
        """The figures of the whole run."""
        arrived = {"mux.write": self.provider.writes, "mux.read": self.provider.reads}
        return Result(
            makespan=self.last - started,
            lower_bound=self.scenario.lower_bound(),
            done=len(self.waits),
            requests={name: counter.count + counter.refused for name, counter in arrived.items()},
            worst_second={name: counter.worst_second for name, counter in arrived.items()},
            throttled=sum(counter.refused for counter in arrived.values()),
            waits=sorted(self.waits),
        )


async def poll_each_job(attempt: Attempt) -> None:
    """Poll each open job by itself every 5 s, paced within the limits, as Airbyte's CDK does."""
    write, read = (
        _Pace(attempt.scenario.rates["mux.write"]),
        _Pace(attempt.scenario.rates["mux.read"]),
    )
    open_jobs: list[str] = []
    created = asyncio.Event()

    async def create_all() -> None:
        for source_id in attempt.ids:
            while len(open_jobs) >= _MAX_OPEN_JOBS:  # noqa: ASYNC110  # as such code is written
                await asyncio.sleep(1)
            await write.wait()
            await attempt.request("POST", _CREATE, source_id)
            open_jobs.append(source_id)
        created.set()

    async def poll(source_id: str) -> None:
        _, job = await attempt.request("GET", _JOB + source_id)
        if job["status"] == "completed":
            open_jobs.remove(source_id)
            await attempt.download(source_id)

    async with asyncio.TaskGroup() as group:
        group.create_task(create_all())
        while open_jobs or not created.is_set():
            started, to_poll = _clock(), list(open_jobs)
            async with asyncio.TaskGroup() as polls:
                for source_id in to_poll:
                    await read.wait()
                    polls.create_task(poll(source_id))
            await asyncio.sleep(max(0.0, started + _POLL_INTERVAL - _clock()))


async def plain_script(attempt: Attempt) -> None:
    """64 workers that poll every 10 s, and sleep for a second after each 429."""
    rows = iter(attempt.ids)

    async def request(method: str, path: str, source_id: str = "") -> dict[str, str]:
        while True:
            status, data = await attempt.request(method, path, source_id)
            if status != 429:
                return data
            await asyncio.sleep(1)

    async def worker() -> None:
        for source_id in rows:
            await request("POST", _CREATE, source_id)
            while True:
                await asyncio.sleep(_SCRIPT_INTERVAL)
                job = await request("GET", _JOB + source_id)
                if job["status"] == "completed":
                    break
            await attempt.download(source_id)

    async with asyncio.TaskGroup() as group:
        for _ in range(_WORKERS):
            group.create_task(worker())


def attempt(scenario: Scenario, competitor: Callable[[Attempt], Awaitable[None]]) -> Result:
    """Run a competitor through a scenario on virtual time."""

    async def run() -> Result:
        state, started = Attempt(scenario), _clock()
        await competitor(state)
        return state.result(started)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


class _Pace:
    """Even intervals, a hair longer than the limit's."""

    def __init__(self, rate: float | None) -> None:
        self._interval = 1.0001 / rate if rate else 0.0
        self._next = 0.0

    async def wait(self) -> None:
        self._next = max(self._next + self._interval, _clock())
        await asyncio.sleep(self._next - _clock())


def _clock() -> float:
    return asyncio.get_running_loop().time()
