"""The rate limiter on the virtual clock."""

from __future__ import annotations

import asyncio
import math
import random
from itertools import pairwise

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.domain.errors import Stopped
from batchcap.domain.events import Throttled
from batchcap.domain.shutdown import ShutdownToken
from batchcap.simulation.in_memory import InMemoryStore
from batchcap.transport.rate_limiter import Bucket, Priority
from tests.harness.api import make_bucket, running_buckets
from tests.harness.clock import clock, now, on_virtual_time
from tests.harness.observers import Recorder

pytestmark = pytest.mark.anyio

RATES = [0.5, 1.0, 3.5, 5.0, 40.0, 2000.0]


async def send(bucket: Bucket, times: list[float], priority: Priority = Priority.START) -> None:
    await bucket.acquire(priority)
    times.append(clock())
    bucket.release()


async def send_many(bucket: Bucket, count: int, times: list[float]) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(send, bucket, times)


def places(connections: anyio.Semaphore) -> int:
    return connections.value


def worst(times: list[float], window: float) -> int:
    """Return the most grants in any half-open window of this many seconds."""
    most, first = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - window:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("rate", RATES)
async def test_bucket_at_saturation_never_exceeds_the_limit_in_any_second(rate: float) -> None:
    bucket, times = make_bucket(rate), list[float]()
    async with running_buckets(bucket):
        await send_many(bucket, max(12, int(rate * 3.2)), times)
    assert worst(times, 1.0) <= math.ceil(rate)
    assert worst(times, math.ceil(rate) / rate) <= math.ceil(rate)


@pytest.mark.parametrize("rate", RATES)
async def test_bucket_after_idle_times_never_exceeds_the_limit_in_any_second(rate: float) -> None:
    bucket, times = make_bucket(rate), list[float]()
    chance = random.Random(7)
    async with running_buckets(bucket):
        for _ in range(12):
            await send_many(bucket, math.ceil(chance.uniform(0.1, 1.3) * rate), times)
            await asyncio.sleep(chance.choice([0.01, 0.3, 0.999, 1.0, 2.5, 30.0]))
    assert worst(times, 1.0) <= math.ceil(rate)
    assert worst(times, math.ceil(rate) / rate) <= math.ceil(rate)


@pytest.mark.parametrize("rate", RATES)
async def test_bucket_at_saturation_uses_98_percent_of_the_limit(rate: float) -> None:
    bucket, times = make_bucket(rate), list[float]()
    async with running_buckets(bucket):
        await send_many(bucket, max(200, int(rate * 3.2)), times)
    reached = (len(times) - 1) / (times[-1] - times[0])
    assert 0.98 * rate <= reached <= 1.02 * rate + 1


async def test_bucket_first_request_leaves_at_once() -> None:
    bucket, started = make_bucket(0.1), clock()
    async with running_buckets(bucket):
        await bucket.acquire(Priority.START)
    assert clock() - started < 0.001


async def test_bucket_request_after_the_spacing_leaves_at_once() -> None:
    """The dispatcher must not use up quota while no request waits."""
    bucket, times = make_bucket(1.0), list[float]()
    async with running_buckets(bucket):
        await send(bucket, times)
        await asyncio.sleep(1.5)
        wanted = clock()
        await send(bucket, times)
    assert times[-1] - wanted < 0.01


async def test_bucket_grants_by_priority_then_first_come_first_served() -> None:
    bucket, order = make_bucket(1.0), list[str]()

    async def ask(name: str, priority: Priority) -> None:
        await bucket.acquire(priority)
        order.append(name)
        bucket.release()

    wanted = [
        ("spare", Priority.SPARE),
        ("start 1", Priority.START),
        ("poll 1", Priority.POLL),
        ("start 2", Priority.START),
        ("finish 1", Priority.FINISH),
        ("poll 2", Priority.POLL),
        ("finish 2", Priority.FINISH),
        ("start 3", Priority.START),
    ]
    async with running_buckets(bucket), anyio.create_task_group() as group:
        await bucket.acquire(Priority.START)  # the quota of this second is spent
        bucket.release()
        for name, priority in wanted:
            group.start_soon(ask, name, priority)
    expected = ["finish 1", "finish 2", "poll 1", "poll 2", "start 1", "start 2", "start 3"]
    assert order == [*expected, "spare"]


async def test_bucket_late_request_with_higher_priority_goes_first() -> None:
    bucket, order = make_bucket(1.0), list[str]()

    async def ask(name: str, priority: Priority) -> None:
        await bucket.acquire(priority)
        order.append(name)
        bucket.release()

    async with running_buckets(bucket), anyio.create_task_group() as group:
        await bucket.acquire(Priority.START)
        bucket.release()
        group.start_soon(ask, "start", Priority.START)
        await asyncio.sleep(0.9)
        group.start_soon(ask, "finish", Priority.FINISH)
    assert order == ["finish", "start"]


