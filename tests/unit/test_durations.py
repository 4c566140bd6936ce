"""How long jobs take, learned from those that ended, and kept from run to run."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from statistics import fmean, pstdev

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.durations import Durations, Law, kind
from tests.fakes import Notes

KEY = "durations.mux"


def taught(kind: tuple[str, ...], times: list[float], notes: Notes | None = None) -> Durations:
    made = Durations("mux", notes or Notes())
    for seconds in times:
        made.learn(kind, seconds)
    return made


def drawn(count: int, median: float, sigma: float, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    return [chance.lognormvariate(math.log(median), sigma) for _ in range(count)]


def median(made: Durations, *kind: str) -> float:
    return math.exp(made.law(kind).mu)


laws = st.builds(Law, st.floats(-0.7, 16.0), st.floats(0.15, 5.0))
seconds = st.floats(0.0, 1e7)


@given(laws, seconds, seconds, seconds)
def test_an_end_becomes_ever_more_likely_with_age(
    law: Law, seen: float, one: float, other: float
) -> None:
    earlier, later = (law.ended(age, seen) for age in sorted([one, other]))
    assert 0.0 <= earlier <= 1.0
    assert 0.0 <= later <= 1.0
    assert earlier <= later + 1e-12  # floating point rounds


@given(laws, seconds, st.floats(0.01, 1e6))
def test_no_straggler_is_ever_taken_to_run_for_certain(law: Law, seen: float, more: float) -> None:
    if seen > 0:
        assert law.ended(seen + more, seen) >= 0.19 * more / (seen + more) > 0.0


@given(laws, seconds, seconds)
def test_a_job_runs_as_long_as_it_was_seen_running(law: Law, age: float, later: float) -> None:
    assert law.ended(age, age + later) == 0.0


def test_half_of_all_jobs_end_before_the_median() -> None:
    law = Law(math.log(180.0), 0.75)
    assert law.ended(180.0) == pytest.approx(0.5)
    assert law.ended(180.0 * math.exp(0.75)) == pytest.approx(0.841, abs=0.001)
    assert law.ended(law.nearly_all) == pytest.approx(0.999, abs=1e-4)


def test_what_is_known_to_have_run_for_long_has_ended_less_likely() -> None:
    law = Law(math.log(180.0), 0.75)
    chances = [law.ended(200.0, seen) for seen in (0.0, 50.0, 150.0, 190.0)]
    assert all(earlier > later for earlier, later in pairwise(chances))


def test_before_anything_was_learned_a_minute_is_guessed_give_or_take() -> None:
    made = Durations("mux", Notes())
    assert median(made) == pytest.approx(60.0)
    assert median(made, "es", "8m") == pytest.approx(60.0)
    assert made.law(()).sigma >= 1.0


@pytest.mark.parametrize(("middle", "sigma"), [(5.0, 0.3), (180.0, 0.75), (4000.0, 1.2)])
def test_median_and_spread_are_learned(middle: float, sigma: float) -> None:
    times = drawn(1500, middle, sigma)
    law = taught(("es",), times).law(("es",))
    logs = [math.log(time) for time in times]
    assert law.mu == pytest.approx(fmean(logs), abs=0.03)
    assert law.sigma == pytest.approx(pstdev(logs), rel=0.1)


def test_jobs_that_all_take_the_same_leave_some_doubt() -> None:
    law = taught((), [100.0] * 5000).law(())
    assert math.exp(law.mu) == pytest.approx(100.0, rel=0.01)
    assert law.sigma >= 0.15


def test_a_kind_without_jobs_is_like_its_parent() -> None:
    made = taught(("es", "8m"), [500.0] * 50)
    assert median(made, "es", "16m") == pytest.approx(median(made, "es"), rel=0.01)
    assert median(made, "pt") == pytest.approx(median(made), rel=0.01)


def test_one_odd_job_makes_no_forecast() -> None:
    made = taught(("es",), [100.0] * 200)
    made.learn(("pt",), 10_000.0)
    assert median(made, "pt") < 250.0


def test_many_jobs_of_a_kind_speak_for_themselves() -> None:
    made = taught(("es",), [100.0] * 200)
    for _ in range(200):
        made.learn(("pt",), 2000.0)
    assert median(made, "pt") == pytest.approx(2000.0, rel=0.1)
    assert median(made, "es") == pytest.approx(100.0, rel=0.1)
    assert 100.0 < median(made) < 2000.0


def test_older_observations_fade() -> None:
    made = taught((), [100.0] * 20_000)
    for _ in range(5000):
        made.learn((), 1000.0)
    assert median(made) > 700.0


def test_what_was_learned_survives() -> None:
    notes = Notes()
    made = taught(("es", "8m"), drawn(100, 300.0, 0.5), notes)
    made.save()
    again = Durations("mux", notes)
    for one in [(), ("es",), ("es", "8m"), ("pt",)]:
        assert again.law(one).mu == pytest.approx(made.law(one).mu)
        assert again.law(one).sigma == pytest.approx(made.law(one).sigma)
    assert median(Durations("heygen", notes)) == pytest.approx(60.0)


def test_it_is_kept_now_and_then_without_being_asked_to() -> None:
    notes = Notes()
    taught(("es",), [500.0] * 100, notes)
    assert median(Durations("mux", notes), "es") > 400.0


def test_nothing_is_noted_where_nothing_was_learned() -> None:
    notes = Notes()
    taught((), [1.0], notes).save()
    first = notes.kept.pop(KEY)
    Durations("mux", notes).save()
    assert first
    assert notes.kept == {}


GARBAGE = [
    "",
    "null",
    "[]",
    "3",
    '"x"',
    "{",
    '{"": 1}',
    '{"": null}',
    '{"": []}',
    '{"": ["a", "b", "c"]}',
    '{"": [1, 2, 3, 4]}',
    '{"": [[1], 2, 3]}',
    '{"": [-6, 0, 0]}',
    '{"": [1, 0, -1000]}',
    '{"": [1e300, 1e300, 1e300]}',
    '{"": [1, 2000, 0]}',
    '{"": [1, 0, 1e9]}',
    '{"": [1, 1e999, 0]}',
    '{"": [NaN, 0, 0]}',
    "\x00\ud800",
]


def usable(made: Durations) -> None:
    for one in [(), ("es",), ("es", "8m")]:
        law = made.law(one)
        assert math.isfinite(law.mu)
        assert law.sigma > 0
        assert 0 < law.nearly_all < math.inf
        assert 0.0 <= law.ended(100.0, 50.0) <= 1.0


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_in_the_memory_is_as_good_as_nothing(garbage: str) -> None:
    notes = Notes()
    notes.set(KEY, garbage)
    made = Durations("mux", notes)
    usable(made)
    assert median(made) == pytest.approx(60.0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
SEEN = st.dictionaries(
    st.sampled_from(["", "es", "es/8m"]), st.lists(st.floats(allow_nan=False), max_size=4)
)


@given(JSON | SEEN)
def test_whatever_the_memory_holds_there_is_a_forecast(kept: object) -> None:
    notes = Notes()
    notes.set(KEY, orjson.dumps(kept).decode())
    made = Durations("mux", notes)
    usable(made)
    for seconds in (1.0, 100.0):
        made.learn(("es", "8m"), seconds)
    made.save()
    usable(made)
    usable(Durations("mux", notes))


@given(st.lists(st.floats(0.0, 1e300), max_size=50))
def test_whatever_a_provider_says_that_jobs_took_there_is_a_forecast(times: list[float]) -> None:
    usable(taught(("es", "8m"), times))


def test_of_the_memory_a_thousand_kinds_are_the_most() -> None:
    notes = Notes()
    made = Durations("mux", notes)
    for number in range(3000):
        made.learn((f"l{number}", "8m"), 100.0)
    made.save()
    assert len(orjson.loads(notes.kept[KEY])) == 1000
    assert len(notes.kept[KEY]) < 100_000
    assert median(made, "l2999", "8m") == pytest.approx(100.0, rel=0.05)


@pytest.mark.parametrize(
    ("language", "length", "expected"),
    [
        ("es", None, ("es",)),
        ("es", 0.0, ("es",)),
        ("es", 20.0, ("es", "1m")),
        ("es", 60.0, ("es", "1m")),
        ("es", 61.0, ("es", "2m")),
        ("es", 481.0, ("es", "16m")),
        ("es", 960.0, ("es", "16m")),
        ("pt-BR", 7200.0, ("pt-BR", "128m")),
        ("", None, ()),
    ],
)
def test_a_job_is_of_its_language_and_length(
    language: str, length: float | None, expected: tuple[str, ...]
) -> None:
    assert kind(language, length) == expected
