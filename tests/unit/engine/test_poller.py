"""One sweep over all jobs of one provider."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.domain.errors import FatalError, RowError, Stopped
from batchcap.domain.models import Job, JobState
from batchcap.engine.poller import MIN_SWEEP_INTERVAL, SWEEP_INTERVAL
from batchcap.simulation.in_memory import InMemoryStore
from tests.harness.clock import clock, on_virtual_time
from tests.harness.poller import FakePollable, PollerHarness, running_poller

pytestmark = pytest.mark.anyio


def gaps(times: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


IsReported = Callable[[int], bool]


async def run_jobs(
    harness: PollerHarness, count: int, *, seed: int = 1, is_reported: IsReported = lambda _: False
) -> None:
    """Run `count` jobs of about a minute, one begun each second; events report some ends."""
    chance, provider = random.Random(seed), harness.provider
    loop = asyncio.get_running_loop()
    async with anyio.create_task_group() as group:
        for number in range(count):
            job_id, lasts = f"f{seed}-{number}", chance.lognormvariate(math.log(60), 0.5)
            provider.ends[job_id] = clock() + lasts
            group.start_soon(harness.follow, job_id)
            if is_reported(number):
                loop.call_later(lasts + 0.5, harness.hear, job_id)
            await asyncio.sleep(1)


# When a sweep begins.


@pytest.mark.parametrize("rate", [None, 5.0])
async def test_poller_wakes_a_row_within_seconds_of_its_jobs_end(rate: float | None) -> None:
    provider, started = FakePollable(rate=rate), clock()
    provider.ends["a"] = started + 60
    async with running_poller(provider) as harness:
        job = await harness.follow("a")
    assert job == Job(id="a", state=JobState.COMPLETED)
    assert 0 <= harness.late("a") <= MIN_SWEEP_INTERVAL + 0.1


async def test_poller_polls_all_jobs_in_one_sweep() -> None:
    provider, started = FakePollable(rate=5.0), clock()
    async with running_poller(provider) as harness, anyio.create_task_group() as group:
        for number in range(300):
            provider.ends[f"j{number}"] = started + 20
            group.start_soon(harness.follow, f"j{number}")
    assert all(len(ids) == 300 for _, ids in provider.asked)
    assert len(provider.asked) < 12


async def test_poller_sweeps_every_40_s_while_creates_queue() -> None:
    provider = FakePollable(rate=5.0)
    provider.backlog_seconds = 100.0
    async with running_poller(provider) as harness:
        await run_jobs(harness, 300)
    assert min(gaps([at for at, _ in provider.asked])) >= SWEEP_INTERVAL
    assert max(harness.late(job_id) for job_id in provider.ends) <= SWEEP_INTERVAL + 1


async def test_poller_with_a_short_queue_of_creates_sweeps_every_2_s() -> None:
    provider = FakePollable(rate=5.0)
    provider.backlog_seconds = SWEEP_INTERVAL - 1
    async with running_poller(provider) as harness:
        await run_jobs(harness, 20)
    assert max(harness.late(job_id) for job_id in provider.ends) <= MIN_SWEEP_INTERVAL + 0.1


async def test_poller_notices_that_the_queue_of_creates_has_emptied() -> None:
    provider = FakePollable(rate=5.0)
    provider.backlog_seconds, provider.ends["a"] = 100.0, clock() + 10
    async with running_poller(provider) as harness, anyio.create_task_group() as group:
        group.start_soon(harness.follow, "a")
        await asyncio.sleep(12)
        provider.backlog_seconds, emptied = 0.0, clock()
    assert harness.done["a"][0] - emptied <= MIN_SWEEP_INTERVAL + 0.1


async def test_poller_with_many_jobs_sweeps_less_often() -> None:
    provider = FakePollable(rate=5.0)
    async with running_poller(provider) as harness:
        await run_jobs(harness, 400)
    times = [at for at, _ in provider.asked]
    assert gaps(times)[0] == pytest.approx(MIN_SWEEP_INTERVAL, abs=0.1)
    assert max(gaps(times)) == pytest.approx(20, abs=2.1)


async def test_poller_with_a_full_window_sweeps_every_2_s_however_many_jobs_there_were() -> None:
    provider = FakePollable(rate=5.0)
    async with running_poller(provider, window=60) as harness:
        await run_jobs(harness, 400)
    assert max(gaps([at for at, _ in provider.asked])[40:190]) <= MIN_SWEEP_INTERVAL + 0.1


async def test_poller_without_a_quota_sweeps_every_2_s_however_many_jobs_there_were() -> None:
    provider = FakePollable()
    async with running_poller(provider) as harness:
        await run_jobs(harness, 400)
    assert max(gaps([at for at, _ in provider.asked])) <= MIN_SWEEP_INTERVAL + 0.1


@pytest.mark.parametrize("requests", [1, 3, 40])
@pytest.mark.parametrize("jobs", [1, 50])
async def test_poller_sweeps_that_settle_no_job_use_at_most_a_tenth_of_the_quota(
    requests: int, jobs: int
) -> None:
    provider, started = FakePollable(rate=5.0), clock()
    provider.requests = requests
    async with running_poller(provider) as harness, anyio.create_task_group() as group:
        for number in range(jobs):
            provider.ends[f"j{number}"] = started + 6000
            group.start_soon(harness.follow, f"j{number}")
    assert len(provider.asked) * requests <= 0.1 * 5.0 * (clock() - started) + 2 * requests
    assert all(gap >= requests / (5.0 * 0.1) for gap in gaps([at for at, _ in provider.asked])[:-1])


async def test_poller_sweeps_that_settle_jobs_may_use_more_than_a_tenth_of_the_quota() -> None:
    provider = FakePollable(rate=0.5)
    provider.requests = 20
    async with running_poller(provider) as harness, anyio.create_task_group() as group:
        for number in range(20):
            provider.ends[f"j{number}"] = 0.0
            group.start_soon(harness.follow, f"j{number}")
        await asyncio.sleep(60)
        provider.ends["old"], again = 0.0, clock()
        await harness.follow("old", age=90_000.0)
    assert clock() - again < 1


async def test_poller_first_job_waits_briefly_so_that_others_share_its_sweep() -> None:
    provider = FakePollable()
    async with running_poller(provider) as harness, anyio.create_task_group() as group:
        for number in range(10):
            provider.ends[f"j{number}"] = 0.0
            group.start_soon(harness.follow, f"j{number}")
            await asyncio.sleep(0.001)
    assert len(provider.asked[0][1]) == 10


@pytest.mark.parametrize("age", [None, 90_000.0])
async def test_poller_checks_a_job_that_existed_before_at_once(age: float | None) -> None:
    provider = FakePollable(rate=5.0)
    async with running_poller(provider) as harness, anyio.create_task_group() as group:
        group.start_soon(harness.follow, "fresh")
        await asyncio.sleep(100)
        provider.ends["old"], began = 0.0, clock()
        assert (await harness.follow("old", age=age)).state is JobState.COMPLETED
        assert clock() - began < 1
        provider.ends["fresh"] = 0.0


async def test_poller_jobs_that_existed_before_share_a_check() -> None:
    provider = FakePollable(rate=5.0)
    async with running_poller(provider) as harness, anyio.create_task_group() as group:
        for number in range(50):
            provider.ends[f"j{number}"] = 0.0
            group.start_soon(harness.follow, f"j{number}", 7200.0)
            await asyncio.sleep(0.02)
    assert len(provider.asked) <= 4


async def test_poller_does_not_lose_a_job_that_comes_during_a_sweep() -> None:
    provider, started = FakePollable(), clock()
    provider.takes = 10.0
    async with running_poller(provider) as harness, anyio.create_task_group() as group:
        for number in range(6):
            provider.ends[f"j{number}"] = started + 3
            group.start_soon(harness.follow, f"j{number}")
            await asyncio.sleep(3)
    assert len(harness.done) == 6


async def test_poller_with_many_short_jobs_follows_a_straggler() -> None:
    provider, started = FakePollable(rate=5.0), clock()
    provider.ends["old"] = started + 1500
    async with running_poller(provider) as harness, anyio.create_task_group() as group:
        group.start_soon(harness.follow, "old")
        await run_jobs(harness, 1400)
    assert max(gaps([started, *provider.times("old")])) <= SWEEP_INTERVAL + 1


# What a sweep finds.


async def test_poller_accepts_states_of_jobs_that_it_did_not_request() -> None:
    provider = FakePollable()
    provider.takes = 5.0
    provider.unrequested = [
        Job(id="late", state=JobState.COMPLETED, link="https://h/x"),
        Job(id="unknown", state=JobState.COMPLETED),
        Job(id=None, state=JobState.COMPLETED),
    ]
    async with running_poller(provider) as harness, anyio.create_task_group() as group:
        provider.ends["early"] = clock()
        group.start_soon(harness.follow, "early")
        await asyncio.sleep(MIN_SWEEP_INTERVAL + 1)
        group.start_soon(harness.follow, "late")
    assert harness.done["late"][1].link == "https://h/x"
    assert provider.times("late") == []


@pytest.mark.parametrize("state", [JobState.ERRORED, JobState.CANCELLED])
async def test_poller_wakes_a_row_however_its_job_ended(state: JobState) -> None:
    provider = FakePollable()
    provider.unrequested = [Job(id="a", state=state)]
    async with running_poller(provider) as harness:
        assert (await harness.follow("a")).state is state


async def test_poller_job_that_ended_in_an_unknown_state_is_looked_up() -> None:
    provider = FakePollable()
    provider.unrequested, provider.ends["a"] = [Job(id="a", state=JobState.NOT_RUNNING)], 0.0
    async with running_poller(provider) as harness:
        assert await harness.follow("a") == Job(id="a", state=JobState.COMPLETED)
    assert len(provider.looks) == 1


async def test_poller_job_that_still_runs_when_looked_up_is_followed_further() -> None:
    provider, started = FakePollable(), clock()
    provider.unrequested, provider.ends["a"] = (
        [Job(id="a", state=JobState.NOT_RUNNING)],
        started + 20,
    )
    async with running_poller(provider) as harness:
        assert (await harness.follow("a")).state is JobState.COMPLETED
    assert clock() - started >= 20


async def test_poller_young_job_is_missing_only_after_the_grace_period() -> None:
    provider, started = FakePollable(), clock()
    provider.end, provider.ends["a"] = JobState.MISSING, 0.0
    async with running_poller(provider) as harness:
        assert (await harness.follow("a")).state is JobState.MISSING
        assert clock() - started >= provider.not_found_grace
        again = clock()
        await harness.follow("a", age=1000.0)
        assert clock() - again < 1


async def test_poller_polls_again_a_job_that_no_response_mentions() -> None:
    provider, started = FakePollable(), clock()
    provider.unmentioned.add("a")
    async with running_poller(provider) as harness:
        task = asyncio.ensure_future(harness.follow("a"))
        await asyncio.sleep(60)
        provider.unmentioned.clear()
        provider.ends["a"] = started
        assert (await task).state is JobState.COMPLETED
    assert len(provider.times("a")) > 3


async def test_poller_refused_sweep_makes_rows_poll_alone_and_is_reported_once() -> None:
    provider = FakePollable()
    provider.refuses = True
    async with running_poller(provider) as harness:
        for turn in range(3):
            ids = [f"j{turn}-{number}" for number in range(10)]
            provider.ends.update(dict.fromkeys(ids, 0.0))
            jobs = await asyncio.gather(*map(harness.follow, ids))
            assert {job.state for job in jobs} == {JobState.COMPLETED}
    assert len(provider.looks) == 30
    assert harness.warnings == ["fake refuses a poll: no lists today"]


async def test_poller_wakes_two_rows_that_wait_for_one_job() -> None:
    provider = FakePollable()
    provider.ends["a"] = clock() + 30
    async with running_poller(provider) as harness:
        jobs = await asyncio.gather(harness.follow("a"), harness.follow("a"))
    assert {job.id for job in jobs} == {"a"}
    assert all(ids == ["a"] for _, ids in provider.asked)


# Deadlines and outages.


async def timed_out(
    harness: PollerHarness, timeout: float, job_id: str = "a", age: float | None = 0.0
) -> None:
    with pytest.raises(RowError, match=f"has not ended within {timeout:.0f} s") as caught:
        await harness.follow(job_id, timeout, age=age)
    assert caught.value.code == "job_timeout"
    assert caught.value.retryable


@pytest.mark.parametrize("backlog", [0.0, 1000.0])
@pytest.mark.parametrize("age", [0.0, None, 50.0])
async def test_poller_job_past_its_deadline_fails_after_one_last_check(
    age: float | None, backlog: float
) -> None:
    provider, started = FakePollable(rate=5.0), clock()
    provider.backlog_seconds = backlog
    async with running_poller(provider) as harness:
        await timed_out(harness, 100.0, age=age)
    assert 100 <= clock() - started + (age or 0.0) <= 105
    assert [at >= started + 100 - (age or 0.0) for at, _ in provider.looks] == [True]


async def test_poller_job_that_ended_just_before_its_deadline_is_in_time() -> None:
    provider = FakePollable()
    provider.ends["a"] = clock() + 99.9
    async with running_poller(provider) as harness:
        assert (await harness.follow("a", 100.0)).state is JobState.COMPLETED


async def test_poller_job_that_no_response_mentions_ends_by_its_deadline() -> None:
    """A poll may leave a job out; the row must not wait for ever."""
    provider, started = FakePollable(), clock()
    provider.unmentioned.add("a")
    async with running_poller(provider) as harness:
        await timed_out(harness, 100.0)
    assert clock() - started < 110


async def test_poller_outage_does_not_count_as_a_jobs_time() -> None:
    provider, started = FakePollable(), clock()
    async with running_poller(provider) as harness:
        task = asyncio.ensure_future(harness.follow("a", 100.0))
        await asyncio.sleep(50)
        provider.down_until = clock() + 1000
        await asyncio.sleep(1000)
        provider.ends["a"] = clock() + 20
        assert (await task).state is JobState.COMPLETED
    assert clock() - started > 1050
    assert set(harness.warnings) == {"fake: polling failed: 503"}


async def test_poller_job_after_an_outage_has_the_rest_of_its_time_and_no_more() -> None:
    provider, started = FakePollable(), clock()
    async with running_poller(provider) as harness:
        task = asyncio.ensure_future(timed_out(harness, 1000.0))
        await asyncio.sleep(500)
        provider.down_until = started + 2100
        await task
    assert 1000 + 1500 <= clock() - started <= 1000 + 1600 + 120


async def test_poller_outage_before_a_job_gives_it_no_time() -> None:
    provider = FakePollable()
    async with running_poller(provider) as harness:
        provider.down_until, provider.ends["a"] = clock() + 1000, 0.0
        await harness.follow("a")
        started = clock()
        await timed_out(harness, 100.0, "b")
    assert clock() - started < 110


async def test_poller_slows_down_while_the_provider_is_unreachable() -> None:
    provider, started = FakePollable(), clock()
    provider.down_until = started + 3600
    provider.ends = {f"j{number}": started for number in range(50)}
    async with running_poller(provider) as harness, anyio.create_task_group() as group:
        for job_id in provider.ends:
            group.start_soon(harness.follow, job_id)
    assert len(harness.done) == 50
    assert len(provider.asked) < 100
    assert clock() - started < 3600 + 120


async def test_poller_stop_ends_every_wait() -> None:
    provider, ends = FakePollable(), list[str]()
    harness = PollerHarness(provider)

    async def follow(number: int) -> None:
        try:
            await harness.follow(f"j{number}")
        except Stopped:
            ends.append("stopped")

    async with anyio.create_task_group() as group:
        runs = asyncio.ensure_future(harness.poller.run())
        for number in range(20):
            group.start_soon(follow, number)
        await asyncio.sleep(10)
        harness.stop.request()
    assert ends == ["stopped"] * 20
    polls_before = len(provider.asked)
    await asyncio.sleep(100)
    assert len(provider.asked) == polls_before
    runs.cancel()
    with pytest.raises((asyncio.CancelledError, Stopped)):
        await runs


async def test_poller_does_not_poll_a_job_whose_wait_was_cancelled() -> None:
    provider = FakePollable()
    async with running_poller(provider) as harness:
        with anyio.move_on_after(10):
            await harness.follow("a")
        polls_before = len(provider.asked)
        await asyncio.sleep(1000)
    assert len(provider.asked) <= polls_before + 1


async def test_poller_run_ends_with_a_fatal_error() -> None:
    provider = FakePollable()
    provider.fatal = True
    harness = PollerHarness(provider)
    waits = asyncio.ensure_future(harness.follow("a"))
    with pytest.raises(FatalError, match="the key is wrong"):
        await harness.poller.run()
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits


# Durations.


async def test_poller_records_how_long_jobs_took_and_keeps_it() -> None:
    provider, notes = FakePollable(rate=5.0), InMemoryStore()
    async with running_poller(provider, notes) as harness:
        for number in range(10):
            provider.ends[f"j{number}"] = clock() + 300
            await harness.follow(f"j{number}")
        assert notes.values == {}
    assert list(notes.values) == ["durations.fake"]
    async with running_poller(provider, notes) as harness:
        assert harness.poller.durations.quantile(0.5, "es") == pytest.approx(300, rel=0.1)


async def test_poller_uses_the_duration_that_the_provider_reports() -> None:
    provider = FakePollable()
    provider.unrequested = [Job(id="a", state=JobState.COMPLETED, duration=1000.0)]
    async with running_poller(provider) as harness:
        await harness.follow("a", age=None)
        assert harness.poller.durations.quantile(0.5) == pytest.approx(1000, rel=0.1)


async def test_poller_records_no_duration_of_a_job_that_existed_before() -> None:
    provider = FakePollable()
    provider.ends = {"a": 0.0, "b": 0.0}
    async with running_poller(provider) as harness:
        await harness.follow("a", age=None)
        await harness.follow("b", age=5000.0)
        assert harness.poller.durations.quantile(0.5) is None


async def test_poller_warns_once_of_jobs_that_take_far_longer_than_others() -> None:
    provider, started = FakePollable(), clock()
    async with running_poller(provider) as harness, anyio.create_task_group() as group:
        harness.poller.durations.add("es", 600.0)
        for number in range(5):
            provider.ends[f"j{number}"] = started + 7000
            group.start_soon(harness.follow, f"j{number}")
    (warning,) = harness.warnings
    assert warning.startswith("fake: job j")
    assert "minutes in this run, most end within 9.7" in warning


async def test_poller_does_not_warn_of_jobs_that_take_as_long_as_others() -> None:
    provider = FakePollable()
    async with running_poller(provider) as harness:
        harness.poller.durations.add("es", 3000.0)
        provider.ends["a"] = clock() + 7000
        await harness.follow("a")
    assert harness.warnings == []


# Webhooks.


async def test_poller_event_wakes_the_row_without_a_request() -> None:
    provider, started = FakePollable(rate=5.0), clock()
    provider.backlog_seconds = 100.0
    async with running_poller(provider) as harness, anyio.create_task_group() as group:
        group.start_soon(harness.follow, "a")
        await asyncio.sleep(10)
        polls_before = len(provider.asked)
        harness.poller.on_webhook(Job(id="a", state=JobState.COMPLETED, link="https://h/a"))
    assert harness.done["a"][1].link == "https://h/a"
    assert harness.done["a"][0] == pytest.approx(started + 10, abs=0.01)
    assert len(provider.asked) == polls_before
    assert provider.looks == []


async def test_poller_keeps_an_event_that_overtakes_the_response_to_the_create() -> None:
    provider, started = FakePollable(), clock()
    async with running_poller(provider) as harness:
        harness.hear("a", JobState.RUNNING)
        harness.hear("a", JobState.ERRORED)
        assert (await harness.follow("a")).state is JobState.ERRORED
    assert clock() - started < 0.01
    assert provider.asked == []


async def test_poller_events_of_unknown_jobs_are_bounded_and_the_oldest_dropped() -> None:
    provider = FakePollable()
    async with running_poller(provider) as harness:
        for number in range(10_001):
            harness.hear(f"j{number}")
        assert (await harness.follow("j1")).state is JobState.COMPLETED
        assert (await harness.follow("j10000")).state is JobState.COMPLETED
        assert provider.asked == []
        provider.ends["j0"] = clock()
        await harness.follow("j0")
        assert len(provider.times("j0")) == 1


async def test_poller_sweeps_every_40_s_while_events_report_the_ends() -> None:
    sweeps: list[int] = []
    for share in (0.0, 1.0):
        provider = FakePollable(rate=5.0)
        async with running_poller(provider, window=50) as harness:
            await run_jobs(harness, 300, is_reported=lambda _, share=share: share > 0)  # type: ignore[misc]  # a default binds the loop's value
        sweeps.append(len(provider.asked))
    polling, webhooks = sweeps
    assert polling > 4 * webhooks


@pytest.mark.parametrize("lost", [0.1, 0.5])
async def test_poller_finds_what_lost_events_would_have_reported_within_a_sweep(
    lost: float,
) -> None:
    provider, chance = FakePollable(rate=5.0), random.Random(3)
    async with running_poller(provider) as harness:
        await run_jobs(harness, 400, is_reported=lambda _: chance.random() >= lost)
    assert max(harness.late(job_id) for job_id in provider.ends) <= SWEEP_INTERVAL + 1


async def test_poller_sweeps_as_without_webhooks_once_events_stop() -> None:
    provider, started = FakePollable(rate=5.0), clock()
    async with running_poller(provider, window=50) as harness:
        await run_jobs(harness, 400, is_reported=lambda number: number < 100)
    late = [
        harness.late(job_id) for job_id, end in provider.ends.items() if 320 < end - started < 390
    ]
    assert max(late) <= MIN_SWEEP_INTERVAL + 0.1


async def test_poller_job_that_runs_despite_an_event_of_its_end_is_followed_further() -> None:
    provider, started = FakePollable(rate=5.0), clock()
    provider.ends["a"] = started + 1000
    async with running_poller(provider) as harness:
        asyncio.get_running_loop().call_later(10, harness.hear, "a", JobState.NOT_RUNNING)
        assert (await harness.follow("a")).state is JobState.COMPLETED
    assert harness.late("a") <= SWEEP_INTERVAL + 1
    assert [job_id for _, job_id in provider.looks] == ["a"]


async def test_poller_event_that_a_job_runs_does_not_extend_its_deadline() -> None:
    provider, started = FakePollable(rate=5.0), clock()
    async with running_poller(provider) as harness:
        task = asyncio.ensure_future(timed_out(harness, 100.0))
        while not task.done() and clock() - started < 1000:  # a provider that talks for ever
            harness.hear("a", JobState.RUNNING)
            await asyncio.sleep(7)
        await task
    assert clock() - started <= 110


async def test_poller_duplicate_events_wake_a_row_once_and_a_later_row_for_the_same_job() -> None:
    provider = FakePollable()
    provider.unmentioned = {"a"}
    async with running_poller(provider) as harness, anyio.create_task_group() as group:
        group.start_soon(harness.follow, "a")
        await asyncio.sleep(1)
        for _ in range(5):
            harness.hear("a")
        await asyncio.sleep(1)
        harness.hear("a")
        assert (await harness.follow("a")).state is JobState.COMPLETED
    assert provider.looks == []


EVENTS = st.lists(
    st.tuples(
        st.floats(0.0, 90.0),
        st.sampled_from(["a", "b", "c", "unknown", None]),
        st.sampled_from(list(JobState)),
    ),
    max_size=30,
)


@given(EVENTS)
def test_poller_takes_events_in_any_order(events: list[tuple[float, str | None, JobState]]) -> None:
    async def follow_jobs() -> None:
        provider = FakePollable(rate=5.0)
        provider.ends = dict.fromkeys("abc", clock() + 60)
        async with running_poller(provider) as harness, anyio.create_task_group() as group:
            for after, job_id, state in events:
                asyncio.get_running_loop().call_later(after, harness.hear, job_id, state)
            for job_id in "abc":
                group.start_soon(harness.follow, job_id, 300.0)
            await asyncio.sleep(100)
        reported = {job_id for _, job_id, state in events if state is not JobState.RUNNING}
        for job_id in "abc":
            at, job = harness.done[job_id]
            assert job.id == job_id
            assert job.state is not JobState.RUNNING
            assert job_id in reported or at >= provider.ends[job_id]
        assert clock() - provider.ends["a"] < SWEEP_INTERVAL + 10

    on_virtual_time(follow_jobs())


async def test_poller_events_about_unknown_jobs_change_no_sweep() -> None:
    sweeps: list[list[tuple[float, list[str]]]] = []
    for strangers in (False, True):
        provider = FakePollable(rate=5.0)
        started = clock()
        async with running_poller(provider) as harness, anyio.create_task_group() as group:
            group.start_soon(run_jobs, harness, 100)
            for number in range(300 if strangers else 0):
                harness.hear(f"stranger-{number % 7}", list(JobState)[number % 6])
                await asyncio.sleep(0.5)
        sweeps.append([(at - started, ids) for at, ids in provider.asked])
    without, beside = sweeps
    assert [ids for _, ids in without] == [ids for _, ids in beside]
    assert [at for at, _ in beside] == pytest.approx([at for at, _ in without], abs=0.01)
