"""Quota and makespan on virtual time: batchcap beside what people do without it.

All contenders work against the same provider in memory, which counts what arrives and
refuses what is over the limit. batchcap's part is its real engine.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import orjson

from batchcap.rehearsal import Course, Forecast, JobLengths, World, rehearse
from batchcap.virtual import VirtualLoop

_EVERY = 5.0
_PATIENCE = 10.0
_WORKERS = 64
_OPEN = 1000
_CREATE, _JOB = "/robots/v0/jobs/translate-captions", "/robots/v0/jobs/translate-captions/rjob_"

Contender = Callable[["Attempt"], Awaitable[None]]


class Attempt:
    """One contender's way through a course: its requests, and when each caption was there."""

    def __init__(self, course: Course) -> None:
        self.course, self.world = course, course.world()
        self.ids = [f"row-{number}" for number in range(course.rows)]
        self.waits: list[float] = []
        self.last = 0.0

    async def ask(self, method: str, path: str, source_id: str = "") -> tuple[int, dict[str, str]]:
        """One request with its way there and back; the status and `data`."""
        await asyncio.sleep(self.course.latency / 2)
        body = {"parameters": {"asset_id": source_id}}
        status, said = self.world.answer(method, path, body)
        await asyncio.sleep(self.course.latency / 2)
        return status, orjson.loads(said).get("data", {})

    async def fetch(self, source_id: str) -> None:
        """The file, which no quota limits."""
        await asyncio.sleep(self.course.latency)
        self.last = _clock()
        self.waits.append(self.last - self.world.ended_at(source_id))


async def every_job_every_5_s(attempt: Attempt) -> None:
    """As Airbyte's async jobs do: paced within the limits, each open job asked by itself."""
    write, read = _Pace(attempt.course.rates["mux.write"]), _Pace(attempt.course.rates["mux.read"])
    following: list[str] = []
    created = asyncio.Event()

    async def create() -> None:
        for source_id in attempt.ids:
            while len(following) >= _OPEN:  # noqa: ASYNC110  # a contender as it is found
                await asyncio.sleep(1)
            await write.turn()
            await attempt.ask("POST", _CREATE, source_id)
            following.append(source_id)
        created.set()

    async def look(source_id: str) -> None:
        _, job = await attempt.ask("GET", _JOB + source_id)
        if job["status"] == "completed":
            following.remove(source_id)
            await attempt.fetch(source_id)

    async with asyncio.TaskGroup() as group:
        group.create_task(create())
        while following or not created.is_set():
            began, round_of = _clock(), list(following)
            async with asyncio.TaskGroup() as looks:
                for source_id in round_of:
                    await read.turn()
                    looks.create_task(look(source_id))
            await asyncio.sleep(max(0.0, began + _EVERY - _clock()))


async def plain_script(attempt: Attempt) -> None:
    """64 workers, a look every 10 s, and a second's sleep after each 429."""
    rows = iter(attempt.ids)

    async def insist(method: str, path: str, source_id: str = "") -> dict[str, str]:
        while True:
            status, data = await attempt.ask(method, path, source_id)
            if status != 429:
                return data
            await asyncio.sleep(1)

    async def work() -> None:
        for source_id in rows:
            await insist("POST", _CREATE, source_id)
            while True:
                await asyncio.sleep(_PATIENCE)
                job = await insist("GET", _JOB + source_id)
                if job["status"] == "completed":
                    break
            await attempt.fetch(source_id)

    async with asyncio.TaskGroup() as group:
        for _ in range(_WORKERS):
            group.create_task(work())


class _Pace:
    """Turns at an even pace, a hair below the limit."""

    def __init__(self, rate: float | None) -> None:
        self._step = 1.0001 / rate if rate else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        self._next = max(self._next + self._step, _clock())
        await asyncio.sleep(self._next - _clock())


def attempted(course: Course, contender: Contender) -> Forecast:
    """Run one of the other contenders through a course."""

    async def run() -> Forecast:
        attempt, began = Attempt(course), _clock()
        await contender(attempt)
        return _forecast(attempt, began)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


def _forecast(attempt: Attempt, began: float) -> Forecast:
    world: World = attempt.world
    arrived = {"mux.write": world.writes, "mux.read": world.reads}
    return Forecast(
        makespan=attempt.last - began,
        lower_bound=attempt.course.lower_bound(),
        done=len(attempt.waits),
        requests={name: one.count + one.refused for name, one in arrived.items()},
        worst_second={name: one.worst_second for name, one in arrived.items()},
        throttled=sum(one.refused for one in arrived.values()),
        waits=sorted(attempt.waits),
    )


def main(argv: Sequence[str]) -> int:
    """Print the tables for Mux and HeyGen."""
    given = _parser().parse_args(argv)
    lengths = JobLengths(given.median, given.sigma, given.longest, given.seed)
    rates = {
        "mux.write": given.write_rate,
        "mux.read": given.read_rate,
        "heygen": given.heygen_rate,
    }
    for rows in given.rows:
        mux = Course(rows=rows, rates=rates, lengths=lengths, latency=given.latency)
        _head(f"Mux, {rows:,} captions, {given.write_rate:g} POST/s and {given.read_rate:g} GET/s")
        _line("batchcap", partial(rehearse, mux))
        if not given.only:
            _line("every job every 5 s", partial(attempted, mux, every_job_every_5_s))
            _line("plain script", partial(attempted, mux, plain_script))
        _head(f"HeyGen v3, {rows:,} finished ids, {given.heygen_rate:g} requests/s")
        for account, what in ((1000 * rows, "foreign account"), (rows * 6 // 5, "own account")):
            course = Course(
                provider="heygen", rows=rows, rates=rates, account=account, latency=given.latency
            )
            _line(f"batchcap, {what}", partial(rehearse, course))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks simulate", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000])
    parser.add_argument("--write-rate", type=float, default=1.0, help="Mux POSTs a second")
    parser.add_argument("--read-rate", type=float, default=5.0, help="Mux GETs a second")
    parser.add_argument("--heygen-rate", type=float, default=5.0)
    parser.add_argument("--median", type=float, default=180.0, help="seconds that a job takes")
    parser.add_argument("--sigma", type=float, default=0.75, help="of its logarithm")
    parser.add_argument("--longest", type=float, default=1800.0)
    parser.add_argument("--latency", type=float, default=0.1, help="seconds of a request")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="store_true", help="batchcap alone")
    return parser


def _clock() -> float:
    return asyncio.get_running_loop().time()


_COLUMNS = (
    *("makespan s", "of the bound", "requests a caption", "429", "worst s (write/read)"),
    *("wait p50 s", "p99 s", "CPU s"),
)


def _head(title: str) -> None:
    print(f"\n{title}\n")
    print("| | " + " | ".join(_COLUMNS) + " |")
    print("| --- |" + " --: |" * len(_COLUMNS))


def _line(name: str, run: Callable[[], Forecast]) -> None:
    began = time.process_time()
    one = run()
    cells = (
        f"{one.makespan:,.0f}",
        f"{one.makespan / one.lower_bound:.3f}" if one.lower_bound else "-",
        f"{one.requests_per_caption():.3f}",
        f"{one.throttled:,}",
        "/".join(str(count) for count in one.worst_second.values()),
        *((f"{one.wait(share):,.0f}") for share in (0.5, 0.99)),
        f"{time.process_time() - began:.1f}",
    )
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