@pytest.mark.parametrize("rate", [5.0, None])
async def test_bucket_pause_blocks_every_request(rate: float | None) -> None:
    bucket, times, started = make_bucket(rate), list[float](), clock()
    async with running_buckets(bucket), anyio.create_task_group() as group:
        bucket.pause(600)
        for priority in Priority:
            group.start_soon(send, bucket, times, priority)
        await asyncio.sleep(599)
        assert not times
        assert bucket.paused_for == pytest.approx(1.0, abs=0.01)
    assert len(times) == len(Priority)
    assert min(times) - started >= 600
    assert max(times) - started < 601


async def test_bucket_pause_blocks_requests_that_already_wait() -> None:
    bucket, times, started = make_bucket(1.0), list[float](), clock()
    async with running_buckets(bucket), anyio.create_task_group() as group:
        group.start_soon(send_many, bucket, 5, times)
        await asyncio.sleep(1.5)
        bucket.pause(100)
    early = [at for at in times if at - started < 101.5]
    assert len(early) == 2
    assert len(times) == 5


async def test_bucket_pause_blocks_a_request_that_waits_for_a_connection() -> None:
    connections = anyio.Semaphore(1, fast_acquire=True)
    bucket, times = make_bucket(100.0, connections=connections), list[float]()
    async with running_buckets(bucket), anyio.create_task_group() as group:
        await bucket.acquire(Priority.START)
        group.start_soon(send, bucket, times)
        await asyncio.sleep(1)
        bucket.pause(100)
        paused = clock()
        bucket.release()
    assert times[0] - paused >= 100


async def test_bucket_shorter_pause_does_not_end_a_longer_one() -> None:
    bucket, started = make_bucket(5.0), clock()
    async with running_buckets(bucket):
        bucket.pause(100)
        bucket.pause(1)
        await bucket.acquire(Priority.START)
    assert clock() - started >= 100


async def test_bucket_after_a_pause_sends_no_burst() -> None:
    bucket, times = make_bucket(5.0), list[float]()
    async with running_buckets(bucket), anyio.create_task_group() as group:
        group.start_soon(send_many, bucket, 30, times)
        await asyncio.sleep(0.5)
        bucket.pause(60)
    assert worst(times, 1.0) <= 5


async def test_bucket_pause_is_kept_in_the_next_run() -> None:
    memory = InMemoryStore()
    first = make_bucket(5.0, memory=memory)
    first.pause(300)
    await asyncio.sleep(100)
    second, started = make_bucket(5.0, memory=memory), clock()
    assert second.paused_for == pytest.approx(200, abs=0.01)
    async with running_buckets(second):
        await second.acquire(Priority.FINISH)
    assert clock() - started >= 199.9


async def test_bucket_pause_of_another_bucket_has_no_effect() -> None:
    memory = InMemoryStore()
    make_bucket(5.0, name="other", memory=memory).pause(300)
    assert make_bucket(5.0, name="ours", memory=memory).paused_for == 0


async def test_bucket_stored_pause_that_is_over_blocks_nothing() -> None:
    memory = InMemoryStore()
    make_bucket(None, memory=memory).pause(10)
    await asyncio.sleep(10_000)
    second, started = make_bucket(None, memory=memory), clock()
    async with running_buckets(second):
        await second.acquire(Priority.START)
    assert clock() - started < 0.01


async def test_bucket_adaptive_rate_falls_with_a_429_and_is_stored() -> None:
    memory, observer = InMemoryStore(), Recorder()
    bucket = make_bucket(5.0, memory=memory, observer=observer, adaptive=True)
    bucket.throttled(2.0)
    assert bucket.rate == pytest.approx(3.5)
    assert bucket.paused_for == pytest.approx(2.0, abs=0.001)
    assert observer.of(Throttled) == [Throttled("test", 2.0)]
    assert make_bucket(5.0, memory=memory, adaptive=True).rate == pytest.approx(3.5)


async def test_bucket_adaptive_rate_falls_once_for_many_429s_of_one_burst() -> None:
    bucket = make_bucket(5.0, adaptive=True)
    for _ in range(20):
        bucket.throttled(2.0)
    assert bucket.rate == pytest.approx(3.5)


