"""One loop that watches every job of one provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import anyio
import pytest

from batchcap.errors import FatalError, Stopped, Unavailable
from batchcap.events import Warned
from batchcap.interfaces import Report
from batchcap.model import Job, JobState
from batchcap.poller import Poller
from batchcap.stopping import Stop
from tests.fakes import Recorder, clock

pytestmark = pytest.mark.anyio


class Board:
    """A provider whose jobs end at set times. Satisfies `interfaces.Polled`."""

    name = "board"

    def __init__(self, *, first_look: float = 2.0, shortest_gap: float = 2.0) -> None:
        self.first_look = first_look
        self.shortest_gap = shortest_gap
        self.read_rate: float | None = None
        self.requests = 1
        self.takes = 0.0
        self.ends: dict[str, float] = {}
        self.silent: set[str] = set()
        self.gossip: list[Job] = []
        self.down_until = 0.0
        self.fatal = False
        self.asked: list[tuple[float, list[str]]] = []

    async def poll(self, job_ids: Sequence[str], report: Report) -> int:
        self.asked.append((clock(), list(job_ids)))
        await asyncio.sleep(self.takes)
        if self.fatal:
            raise FatalError("the key is wrong", provider="board")
        if clock() < self.down_until:
            raise Unavailable("503")
        for job in self.gossip:
            report(job)
        for job_id in job_ids:
            if job_id not in self.silent:
                ended = clock() >= self.ends.get(job_id, float("inf"))
                report(Job(id=job_id, state=JobState.COMPLETED if ended else JobState.RUNNING))
        return self.requests

    def times(self, job_id: str) -> list[float]:
        return [at for at, ids in self.asked if job_id in ids]


class Room:
    def __init__(self, board: Board) -> None:
        self.stop, self.observer = Stop(), Recorder()
        self.poller = Poller(board, self.stop, self.observer)
        self.done: dict[str, tuple[float, Job]] = {}

    async def follow(self, job_id: str, timeout: float = 7200.0) -> Job:
        watch = self.poller.watch(job_id, clock(), timeout)
        job = await self.poller.wait(watch)
        self.done[job_id] = (clock(), job)
        return job


@asynccontextmanager
async def room(board: Board) -> AsyncIterator[Room]:
    made = Room(board)
    async with anyio.create_task_group() as group:
        group.start_soon(made.poller.run)
        yield made
        group.cancel_scope.cancel()


async def test_a_job_that_ended_wakes_its_row() -> None:
    board, started = Board(), clock()
    board.ends["a"] = started + 30
    async with room(board) as made:
        job = await made.follow("a")
        assert made.poller.watching == 0
    assert job == Job(id="a", state=JobState.COMPLETED)
    assert 30 <= clock() - started <= 30 * 1.25 + 3


async def test_jobs_that_start_together_are_asked_about_together() -> None:
    board, started = Board(), clock()
    async with room(board) as made, anyio.create_task_group() as group:
        for number in range(300):
            board.ends[f"j{number}"] = started + 20
            group.start_soon(made.follow, f"j{number}")
    assert all(len(ids) == 300 for _, ids in board.asked)
    assert len(board.asked) < 12


async def test_jobs_that_start_one_after_the_other_share_questions() -> None:
    board, started = Board(), clock()
    async with room(board) as made, anyio.create_task_group() as group:
        for number in range(100):
            board.ends[f"j{number}"] = started + 100
            group.start_soon(made.follow, f"j{number}")
            await asyncio.sleep(0.1)
    asked = sum(len(ids) for _, ids in board.asked)
    assert asked / len(board.asked) > 10


async def test_a_first_job_waits_a_moment_for_company() -> None:
    board = Board(first_look=0.0)
    async with room(board) as made, anyio.create_task_group() as group:
        for number in range(10):
            board.ends[f"j{number}"] = 0.0
            group.start_soon(made.follow, f"j{number}")
            await asyncio.sleep(0.001)
    assert len(board.asked) == 1


async def test_nobody_is_asked_before_the_first_look() -> None:
    board, started = Board(first_look=40.0), clock()
    board.ends["a"] = started + 1
    async with room(board) as made:
        await made.follow("a")
    assert len(board.asked) == 1
    assert 40 <= board.asked[0][0] - started < 41


@pytest.mark.parametrize("first_look", [0.0, 2.0])
async def test_the_gaps_between_questions_grow_with_age_up_to_a_minute(first_look: float) -> None:
    board, started = Board(first_look=first_look), clock()
    board.ends["a"] = started + 3600
    async with room(board) as made:
        await made.follow("a")
    gaps = [later - earlier for earlier, later in pairwise(board.times("a"))]
    assert min(gaps) >= 2.0
    assert max(gaps) <= 60.5
    assert gaps[-1] == pytest.approx(60, abs=0.5)
    for at, gap in zip(board.times("a"), gaps, strict=False):
        assert gap <= max(2.0, 0.25 * (at + gap - started)) + 0.5
    assert len(gaps) < 100


async def test_asking_takes_at_most_a_tenth_of_the_quota() -> None:
    board, started = Board(), clock()
    board.read_rate, board.requests = 5.0, 3
    async with room(board) as made, anyio.create_task_group() as group:
        for number in range(50):
            board.ends[f"j{number}"] = started + 300
            group.start_soon(made.follow, f"j{number}")
            await asyncio.sleep(0.7)
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(board.asked)]
    assert min(gaps) >= 3 / (5.0 * 0.1)


async def test_a_job_that_comes_during_a_poll_is_not_lost() -> None:
    board, started = Board(), clock()
    board.takes = 10.0
    async with room(board) as made, anyio.create_task_group() as group:
        for number in range(6):
            board.ends[f"j{number}"] = started + 3
            group.start_soon(made.follow, f"j{number}")
            await asyncio.sleep(3)
    assert len(made.done) == 6


async def test_a_list_may_tell_of_jobs_that_were_not_asked_about() -> None:
    board, started = Board(first_look=5.0), clock()
    board.ends["early"] = started
    board.gossip = [
        Job(id="late", state=JobState.COMPLETED, link="https://h/x"),
        Job(id="unknown", state=JobState.COMPLETED),
        Job(id=None, state=JobState.COMPLETED),
    ]
    async with room(board) as made, anyio.create_task_group() as group:
        group.start_soon(made.follow, "early")
        await asyncio.sleep(4)
        group.start_soon(made.follow, "late")
    assert made.done["late"][1].link == "https://h/x"
    assert board.times("late") == []


@pytest.mark.parametrize("state", [JobState.ERRORED, JobState.CANCELLED, JobState.MISSING])
async def test_any_state_but_running_wakes_the_row(state: JobState) -> None:
    board = Board()
    board.gossip = [Job(id="a", state=state)]
    async with room(board) as made:
        assert (await made.follow("a")).state is state


async def test_a_job_over_its_time_is_looked_at_once_beyond_the_deadline() -> None:
    board, started = Board(), clock()
    async with room(board) as made:
        watch = made.poller.watch("a", started, 100.0)
        job = await made.poller.wait(watch)
        assert made.poller.overdue(watch)
    assert job == Job(id="a", state=JobState.ENDED)
    assert 100 <= clock() - started <= 103
    assert board.times("a")[-1] >= started + 100


async def test_a_job_that_ended_just_before_its_deadline_is_not_overdue() -> None:
    board, started = Board(), clock()
    board.ends["a"] = started + 99.9
    async with room(board) as made:
        assert (await made.follow("a", 100.0)).state is JobState.COMPLETED


async def test_a_job_that_no_answer_mentions_is_over_after_its_time_too() -> None:
    """A poll may leave a job out; the row must not wait for ever."""
    board, started = Board(), clock()
    board.silent.add("a")
    async with room(board) as made:
        with anyio.move_on_after(10_000):
            assert (await made.follow("a", 100.0)).state is JobState.ENDED
    assert clock() - started < 200


async def test_a_job_that_is_not_mentioned_is_asked_about_again() -> None:
    board, started = Board(), clock()
    board.silent.add("a")
    async with room(board) as made:
        task = asyncio.ensure_future(made.follow("a"))
        await asyncio.sleep(20)
        board.silent.clear()
        board.ends["a"] = started
        assert (await task).state is JobState.COMPLETED
    assert len(board.times("a")) > 3


async def test_time_in_which_nobody_could_be_asked_does_not_count() -> None:
    board, started = Board(), clock()
    async with room(board) as made:
        task = asyncio.ensure_future(made.follow("a", 100.0))
        await asyncio.sleep(50)
        board.down_until = clock() + 1000
        await asyncio.sleep(1000)
        board.ends["a"] = clock() + 20
        assert (await task).state is JobState.COMPLETED
    assert clock() - started > 1050
    assert {str(event.message) for event in made.observer.of(Warned)} == {
        "board cannot be asked: 503"
    }


async def test_a_job_whose_time_passed_in_an_outage_still_has_its_rest() -> None:
    board, started = Board(), clock()
    board.ends["a"] = started + 3000
    async with room(board) as made:
        task = asyncio.ensure_future(made.follow("a", 2000.0))
        await asyncio.sleep(500)
        board.down_until = started + 2100
        assert (await task).state is JobState.COMPLETED
    assert clock() - started >= 3000


async def test_after_an_outage_the_job_has_the_rest_of_its_time_and_no_more() -> None:
    board, started = Board(), clock()
    async with room(board) as made:
        task = asyncio.ensure_future(made.follow("a", 100.0))
        await asyncio.sleep(50)
        board.down_until = clock() + 1000
        assert (await task).state is JobState.ENDED
    assert 1080 <= clock() - started <= 1250


async def test_an_outage_before_a_watch_gives_it_no_time() -> None:
    board = Board()
    board.down_until = clock() + 1000
    async with room(board) as made:
        first = asyncio.ensure_future(made.follow("a", 5000.0))
        await asyncio.sleep(1200)
        began = clock()
        assert (await made.follow("b", 100.0)).state is JobState.ENDED
        assert clock() - began < 110
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_questions_slow_down_while_the_provider_is_away() -> None:
    board, started = Board(), clock()
    board.down_until = started + 3600
    board.ends["a"] = started
    async with room(board) as made:
        await made.follow("a")
    assert len(board.asked) < 100
    assert clock() - started < 3600 + 120


async def test_no_watch_is_lost_in_an_outage() -> None:
    board, started = Board(), clock()
    board.down_until = started + 100
    async with room(board) as made, anyio.create_task_group() as group:
        for number in range(50):
            board.ends[f"j{number}"] = started
            group.start_soon(made.follow, f"j{number}")
    assert len(made.done) == 50
    assert made.poller.watching == 0


async def test_a_watch_may_be_waited_for_again() -> None:
    board, started = Board(), clock()
    board.gossip = [Job(id="a", state=JobState.MISSING)]
    async with room(board) as made:
        watch = made.poller.watch("a", started, 7200.0)
        assert (await made.poller.wait(watch)).state is JobState.MISSING
        again = clock()
        board.gossip = []
        board.ends["a"] = clock() + 5
        assert (await made.poller.wait(watch)).state is JobState.COMPLETED
        assert clock() - again >= 5
    gaps = [later - earlier for earlier, later in pairwise(board.times("a"))]
    assert min(gaps) >= 2.0


async def test_a_stop_ends_every_wait_and_the_loop() -> None:
    board, ends = Board(), list[str]()
    made = Room(board)

    async def follow(number: int) -> None:
        try:
            await made.follow(f"j{number}")
        except Stopped:
            ends.append("stopped")

    async with anyio.create_task_group() as group:
        runs = asyncio.ensure_future(made.poller.run())
        for number in range(20):
            group.start_soon(follow, number)
        await asyncio.sleep(10)
        made.stop.request()
    assert ends == ["stopped"] * 20
    assert made.poller.watching == 0
    runs.cancel()
    with pytest.raises((asyncio.CancelledError, Stopped)):
        await runs


async def test_a_cancelled_wait_is_no_longer_asked_about() -> None:
    board = Board()
    async with room(board) as made:
        with anyio.move_on_after(10):
            await made.follow("a")
        asked = len(board.asked)
        await asyncio.sleep(1000)
        assert made.poller.watching == 0
    assert len(board.asked) <= asked + 1


async def test_a_fatal_answer_ends_the_loop() -> None:
    board = Board()
    board.fatal = True
    made = Room(board)
    waits = asyncio.ensure_future(made.follow("a"))
    with pytest.raises(FatalError, match="the key is wrong"):
        await made.poller.run()
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits


async def test_a_job_resumed_at_a_great_age_is_asked_about_at_once() -> None:
    board, started = Board(), clock()
    board.ends["a"] = 0.0
    async with room(board) as made:
        watch = made.poller.watch("a", started - 90_000, 7200.0)
        assert (await made.poller.wait(watch)).state is JobState.COMPLETED
    assert clock() - started < 1


async def test_two_rows_may_wait_for_one_job() -> None:
    board = Board()
    board.ends["a"] = clock() + 30
    async with room(board) as made:
        jobs = await asyncio.gather(made.follow("a"), made.follow("a"))
    assert {job.id for job in jobs} == {"a"}
