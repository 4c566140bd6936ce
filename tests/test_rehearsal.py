"""Whole runs at the documented limits, in memory: how long, and for how many requests.

The engine, its pacing and its poller are the real ones; the providers are in memory and
count what arrives (`batchcap.simulation`). Limits: Mux 1 POST/s and 5 other requests/s
for each environment (Mux docs), HeyGen 5/s, which nobody publishes.
"""

from __future__ import annotations

import heapq
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchcap.engine.job_durations import JobDurations
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import documented_rates
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.simulation import Course, Forecast, JobLengths, MuxWorld, World, rehearse
from tests.fakes import Notes
from tests.world import ledger_sql, mux_row, run_rows

JOB_TIMEOUT = 7200.0
RATES = documented_rates(PROVIDERS.values())


class Kept(Course, frozen=True):
    """A course whose world can be looked at afterwards."""

    worlds: list[World] = msgspec.field(default_factory=list)

    def world(self) -> World:
        self.worlds.append(super().world())
        return self.worlds[-1]


class Table(JobLengths, frozen=True):
    """Jobs that take these seconds, in turn."""

    table: tuple[float, ...] = ()

    def of(self, number: int) -> float:
        return self.table[number % len(self.table)]


class HalfForever(JobLengths, frozen=True):
    """Every other job never ends."""

    def of(self, number: int) -> float:
        return math.inf if number % 2 else super().of(number)


class Crowd(Kept, frozen=True):
    """An account in which so many jobs of other people run all the time."""

    others: int = 4000

    def world(self) -> World:
        world = super().world()
        assert isinstance(world, MuxWorld)
        world._active |= {f"other-{number}": (-1e9, 1e9) for number in range(self.others)}
        return world


@cache
def documented(provider: Any, account: int = 10_000_000) -> tuple[Forecast, World, Kept]:
    """10,000 rows at the documented limits."""
    course = Kept(provider=provider, account=account)
    return rehearse(course), course.worlds[0], course


def ideal(course: Course) -> float:
    """Seconds that a run takes which sees every end at once, with so many jobs at a time."""
    rate = course.rates["mux.write"]
    window = course.window or PROVIDERS["mux"].window
    free, began, last = [0.0] * min(window, course.rows), -math.inf, 0.0
    for number in range(course.rows):
        began = max(began + (1 / rate if rate else 0.0), heapq.heappop(free))
        ended = began + min(course.lengths.of(number), JOB_TIMEOUT)
        heapq.heappush(free, ended)
        last = max(last, ended)
    return last


def began(course: Course, world: World) -> list[float]:
    """When each create arrived."""
    numbers = range(course.rows)
    return sorted(world.ended_at(f"row-{one}") - course.lengths.of(one) for one in numbers)


def test_10_000_mux_captions_take_no_longer_than_their_creates() -> None:
    forecast, _, _ = documented("mux")
    assert forecast.done == 10_000
    assert forecast.makespan <= 1.02 * forecast.lower_bound


def test_10_000_mux_captions_take_some_two_requests_each() -> None:
    forecast, _, _ = documented("mux")
    assert forecast.requests["mux.write"] == 10_000
    assert forecast.requests_per_caption() <= 2.1


def test_no_limit_of_mux_is_ever_exceeded() -> None:
    forecast, world, _ = documented("mux")
    assert forecast.throttled == world.writes.refused == world.reads.refused == 0
    assert forecast.worst_second["write"] <= 1
    assert forecast.worst_second["read"] <= 5
    assert forecast.requests == {"mux.write": world.writes.count, "mux.read": world.reads.count}


def test_the_quota_for_creates_is_used_as_long_as_rows_wait() -> None:
    _, world, course = documented("mux")
    creates = began(course, world)
    assert len(creates) - 1 >= 0.98 * (creates[-1] - creates[0]) * 1.0


def test_no_caption_of_mux_waits_long_for_being_noticed() -> None:
    forecast, _, _ = documented("mux")
    assert forecast.wait(0.99) <= 60
    assert forecast.waits[-1] <= 90


def test_10_000_heygen_captions_take_one_request_each_and_the_whole_quota() -> None:
    forecast, _, _ = documented("heygen")
    assert forecast.done == 10_000
    assert forecast.requests_per_caption() <= 1.03
    sent = sum(forecast.requests.values())
    assert forecast.makespan <= 1.02 * sent / 5.0
    assert sent >= 0.98 * 5.0 * forecast.makespan


def test_where_the_list_names_most_rows_heygen_captions_take_hardly_a_request() -> None:
    forecast, _, _ = documented("heygen", 12_000)
    assert forecast.done == 10_000
    assert forecast.requests_per_caption() <= 0.05


@pytest.mark.parametrize("account", [10_000_000, 12_000])
def test_no_limit_of_heygen_is_ever_exceeded(account: int) -> None:
    forecast, world, _ = documented("heygen", account)
    assert forecast.throttled == world.reads.refused == 0
    assert max(forecast.worst_second.values()) <= 5


def test_a_rehearsal_can_be_repeated() -> None:
    course = Course(rows=300)
    once, again = rehearse(course), rehearse(course)
    assert once.requests == again.requests
    assert once.makespan == pytest.approx(again.makespan, abs=0.1)