async def test_bucket_documented_rate_falls_with_a_429_and_grows_back() -> None:
    """Limits change, and other programs share them."""
    memory, times = InMemoryStore(), list[float]()
    bucket = make_bucket(5.0, memory=memory)
    bucket.throttled(1.0)
    assert bucket.rate == pytest.approx(3.5)
    assert make_bucket(5.0, memory=memory).rate == pytest.approx(3.5)
    assert make_bucket(2.0, memory=memory).rate == 2.0
    async with running_buckets(bucket):
        await send_many(bucket, 400, times)
    assert bucket.rate == 5.0
    assert worst(times, 1.0) <= 5
    assert make_bucket(8.0, memory=memory).rate == 8.0  # what was learned is no limit any more


async def test_bucket_limit_from_a_header_is_not_exceeded_again() -> None:
    bucket, times = make_bucket(5.0), list[float]()
    bucket.update_from_headers(2.0, 1.0, None)
    bucket.throttled(0.0)
    async with running_buckets(bucket):
        await send_many(bucket, 150, times)
    assert bucket.rate == 2.0
    assert worst(times, 1.0) <= 2


async def test_bucket_adaptive_rate_has_a_lower_bound() -> None:
    bucket = make_bucket(5.0, adaptive=True)
    for _ in range(60):
        bucket.throttled(1.0)
        await asyncio.sleep(2)
    assert bucket.rate == pytest.approx(0.1)


async def test_bucket_adaptive_rate_grows_slowly_and_has_an_upper_bound() -> None:
    memory = InMemoryStore()
    bucket, times = make_bucket(60.0, memory=memory, adaptive=True), list[float]()
    async with running_buckets(bucket):
        await send_many(bucket, 650, times)
        assert bucket.rate == pytest.approx(66.0)
        await send_many(bucket, 7000, times)
    assert bucket.rate == 100.0
    assert make_bucket(5.0, memory=memory, adaptive=True).rate == 100.0
    assert worst(times, 1.0) <= 100


async def test_bucket_adaptive_rate_does_not_grow_without_waiting_requests() -> None:
    bucket, times = make_bucket(5.0, adaptive=True), list[float]()
    async with running_buckets(bucket):
        for _ in range(30):
            await send(bucket, times)
            await asyncio.sleep(2)
    assert bucket.rate == 5.0


async def test_bucket_new_rate_starts_no_burst() -> None:
    bucket, times = make_bucket(10.0), list[float]()
    async with running_buckets(bucket), anyio.create_task_group() as group:
        group.start_soon(send_many, bucket, 40, times)
        await asyncio.sleep(1.5)
        bucket.update_from_headers(4.0, None, None)
        changed = clock()
    assert worst(times, 1.0) <= 10
    assert worst([at for at in times if at > changed], 1.0) <= 4


async def test_bucket_header_lowers_the_limit_but_never_raises_it() -> None:
    bucket = make_bucket(5.0)
    bucket.update_from_headers(100.0, 99.0, 60.0)
    assert bucket.rate == 5.0
    bucket.update_from_headers(2.0, 1.0, 60.0)
    assert bucket.rate == 2.0
    assert bucket.paused_for == 0


async def test_bucket_empty_quota_with_a_reset_pauses() -> None:
    bucket = make_bucket(5.0)
    bucket.update_from_headers(5.0, 0.0, 30.0)
    assert bucket.paused_for == pytest.approx(30.0, abs=0.001)


async def test_bucket_without_limit_ignores_headers() -> None:
    bucket = make_bucket(None)
    bucket.update_from_headers(2.0, 1.0, 1.0)
    assert bucket.rate is None


@pytest.mark.parametrize("limit", [-1.0, 0.0, math.nan, math.inf, -math.inf])
async def test_bucket_invalid_limit_in_a_header_is_ignored(limit: float) -> None:
    bucket = make_bucket(5.0)
    bucket.update_from_headers(limit, None, None)
    assert bucket.rate == 5.0


@pytest.mark.parametrize("reset", [-1.0, 0.0, math.nan, math.inf])
async def test_bucket_invalid_reset_in_a_header_is_ignored(reset: float) -> None:
    bucket = make_bucket(5.0)
    bucket.update_from_headers(None, 0.0, reset)
    assert bucket.paused_for == 0


async def test_bucket_cancelled_request_does_not_use_up_quota() -> None:
    bucket, times = make_bucket(1.0), list[float]()
    async with running_buckets(bucket):
        await send(bucket, times)
        with anyio.move_on_after(0.5) as scope:
            await send(bucket, times, Priority.FINISH)
        assert scope.cancelled_caught
        await send(bucket, times)
    assert times[1] - times[0] == pytest.approx(1.0, abs=0.01)


