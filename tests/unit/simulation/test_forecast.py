"""The time and the requests that a plan promises, against simulated runs with other job lengths.

The truth is the real engine on virtual time, with lengths that the forecast does not know.
"""

from __future__ import annotations

import random

import pytest

from batchcap.simulation import JobLengths, Scenario, rehearse
from batchcap.simulation.forecast import Forecast, LaneWork, forecast

RATES = {"mux.write": 1.0, "mux.read": 5.0}


class Gamma(JobLengths, frozen=True):
    """Lengths of another shape: never very short, and with a tail that ends early."""

    def of(self, number: int) -> float:
        return min(20 + random.Random(f"{self.seed}/{number}").gammavariate(1.6, 110), self.longest)


class TwoKinds(JobLengths, frozen=True):
    """Most videos are short, and one in eight is a film."""

    def of(self, number: int) -> float:
        chance = random.Random(f"{self.seed}/{number}")
        is_film = chance.random() < 0.125
        return chance.uniform(500, 1500) if is_film else chance.uniform(40, 240)


def lane(rows: int, **changes: object) -> LaneWork:
    fields = {
        "provider": "mux",
        "rows": rows,
        "creates": rows,
        "with_job": 0,
        "source_reads": 0,
        "rates": RATES,
        "window": 1000,
        "lengths": JobLengths(),
    }
    return LaneWork(**{**fields, **changes})  # type: ignore[arg-type]  # fields by name


def true_seconds(lengths: JobLengths, rows: int, window: int = 1000) -> float:
    return rehearse(Scenario(rows=rows, lengths=lengths, window=window)).makespan


def outside(expected: Forecast, truths: list[float]) -> list[float]:
    seconds = expected.seconds
    return [truth for truth in truths if not seconds.low <= truth <= seconds.high]


@pytest.mark.parametrize("lengths", [Gamma, TwoKinds])
@pytest.mark.parametrize("rows", [1, 20])
def test_forecast_of_few_rows_holds_for_other_job_lengths(
    lengths: type[JobLengths], rows: int
) -> None:
    truths = [true_seconds(lengths(seed=seed), rows) for seed in range(20)]
    assert len(outside(forecast([lane(rows)]), truths)) <= 1


def test_forecast_if_the_window_binds_holds_for_other_job_lengths() -> None:
    truths = [true_seconds(Gamma(seed=seed), 120, window=20) for seed in range(5)]
    expected = forecast([lane(120, window=20)])
    assert expected.limit == "window"
    assert expected.bottleneck is None
    assert outside(expected, truths) == []


def test_forecast_scales_rows_that_it_does_not_simulate() -> None:
    whole, scaled = forecast([lane(900)]), forecast([lane(900)], most_rows=300)
    assert scaled.is_scaled
    assert not whole.is_scaled
    assert scaled.simulated == 300
    assert scaled.requests["mux.write"] == 900
    assert scaled.seconds.likely == pytest.approx(whole.seconds.likely, rel=0.1)


def test_forecast_of_a_million_rows_is_the_quota_and_names_it() -> None:
    expected = forecast([lane(1_000_000)], most_rows=300)
    assert expected.seconds.likely == pytest.approx(1_000_000, rel=0.01)
    assert expected.bottleneck == "mux.write"


def test_forecast_is_the_same_each_time() -> None:
    assert forecast([lane(50)]) == forecast([lane(50)])


def test_forecast_counts_reads_of_sources_and_jobs_that_exist() -> None:
    plain, reading = forecast([lane(60)]), forecast([lane(60, source_reads=60)])
    assert reading.requests["mux.read"] >= plain.requests["mux.read"] + 50
    resumed = forecast([lane(60, creates=20, with_job=40)])
    assert resumed.requests["mux.write"] == 20


def test_forecast_of_two_providers_takes_as_long_as_the_slower_one() -> None:
    heygen = lane(400, provider="heygen", creates=0, rates={"heygen": 5.0}, window=2000)
    both, mux = forecast([heygen, lane(30)]), forecast([lane(30)])
    assert both.seconds.likely == mux.seconds.likely
    assert both.requests["heygen"] >= 400
    assert forecast([heygen]).bottleneck == "heygen"


def test_forecast_of_a_provider_that_is_not_simulated_assumes_a_request_a_row() -> None:
    expected = forecast([lane(90, provider="other", rates={"other": 3.0}, creates=0)])
    assert expected.requests == {"other": 90}
    assert expected.seconds.likely == pytest.approx(30)


def test_forecast_of_nothing_takes_no_time() -> None:
    assert forecast([]).seconds.high == 0


@pytest.mark.nightly
@pytest.mark.parametrize("lengths", [Gamma, TwoKinds])
@pytest.mark.parametrize(("rows", "window"), [(200, 1000), (3000, 1000), (1000, 50), (9000, 1000)])
def test_forecast_holds_in_19_of_20_runs_with_other_job_lengths(
    lengths: type[JobLengths], rows: int, window: int
) -> None:
    truths = [true_seconds(lengths(seed=seed), rows, window) for seed in range(20)]
    expected = forecast([lane(rows, window=window)])
    assert len(outside(expected, truths)) <= 1
    if rows * 1.0 >= 0.8 * expected.seconds.likely:  # the quota binds: the last jobs matter little
        assert expected.bottleneck == "mux.write"
        for truth in truths:
            assert truth == pytest.approx(expected.seconds.likely, rel=0.1)