def test_the_world_refuses_what_is_beyond_its_limit() -> None:
    """Else that no limit was exceeded would mean nothing."""

    class Stricter(Course, frozen=True):
        def world(self) -> World:
            return MuxWorld(self.lengths, 1.0, 2.0)

    forecast = rehearse(Stricter(rows=60))
    assert forecast.throttled > 0
    assert forecast.done == 60


# Odd work: each is a kind that might break the sweep.

ODD = {
    "a second each": Kept(rows=1000, lengths=Table(table=(1.0,))),
    "two hours each, almost": Kept(rows=200, lengths=Table(table=(7100.0,))),
    "seconds or half an hour": Kept(rows=500, lengths=Table(table=(10.0, 1800.0))),
    "half never end": Kept(rows=200, lengths=HalfForever()),
    "one straggler": Kept(rows=500, lengths=Table(table=(7000.0, *[20.0] * 499))),
    "one row": Kept(rows=1),
    "one long row": Kept(rows=1, lengths=Table(table=(1800.0,))),
    "a window of ten": Kept(rows=300, window=10),
    "a window of a hundred": Kept(rows=1000, window=100),
    "no quota": Kept(rows=300, rates=dict.fromkeys(RATES)),
    "40 pages of other people's jobs": Crowd(rows=1000),
    "few rows among 40 pages": Crowd(rows=60, window=10),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_work_is_done_nearly_as_fast_as_can_be(name: str) -> None:
    course = ODD[name]
    forecast, best = rehearse(course), ideal(course)
    world = course.worlds[-1]
    assert forecast.done == course.rows
    assert forecast.throttled == 0
    assert forecast.makespan <= 1.1 * best + 60
    assert forecast.waits[-1] <= 130
    if rate := course.rates["mux.read"]:
        settling = 2 * course.rows  # a look for each caption, and a question that found it ended
        assert world.reads.count <= settling + 0.1 * rate * forecast.makespan + 50


def test_a_quota_of_a_read_every_two_seconds_is_used_up_by_links_alone() -> None:
    """It takes 2 s a row for the look that gives the link; asking adds next to nothing."""
    rates = {**RATES, "mux.read": 0.5}
    course = Kept(rows=1000, rates=rates, lengths=Table(table=(60.0,)))
    forecast = rehearse(course)
    assert forecast.done == 1000
    assert course.worlds[0].reads.count <= 1.1 * 1000
    assert forecast.makespan <= 1.1 * 1000 / 0.5


def test_webhooks_of_which_none_is_lost_leave_a_caption_little_more_than_its_create() -> None:
    forecast = rehearse(Course(events_lost=0.0))
    assert forecast.done == 10_000
    assert forecast.requests["mux.write"] == 10_000
    assert forecast.requests_per_caption() <= 1.15


def test_webhooks_of_which_a_tenth_is_lost_delay_no_caption_by_a_minute() -> None:
    forecast = rehearse(Course(events_lost=0.1))
    assert forecast.done == 10_000
    assert forecast.wait(0.99) <= 60
    assert forecast.waits[-1] <= 90


LENGTHS = {
    "usual": JobLengths(),
    "short": Table(table=(1.0, 5.0, 9.0)),
    "long": Table(table=(1800.0, 7100.0)),
}


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 20])
def test_run_of_20_rows_or_fewer_notices_each_end_within_8_seconds(
    rows: int, lengths: JobLengths
) -> None:
    forecast = rehearse(Course(rows=rows, lengths=lengths))
    assert forecast.done == rows
    assert forecast.waits[-1] <= 8


def test_small_window_of_short_jobs_is_not_held_up() -> None:
    unlimited = dict.fromkeys(RATES)
    lengths = Table(table=(0.2,))
    forecast = rehearse(Course(rows=90, window=4, rates=unlimited, lengths=lengths))
    assert forecast.done == 90
    assert forecast.makespan <= 90


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_100_000_mux_captions_are_as_good_as_10_000() -> None:
    course = Kept(rows=100_000)
    forecast = rehearse(course)
    assert forecast.done == 100_000
    assert forecast.makespan <= 1.02 * forecast.lower_bound
    assert forecast.requests_per_caption() <= 2.1
    assert forecast.throttled == 0
    assert forecast.waits[-1] <= 300


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_100_000_heygen_captions_are_as_good_as_10_000() -> None:
    forecast = rehearse(Kept(provider="heygen", rows=100_000))
    assert forecast.done == 100_000
    assert forecast.requests_per_caption() <= 1.03
    assert forecast.throttled == 0


# What a run learns of durations is kept for forecasts.


@pytest.mark.anyio
async def test_the_ledger_keeps_how_long_jobs_took(tmp_path: Path) -> None:
    limits = {"mux.write": 10.0, "mux.read": 20.0, "heygen": 5.0}
    options = SandboxOptions(job_seconds=600.0, job_sigma=0.1, job_seconds_max=900.0)
    async with Sandbox(options) as sandbox:
        for name in ("first", "second"):
            rows = [mux_row(f"{name}-{number}", track_id="t") for number in range(40)]
            await run_rows(sandbox, tmp_path, rows, rates=limits)
    ((kept,),) = ledger_sql(tmp_path, "SELECT value FROM memory WHERE key = 'durations.mux'")
    notes = Notes()
    notes.kept["durations.mux"] = kept
    durations = JobDurations("mux", notes)
    assert sum(json.loads(kept)["es"].values()) == 80
    assert 500 <= (durations.quantile(0.5, "es") or 0) <= 700
    assert 600 <= (durations.quantile(0.95, "es") or 0) <= 900
