"""The time left, against jobs whose ends are known."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from statistics import median

import msgspec
import pytest

from batchcap.domain.events import Event
from batchcap.domain.models import Totals
from batchcap.reports.eta import Survival, time_left
from batchcap.reports.lane_progress import Outlook
from batchcap.reports.tracker import RunTracker
from batchcap.sandbox import SandboxOptions
from batchcap.simulation import JobLengths, Scenario, rehearse
from tests.harness.clock import EPOCH, clock


def test_survival_is_the_share_that_takes_longer() -> None:
    jobs = Survival(dict.fromkeys(map(float, range(1, 101)), 1.0), [])
    assert jobs.share(0) == 1
    assert jobs.share(25) == pytest.approx(0.75)
    assert jobs.share(99) == pytest.approx(0.01)
    assert jobs.area(100) == pytest.approx(50, abs=0.6)


def test_survival_counts_the_open_jobs_too() -> None:
    """Without them, a run that is 100 s old would take all jobs for shorter than that."""
    lengths = [random.Random(number).uniform(1, 300) for number in range(2000)]
    ended = [length for length in lengths if length < 100]
    open_ = [100.0] * (len(lengths) - len(ended))
    jobs = Survival(dict.fromkeys(ended, 1.0), open_)
    assert jobs.share(90) == pytest.approx(0.7, abs=0.03)
    assert Survival(dict.fromkeys(ended, 1.0), []).share(90) < 0.2


def test_time_left_is_the_median_of_the_last_end() -> None:
    chance = random.Random(1)  # no secret
    ended = {float(second): 1.0 for second in range(1, 301)}
    ages = [float(age) for age in range(5, 200, 5)]
    last = [max(chance.uniform(age, 300) - age for age in ages) for _ in range(400)]
    left = time_left(0, None, ages, Survival(ended, []))
    assert left == pytest.approx(median(last), rel=0.05)


def test_time_left_adds_the_jobs_that_are_still_to_be_created() -> None:
    jobs = Survival({60.0: 100.0}, [])
    assert time_left(1000, 2.0, [10.0], jobs) == pytest.approx(560, rel=0.02)


def test_time_left_without_a_pace_is_refused() -> None:
    with pytest.raises(ValueError, match="without a pace"):
        time_left(1, None, [], Survival({60.0: 1.0}, []))


def test_time_left_of_a_job_that_is_older_than_all_others_is_finite() -> None:
    assert 0 < time_left(0, None, [5000.0], Survival({60.0: 100.0}, [5000.0])) < 5000


class Checks:
    """An observer that compares the time left with what it turns out to be."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._shown: list[tuple[float, float | None]] = []
        self._tracker: RunTracker | None = None

    def __call__(self, event: Event) -> None:
        if self._tracker is None:
            self._tracker = _tracker(self._scenario)
            self._sampling = asyncio.ensure_future(self._sample(self._tracker))
        self._tracker(event)
        self._ended = clock()

    async def _sample(self, tracker: RunTracker) -> None:
        while True:
            ends_at = tracker.snapshot().ends_at
            self._shown.append((clock(), None if ends_at is None else ends_at - EPOCH))
            await asyncio.sleep(5)

    def errors(self, until: float = math.inf) -> list[float]:
        """Return each error as a multiple of what is allowed, after the first 5 % of the run.

        Only the first `until` seconds count.
        """
        first = self._shown[0][0]
        after = first + 0.05 * (self._ended - first)
        return [
            abs(ends - self._ended) / max(30.0, 0.15 * (self._ended - at)) if ends else 99.0
            for at, ends in self._shown
            if after <= at <= min(self._ended, first + until)
        ]

    def jumps(self) -> int:
        """Return how often the time left changed by half or more, and by 30 s."""
        left = [ends - at for at, ends in self._shown if ends]
        return sum(abs(new - old) > max(30.0, old / 2) for old, new in itertools.pairwise(left))


def _tracker(scenario: Scenario) -> RunTracker:
    name, rows = scenario.provider, scenario.rows
    quantiles = [scenario.lengths.quantile((number + 0.5) / 20) for number in range(20)]
    outlook = Outlook(
        pending=rows,
        bucket="mux.write" if name == "mux" else "heygen",
        creates_jobs=name == "mux",
        read_bucket="mux.read" if name == "mux" else "heygen",
        reads=1.1 if name == "mux" else 1.0,
        lengths=dict.fromkeys(quantiles, 1.0),
        notice=20.0 if name == "mux" else 0.0,
    )
    before = Totals(total=rows, by_provider={name: {"pending": rows}})
    return RunTracker(before, {name: outlook}, lambda: EPOCH + clock())


def checked(**values: object) -> Checks:
    scenario = msgspec.convert(values, Scenario)
    checks = Checks(scenario)
    rehearse(scenario, checks)
    return checks


@pytest.mark.parametrize("seed", range(3))
def test_time_left_of_heygen_rows_is_within_15_percent_all_the_time(seed: int) -> None:
    checks = checked(provider="heygen", rows=2000 + seed)
    assert max(checks.errors()) <= 1
    assert checks.jumps() == 0


def test_time_left_of_mux_rows_with_short_jobs_is_within_15_percent_to_the_end() -> None:
    """Jobs as long as the sandbox's: it is the quota that decides."""
    sandbox, passed = SandboxOptions(), 0
    for seed in range(10):
        lengths = JobLengths(
            sandbox.job_seconds, sandbox.job_sigma, sandbox.job_seconds_max, seed=seed
        )
        checks = checked(rows=600, lengths=msgspec.to_builtins(lengths))
        passed += max(checks.errors()) <= 1
        assert checks.jumps() == 0
    assert passed >= 9


def test_time_left_of_mux_rows_is_within_15_percent_until_a_minute_before_the_last_create() -> None:
    """After that it is the median of what the last jobs may take, which nobody can know."""
    rows, passed = 1000, 0  # one a second
    for seed in range(10):
        lengths = JobLengths(median=60.0, sigma=0.2, seed=seed)
        checks = checked(rows=rows, lengths=msgspec.to_builtins(lengths))
        passed += max(checks.errors(until=rows - 60.0)) <= 1
        assert max(checks.errors()) <= 3
        assert checks.jumps() == 0
    assert passed >= 9
