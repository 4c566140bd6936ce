"""Running quantiles of how long jobs took."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.engine.job_durations import JobDurations
from batchcap.simulation.in_memory import InMemoryStore


def make_durations(notes: InMemoryStore | None = None) -> JobDurations:
    return JobDurations("mux", notes or InMemoryStore())


def test_job_durations_without_jobs_have_no_quantile() -> None:
    assert make_durations().quantile(0.5) is None
    assert make_durations().quantile(0.95, "es") is None


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_job_durations_quantile_is_accurate_to_a_few_percent(share: float) -> None:
    chance, durations = random.Random(7), make_durations()
    taken = sorted(chance.lognormvariate(math.log(180), 0.75) for _ in range(1500))
    for seconds in taken:
        durations.add("es", seconds)
    expected = taken[int(share * len(taken))]
    assert durations.quantile(share, "es") == pytest.approx(expected, rel=0.1)


def test_job_durations_of_an_unknown_class_are_those_of_all_jobs() -> None:
    durations = make_durations()
    for _ in range(10):
        durations.add("es", 10.0)
        durations.add("ja", 1000.0)
        durations.add("ja", 1000.0)
    assert durations.quantile(0.5, "es") == pytest.approx(10, rel=0.1)
    assert durations.quantile(0.5, "ja") == pytest.approx(1000, rel=0.1)
    assert durations.quantile(0.5, "de") == pytest.approx(1000, rel=0.1)


def test_job_durations_follow_a_provider_that_changes() -> None:
    durations = make_durations()
    for _ in range(2000):
        durations.add("", 10.0)
    for _ in range(3000):
        durations.add("", 100.0)
    assert durations.quantile(0.5) == pytest.approx(100, rel=0.1)


def test_job_durations_are_kept_from_run_to_run() -> None:
    notes = InMemoryStore()
    first = make_durations(notes)
    for _ in range(7):
        first.add("es", 300.0)
    assert notes.values == {}
    first.save()
    assert list(notes.values) == ["durations.mux"]
    assert make_durations(notes).quantile(0.5, "es") == pytest.approx(300, rel=0.1)


def test_job_durations_are_saved_periodically() -> None:
    notes = InMemoryStore()
    durations = make_durations(notes)
    for _ in range(60):
        durations.add("es", 300.0)
    assert make_durations(notes).quantile(0.5) is not None


def test_job_durations_of_ten_thousand_classes_stay_small() -> None:
    notes = InMemoryStore()
    durations = make_durations(notes)
    for number in range(10_000):
        durations.add(f"x-{number}", 60.0)
    durations.save()
    assert len(json.loads(notes.values["durations.mux"])) <= 500
    assert durations.quantile(0.5, "x-9999") == pytest.approx(60, rel=0.1)


KEPT = [
    "",
    "no JSON",
    "[]",
    "null",
    '{"es": [3, 4.1, 0.2]}',
    '{"es": {"x": 1}}',
    '{"es": {"1": -1}}',
    '{"es": {"1": 1e99}}',
    '{"es": {"99999": 1}}',
    '{"es": {"1": "1"}}',
]


@pytest.mark.parametrize("stored", KEPT)
def test_job_durations_that_cannot_be_read_are_forgotten(stored: str) -> None:
    notes = InMemoryStore()
    notes.values["durations.mux"] = stored
    durations = make_durations(notes)
    assert durations.quantile(0.5, "es") is None
    durations.add("es", 5.0)
    assert durations.quantile(0.5, "es") == pytest.approx(5, rel=0.1)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=50))
def test_job_durations_of_any_length_give_bounded_quantiles(taken: list[float]) -> None:
    notes = InMemoryStore()
    durations = make_durations(notes)
    for seconds in taken:
        durations.add("es", seconds)
    low, high = durations.quantile(0.5), durations.quantile(0.95)
    assert low is not None
    assert high is not None
    assert 0.4 < low <= high < 1.1e7
    durations.save()
    assert make_durations(notes).quantile(0.5) == low