async def test_bucket_stop_ends_every_wait() -> None:
    stop = ShutdownToken()
    bucket, ends = make_bucket(1.0, stop=stop), list[str]()

    async def ask() -> None:
        try:
            await bucket.acquire(Priority.START)
            ends.append("turn")
        except Stopped:
            ends.append("stopped")

    async with running_buckets(bucket), anyio.create_task_group() as group:
        bucket.pause(3600)
        for _ in range(5):
            group.start_soon(ask)
        await asyncio.sleep(1)
        stop.request()
        await asyncio.sleep(0.01)
        assert len(ends) == 5
    assert ends == ["stopped"] * 5


@pytest.mark.parametrize("rate", [5.0, None])
async def test_bucket_after_a_stop_grants_nothing(rate: float | None) -> None:
    stop = ShutdownToken()
    bucket = make_bucket(rate, stop=stop)
    stop.request()
    with pytest.raises(Stopped):
        await bucket.acquire(Priority.FINISH)


async def test_bucket_without_limit_grants_at_once() -> None:
    connections = anyio.Semaphore(1000, fast_acquire=True)
    bucket, times, started = make_bucket(None, connections=connections), list[float](), clock()
    async with running_buckets(bucket):
        await send_many(bucket, 1000, times)
    assert times[-1] - started < 0.01


@pytest.mark.parametrize("rate", [1000.0, None])
async def test_bucket_grants_no_more_requests_than_connections(rate: float | None) -> None:
    connections = anyio.Semaphore(3, fast_acquire=True)
    bucket = make_bucket(rate, connections=connections)
    out = most = 0

    async def work() -> None:
        nonlocal out, most
        await bucket.acquire(Priority.START)
        out += 1
        most = max(most, out)
        await asyncio.sleep(1)
        out -= 1
        bucket.release()

    async with running_buckets(bucket), anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(work)
    assert most == 3
    assert connections.value == 3


async def test_buckets_with_shared_connections_do_not_starve_each_other() -> None:
    connections = anyio.Semaphore(1, fast_acquire=True)
    buckets = [make_bucket(10.0, name=name, connections=connections) for name in "ab"]
    times: list[float] = []
    async with running_buckets(*buckets), anyio.create_task_group() as group:
        for bucket in buckets:
            group.start_soon(send_many, bucket, 20, times)
    assert len(times) == 40
    assert times[-1] - times[0] < 3


@given(
    rate=st.sampled_from([None, 2.0, 50.0]),
    places=st.integers(1, 3),
    lives=st.lists(
        st.tuples(st.floats(0, 2), st.floats(0.0, 3), st.floats(0, 1)), min_size=1, max_size=25
    ),
    stop_at=st.none() | st.floats(0, 3),
)
def test_bucket_loses_no_connection_however_requests_are_cancelled(
    rate: float | None,
    places: int,
    lives: list[tuple[float, float, float]],
    stop_at: float | None,
) -> None:
    async def main() -> None:
        connections, stop = anyio.Semaphore(places, fast_acquire=True), ShutdownToken()
        bucket = make_bucket(rate, connections=connections, stop=stop)

        async def live(begins: float, patience: float, works: float) -> None:
            await asyncio.sleep(begins)
            with anyio.move_on_after(patience):
                try:
                    await bucket.acquire(Priority.POLL)
                except Stopped:
                    return
                try:
                    await asyncio.sleep(works)
                finally:
                    bucket.release()

        async with running_buckets(bucket), anyio.create_task_group() as group:
            for life in lives:
                group.start_soon(live, *life)
            if stop_at is not None:
                await asyncio.sleep(stop_at)
                stop.request()
        assert connections.value == places
        await asyncio.sleep(0)

    on_virtual_time(main())


async def test_bucket_grant_at_the_moment_of_cancellation_is_given_back() -> None:
    """The dispatcher grants the request, which is cancelled before its task runs."""
    connections = anyio.Semaphore(1, fast_acquire=True)
    bucket = make_bucket(10.0, connections=connections)
    async with running_buckets(bucket):
        task = asyncio.ensure_future(bucket.acquire(Priority.START))
        while places(connections):  # noqa: ASYNC110  # turn by turn
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert places(connections) == 1
        await bucket.acquire(Priority.START)
        bucket.release()


async def test_bucket_stores_wall_time_for_the_next_run() -> None:
    memory = InMemoryStore()
    make_bucket(5.0, memory=memory).pause(60)
    assert float(memory.values["pause.test"]) == pytest.approx(now() + 60, abs=0.01)


def test_worst_window_is_half_open() -> None:
    assert worst([0.0, 0.5, 1.0, 1.5], 1.0) == 2
    assert worst([0.0, 0.5, 0.999], 1.0) == 3
    assert all(a <= b for a, b in pairwise([worst([0.0] * n, 1.0) for n in (1, 2, 3)]))
