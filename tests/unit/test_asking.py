"""When a question is worth its requests: a decision, and nothing that happens."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.asking import Terms, Verdict, Watch, decide
from batchcap.durations import Law

NOW = 100_000.0
UNLIMITED, IDLE, BUSY = 0.05, 3.0, 450.0
"""The prices that the poller pays, in seconds of waiting a request."""


class Chance(Law, frozen=True):
    """Jobs that have ended with this probability, however old they are."""

    mu: float = 0.0
    sigma: float = 1.0
    share: float = 0.5

    def ended(self, age: float, seen: float = 0.0) -> float:
        return self.share if age > seen else 0.0


MINUTE = Law(math.log(60.0), 0.5)


def terms(known: Law = MINUTE, **changes: Any) -> Terms:
    given = Terms(
        price=IDLE,
        first_look=2.0,
        shortest=2.0,
        longest=60.0,
        hurry=True,
        law=lambda _: known,
        cost=lambda count: min(count, 2),
    )
    return msgspec.structs.replace(given, **changes)


def watch(
    age: float,
    asked: float | None = None,
    *,
    job_id: str = "a",
    left: float = 7200.0,
    dated: bool = True,
) -> Watch:
    """A job of that age, asked about `asked` seconds ago, with `left` seconds of its time."""
    made = Watch(job_id, (), NOW - age, NOW + left, dated=dated)
    made.asked = None if asked is None else NOW - asked
    return made


def until_asked(jobs: list[Watch], **changes: Any) -> float:
    """Seconds from now on until some of the jobs are asked about."""
    at = NOW
    while not (verdict := decide(jobs, at, terms(**changes))).batch:
        at = verdict.again
    return at - NOW


EIGHTHS = st.integers(0, 8 * 4000).map(lambda number: number / 8)
"""Seconds that floating point adds without rounding."""


@st.composite
def watches(draw: st.DrawFn) -> list[Watch]:
    """Jobs in every condition in which the poller may hold them."""
    made = []
    for number in range(draw(st.integers(0, 12))):
        age = draw(EIGHTHS)
        asked = draw(st.none() | st.integers(0, int(8 * age)).map(lambda number: number / 8))
        left = draw(st.integers(-8 * 500, 8 * 7200)) / 8
        made.append(watch(age, asked, job_id=str(number), left=left, dated=draw(st.booleans())))
        made[-1].told = draw(st.booleans())
    return made


@st.composite
def conditions(draw: st.DrawFn) -> Terms:
    """Terms as they may be."""
    law = draw(
        st.builds(Law, st.floats(0.0, 9.0), st.floats(0.15, 2.0))
        | st.builds(Chance, share=st.floats(0.0, 1.0))
    )
    pages = draw(st.integers(1, 40))
    return terms(
        law,
        price=draw(st.sampled_from([UNLIMITED, IDLE, BUSY]) | st.floats(0.01, 1000.0)),
        first_look=draw(st.sampled_from([0.0, 2.0, 30.0])),
        shortest=draw(st.sampled_from([1.0, 2.0, 5.0])),
        longest=draw(st.sampled_from([60.0, 300.0, 600.0])),
        hurry=draw(st.booleans()),
        cost=lambda count: min(count, pages),
        unheard=draw(st.just(1.0) | st.floats(0.005, 1.0)),
        heard_at=draw(st.just(-math.inf) | EIGHTHS.map(lambda ago: NOW - ago)),
        deaf=draw(st.sampled_from([0.0, 100.0])),
        soon=draw(st.sampled_from([60.0, math.inf])),
    )


def overdue(one: Watch, given: Terms) -> bool:
    """Whether its time is over and nobody asked since."""
    deadline = one.deadline + given.deaf
    return deadline <= NOW and (one.asked is None or one.asked < deadline)


def longest(one: Watch, given: Terms) -> float:
    return min(given.longest, given.soon) if one.told else given.longest


def too_early(one: Watch, given: Terms) -> bool:
    if one.asked is not None:
        return NOW - one.asked < given.shortest
    return one.dated and NOW - one.since < given.first_look


@given(watches(), conditions())
def test_nobody_is_asked_about_too_early_unless_its_time_is_over(
    jobs: list[Watch], given: Terms
) -> None:
    for one in decide(jobs, NOW, given).batch:
        assert overdue(one, given) or not too_early(one, given)


@given(watches(), conditions())
def test_whose_time_is_over_or_who_waited_longest_is_asked_about_with_all_who_are_ready(
    jobs: list[Watch], given: Terms
) -> None:
    ready = [one for one in jobs if overdue(one, given) or not too_early(one, given)]
    if any(overdue(one, given) or one.gap(NOW) >= longest(one, given) for one in ready):
        assert decide(jobs, NOW, given).batch == ready


@given(watches(), conditions())
def test_nobody_ready_nobody_asked_about(jobs: list[Watch], given: Terms) -> None:
    early = [one for one in jobs if too_early(one, given) and not overdue(one, given)]
    assert decide(early, NOW, given).batch == []


@given(watches(), conditions())
def test_the_next_decision_is_in_the_future_and_not_far(jobs: list[Watch], given: Terms) -> None:
    verdict = decide(jobs, NOW, given)
    if not verdict.batch:
        assert NOW < verdict.again <= NOW + given.longest


@given(watches(), conditions())
def test_no_deadline_of_a_job_that_may_be_asked_about_is_slept_through(
    jobs: list[Watch], given: Terms
) -> None:
    verdict = decide(jobs, NOW, given)
    if not verdict.batch:
        for one in jobs:
            if not too_early(one, given) and one.deadline + given.deaf > NOW:
                assert verdict.again <= one.deadline + given.deaf


@given(watches(), conditions(), st.floats(1.0, 100.0))
def test_a_higher_price_never_asks_earlier_or_more(
    jobs: list[Watch], given: Terms, times: float
) -> None:
    dearer = msgspec.structs.replace(given, price=given.price * times)
    assert_no_later(decide(jobs, NOW, given), decide(jobs, NOW, dearer))


@given(watches(), conditions(), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_more_likely_ends_never_make_it_ask_later_or_less(
    jobs: list[Watch], given: Terms, one: float, other: float
) -> None:
    low, high = Chance(share=min(one, other)), Chance(share=max(one, other))
    likely, unlikely = (
        decide(jobs, NOW, msgspec.structs.replace(given, law=lambda _, law=law: law))
        for law in (high, low)
    )
    assert_no_later(likely, unlikely)


@given(watches(), conditions(), st.floats(0.005, 1.0))
def test_to_rely_on_events_never_makes_it_ask_earlier_or_more(
    jobs: list[Watch], given: Terms, unheard: float
) -> None:
    alone = decide(jobs, NOW, msgspec.structs.replace(given, unheard=1.0))
    assert_no_later(alone, decide(jobs, NOW, msgspec.structs.replace(given, unheard=unheard)))


def assert_no_later(soon: Verdict, late: Verdict) -> None:
    """The one asks about all whom the other asks about; else it thinks again no later."""
    assert {one.job_id for one in late.batch} <= {one.job_id for one in soon.batch}
    if not soon.batch:
        assert soon.again <= late.again


@given(watches(), conditions())
def test_silence_is_a_matter_of_events(jobs: list[Watch], given: Terms) -> None:
    assert not decide(jobs, NOW, msgspec.structs.replace(given, unheard=1.0)).silent


@given(watches(), conditions())
def test_the_same_is_decided_in_any_order(jobs: list[Watch], given: Terms) -> None:
    here, there = decide(jobs, NOW, given), decide(jobs[::-1], NOW, given)
    assert {one.job_id for one in here.batch} == {one.job_id for one in there.batch}


def test_without_jobs_there_is_nothing_to_ask() -> None:
    verdict = decide([], NOW, terms())
    assert verdict.batch == []
    assert verdict.again > NOW


@pytest.mark.parametrize(
    ("price", "longest", "soonest", "latest"),
    [(UNLIMITED, 60.0, 15.0, 25.0), (IDLE, 60.0, 30.0, 42.0), (BUSY, 300.0, 90.0, 125.0)],
)
def test_one_job_of_a_minute_is_asked_about_the_later_the_dearer_a_request(
    price: float, longest: float, soonest: float, latest: float
) -> None:
    asked = until_asked([watch(0.0)], price=price, longest=longest)
    assert soonest <= asked <= latest


@pytest.mark.parametrize(
    ("price", "soonest", "latest"), [(UNLIMITED, 2.0, 2.1), (IDLE, 3.0, 5.0), (BUSY, 40.0, 60.0)]
)
def test_many_jobs_share_the_price_of_a_question(
    price: float, soonest: float, latest: float
) -> None:
    jobs = [watch(float(age), 0.0, job_id=str(age)) for age in range(60)]
    asked = until_asked(jobs, price=price, longest=300.0)
    assert soonest <= asked <= latest


def test_who_has_most_likely_ended_is_asked_about_without_the_others() -> None:
    done, young = watch(200.0, 150.0, job_id="done"), watch(20.0, 10.0, job_id="young")
    assert decide([young, done], NOW, terms(price=BUSY, longest=300.0)).batch == [done]


def test_a_straggler_is_asked_about_ever_more_rarely() -> None:
    short = Law(math.log(20.0), 0.3)
    waits = [until_asked([watch(age, 0.0)], law=lambda _: short) for age in (50.0, 100.0, 1600.0)]
    assert waits[0] < waits[1] < waits[2] <= 60.0


def test_a_job_whose_age_nobody_knows_is_asked_about_at_once_with_all_who_are_ready() -> None:
    strange, young = watch(0.0, dated=False), watch(20.0, 10.0, job_id="young")
    assert decide([young, strange], NOW, terms()).batch == [young, strange]


def test_once_it_was_asked_about_it_has_no_hurry() -> None:
    assert decide([watch(5.0, 3.0, dated=False)], NOW, terms()).batch == []


def test_on_a_second_event_about_a_job_nobody_relies() -> None:
    given = terms(Chance(share=0.1), longest=600.0, soon=60.0, unheard=0.005)
    told, untold = watch(300.0, 60.0, job_id="told"), watch(300.0, 60.0, job_id="untold")
    told.told = True
    assert decide([untold], NOW, given).batch == []
    assert decide([told], NOW, given).batch == [told]


def test_a_deadline_is_looked_beyond_once_and_moves_with_an_outage() -> None:
    over = watch(100.0, 3.0, left=-1.0)
    assert decide([over], NOW, terms()).batch == [over]
    assert decide([over], NOW, terms(deaf=60.0)).batch == []
    over.asked = NOW
    assert decide([over], NOW, terms()).batch == []


def test_a_deadline_is_what_it_waits_for_where_nothing_else_comes_first() -> None:
    due = watch(30.0, 20.0, left=4.0)
    assert decide([due], NOW, terms(Chance(share=0.0))).again == NOW + 4.0


def test_six_ends_that_should_have_been_heard_of_are_silence() -> None:
    given = terms(Chance(share=0.9), unheard=0.01, heard_at=NOW - 100.0)
    assert not decide([watch(500.0, 200.0, job_id=str(n)) for n in range(6)], NOW, given).silent
    assert decide([watch(500.0, 200.0, job_id=str(n)) for n in range(7)], NOW, given).silent


def test_what_was_heard_of_lately_is_no_silence() -> None:
    jobs = [watch(60.0, 40.0, job_id=str(n)) for n in range(50)]
    assert not decide(jobs, NOW, terms(unheard=0.01, heard_at=NOW - 0.5)).silent
    assert decide(jobs, NOW, terms(unheard=0.01, heard_at=NOW - 30.0)).silent


def test_an_age_before_the_clock_began_is_an_age_like_any_other() -> None:
    """The loop's clock may have begun at 0 when the machine did; the job is older."""
    old = Watch("a", (), -50_000.0, 90_000.0, dated=True)
    assert old.ended(10.0, MINUTE) == MINUTE.ended(50_010.0)
