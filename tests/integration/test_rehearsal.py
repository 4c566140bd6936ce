"""Duration and requests of whole runs at the documented limits, simulated.

Engine, rate limiter and poller are the real ones; the providers are in memory and count
the requests (`batchcap.simulation`). Limits: Mux 1 POST/s and 5 other requests/s
for each environment (Mux docs), HeyGen 5/s, which HeyGen does not publish.
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
from batchcap.simulation import (
    InMemoryMux,
    InMemoryProvider,
    JobLengths,
    Result,
    Scenario,
    rehearse,
)
from batchcap.simulation.in_memory import InMemoryStore
from tests.harness.rows import mux_row
from tests.harness.runs import ledger_sql, run_rows

JOB_TIMEOUT = 7200.0
RATES = documented_rates(PROVIDERS.values())


class Kept(Scenario, frozen=True):
    """A scenario that keeps its providers, for assertions."""

    providers: list[InMemoryProvider] = msgspec.field(default_factory=list)

    def provider_in_memory(self) -> InMemoryProvider:
        self.providers.append(super().provider_in_memory())
        return self.providers[-1]


class Table(JobLengths, frozen=True):
    """Jobs that take the seconds of `table`, in turn."""

    table: tuple[float, ...] = ()

    def of(self, number: int) -> float:
        return self.table[number % len(self.table)]


class HalfForever(JobLengths, frozen=True):
    """Every other job never ends."""

    def of(self, number: int) -> float:
        return math.inf if number % 2 else super().of(number)


class Crowd(Kept, frozen=True):
    """An account with `others` running jobs of other programs."""

    others: int = 4000

    def provider_in_memory(self) -> InMemoryProvider:
        provider = super().provider_in_memory()
        assert isinstance(provider, InMemoryMux)
        provider._active |= {f"other-{number}": (-1e9, 1e9) for number in range(self.others)}
        return provider


@cache
def documented(provider: Any, account: int = 10_000_000) -> tuple[Result, InMemoryProvider, Kept]:
    """10,000 rows at the documented limits."""
    scenario = Kept(provider=provider, account=account)
    return rehearse(scenario), scenario.providers[0], scenario


def ideal(scenario: Scenario) -> float:
    """Return the seconds of a run that notices every end at once, with a window of jobs."""
    rate = scenario.rates["mux.write"]
    window = scenario.window or PROVIDERS["mux"].window
    free, began, last = [0.0] * min(window, scenario.rows), -math.inf, 0.0
    for number in range(scenario.rows):
        began = max(began + (1 / rate if rate else 0.0), heapq.heappop(free))
        ended = began + min(scenario.lengths.of(number), JOB_TIMEOUT)
        heapq.heappush(free, ended)
        last = max(last, ended)
    return last


def began(scenario: Scenario, provider: InMemoryProvider) -> list[float]:
    """Return when each create arrived."""
    numbers = range(scenario.rows)
    return sorted(
        provider.ended_at(f"row-{number}") - scenario.lengths.of(number) for number in numbers
    )


def test_run_of_10_000_mux_rows_takes_no_longer_than_their_creates() -> None:
    result, _, _ = documented("mux")
    assert result.done == 10_000
    assert result.makespan <= 1.02 * result.lower_bound


def test_run_of_10_000_mux_rows_takes_two_requests_each() -> None:
    result, _, _ = documented("mux")
    assert result.requests["mux.write"] == 10_000
    assert result.requests_per_caption() <= 2.1


def test_run_of_10_000_mux_rows_exceeds_no_limit() -> None:
    result, provider, _ = documented("mux")
    assert result.throttled == provider.writes.refused == provider.reads.refused == 0
    assert result.worst_second["write"] <= 1
    assert result.worst_second["read"] <= 5
    assert result.requests == {"mux.write": provider.writes.count, "mux.read": provider.reads.count}


def test_run_of_10_000_mux_rows_uses_the_whole_quota_for_creates() -> None:
    _, provider, scenario = documented("mux")
    creates = began(scenario, provider)
    assert len(creates) - 1 >= 0.98 * (creates[-1] - creates[0]) * 1.0


def test_run_of_10_000_mux_rows_notices_each_end_soon() -> None:
    result, _, _ = documented("mux")
    assert result.wait(0.99) <= 60
    assert result.waits[-1] <= 90


def test_run_of_10_000_heygen_rows_takes_one_request_each_and_the_whole_quota() -> None:
    result, _, _ = documented("heygen")
    assert result.done == 10_000
    assert result.requests_per_caption() <= 1.03
    sent = sum(result.requests.values())
    assert result.makespan <= 1.02 * sent / 5.0
    assert sent >= 0.98 * 5.0 * result.makespan


def test_run_of_10_000_heygen_rows_takes_few_requests_if_the_list_names_them() -> None:
    result, _, _ = documented("heygen", 12_000)
    assert result.done == 10_000
    assert result.requests_per_caption() <= 0.05


@pytest.mark.parametrize("account", [10_000_000, 12_000])
def test_run_of_10_000_heygen_rows_exceeds_no_limit(account: int) -> None:
    result, provider, _ = documented("heygen", account)
    assert result.throttled == provider.reads.refused == 0
    assert max(result.worst_second.values()) <= 5


def test_rehearse_twice_gives_the_same_result() -> None:
    scenario = Scenario(rows=300)
    once, again = rehearse(scenario), rehearse(scenario)
    assert once.requests == again.requests
    assert once.makespan == pytest.approx(again.makespan, abs=0.1)


def test_provider_in_memory_refuses_requests_above_its_limit() -> None:
    """Otherwise the tests that no limit is exceeded would prove nothing."""

    class Stricter(Scenario, frozen=True):
        def provider_in_memory(self) -> InMemoryProvider:
            return InMemoryMux(self.lengths, 1.0, 2.0)

    result = rehearse(Stricter(rows=60))
    assert result.throttled > 0
    assert result.done == 60


# Unusual scenarios, each of a kind that might break the sweep.

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
    "40 pages of other programs' jobs": Crowd(rows=1000),
    "few rows among 40 pages": Crowd(rows=60, window=10),
}


@pytest.mark.parametrize("name", ODD)
def test_run_of_unusual_jobs_is_nearly_as_fast_as_possible(name: str) -> None:
    scenario = ODD[name]
    result, best = rehearse(scenario), ideal(scenario)
    provider = scenario.providers[-1]
    assert result.done == scenario.rows
    assert result.throttled == 0
    assert result.makespan <= 1.1 * best + 60
    assert result.waits[-1] <= 130
    if rate := scenario.rates["mux.read"]:
        settling = 2 * scenario.rows  # for each caption, a poll that finds it ended, and its link
        assert provider.reads.count <= settling + 0.1 * rate * result.makespan + 50


def test_run_with_tiny_read_quota_spends_it_on_links() -> None:
    """The request for the link takes 2 s a row; polling adds next to nothing."""
    rates = {**RATES, "mux.read": 0.5}
    scenario = Kept(rows=1000, rates=rates, lengths=Table(table=(60.0,)))
    result = rehearse(scenario)
    assert result.done == 1000
    assert scenario.providers[0].reads.count <= 1.1 * 1000
    assert result.makespan <= 1.1 * 1000 / 0.5


def test_run_with_all_webhooks_takes_little_more_than_its_creates() -> None:
    result = rehearse(Scenario(events_lost=0.0))
    assert result.done == 10_000
    assert result.requests["mux.write"] == 10_000
    assert result.requests_per_caption() <= 1.15


def test_run_with_a_tenth_of_webhooks_lost_notices_each_end_soon() -> None:
    result = rehearse(Scenario(rows=3000, events_lost=0.1))
    assert result.done == 3000
    assert result.wait(0.99) <= 60
    assert result.waits[-1] <= 90


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
    result = rehearse(Scenario(rows=rows, lengths=lengths))
    assert result.done == rows
    assert result.waits[-1] <= 8


def test_run_with_small_window_of_short_jobs_is_not_held_up() -> None:
    unlimited = dict.fromkeys(RATES)
    lengths = Table(table=(0.2,))
    result = rehearse(Scenario(rows=90, window=4, rates=unlimited, lengths=lengths))
    assert result.done == 90
    assert result.makespan <= 90


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_run_of_100_000_mux_rows_is_as_good_as_10_000() -> None:
    scenario = Kept(rows=100_000)
    result = rehearse(scenario)
    assert result.done == 100_000
    assert result.makespan <= 1.02 * result.lower_bound
    assert result.requests_per_caption() <= 2.1
    assert result.throttled == 0
    assert result.waits[-1] <= 300


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_run_of_100_000_heygen_rows_is_as_good_as_10_000() -> None:
    result = rehearse(Kept(provider="heygen", rows=100_000))
    assert result.done == 100_000
    assert result.requests_per_caption() <= 1.03
    assert result.throttled == 0


# The ledger keeps durations for forecasts.


@pytest.mark.anyio
async def test_run_records_durations_of_jobs_in_the_ledger(tmp_path: Path) -> None:
    limits = {"mux.write": 10.0, "mux.read": 20.0, "heygen": 5.0}
    options = SandboxOptions(job_seconds=600.0, job_sigma=0.1, job_seconds_max=900.0)
    async with Sandbox(options) as sandbox:
        for name in ("first", "second"):
            rows = [mux_row(f"{name}-{number}", track_id="t") for number in range(40)]
            await run_rows(sandbox, tmp_path, rows, rates=limits)
    ((stored,),) = ledger_sql(tmp_path, "SELECT value FROM memory WHERE key = 'durations.mux'")
    notes = InMemoryStore()
    notes.values["durations.mux"] = stored
    durations = JobDurations("mux", notes)
    assert sum(json.loads(stored)["es"].values()) == 80
    assert 500 <= (durations.quantile(0.5, "es") or 0) <= 700
    assert 600 <= (durations.quantile(0.95, "es") or 0) <= 900
