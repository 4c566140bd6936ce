"""One loop that follows every job of one provider."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchcap.errors import FatalError, RowError, Stopped, Unavailable
from batchcap.events import Warned
from batchcap.interfaces import Report
from batchcap.model import Job, JobState
from batchcap.poller import Poller
from batchcap.stopping import Stop
from tests.fakes import Notes, Recorder, clock, on_virtual_time

pytestmark = pytest.mark.anyio

LONGEST_HEARD = 600.0
"""Seconds after which a job is asked about that an event was to tell of."""


class Board:
    """A provider whose jobs end at set times. Satisfies `interfaces.Polled`.

    A question takes `requests`, and `takes` seconds.
    """

    name = "board"

    def __init__(
        self, *, first_look: float = 2.0, shortest_gap: float = 2.0, rate: float | None = None
    ) -> None:
        self.first_look = first_look
        self.shortest_gap = shortest_gap
        self.read_rate = rate
        self.busy = False
        self.requests = 1
        self.takes = 0.0
        self.ends: dict[str, float] = {}
        self.silent: set[str] = set()
        self.gossip: list[Job] = []
        self.down_until = 0.0
        self.fatal = self.refuses = False
        self.meanwhile: Callable[[], None] | None = None
        self.asked: list[tuple[float, list[str]]] = []

    def cost(self, count: int) -> int:
        return self.requests

    async def poll(self, job_ids: Sequence[str], report: Report) -> int:
        self.asked.append((clock(), list(job_ids)))
        await asyncio.sleep(self.takes)
        if self.meanwhile is not None:
            self.meanwhile()
        if self.fatal:
            raise FatalError("the key is wrong", provider="board")
        if self.refuses:
            raise RowError("rejected", "no lists today")
        if clock() < self.down_until:
            raise Unavailable("503")
        for job in self.gossip:
            report(job)
        for job_id in job_ids:
            if job_id not in self.silent:
                ended = clock() >= self.ends.get(job_id, math.inf)
                report(Job(id=job_id, state=JobState.COMPLETED if ended else JobState.RUNNING))
        return self.requests

    def times(self, job_id: str) -> list[float]:
        return [at for at, ids in self.asked if job_id in ids]


def gaps(times: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


class Room:
    def __init__(self, board: Board, notes: Notes | None = None) -> None:
        self.stop, self.observer = Stop(), Recorder()
        self.notes = notes or Notes()
        self.board = board
        self.poller = Poller(board, self.stop, self.observer, self.notes)
        self.done: dict[str, tuple[float, Job]] = {}

    async def follow(
        self,
        job_id: str,
        timeout: float = 7200.0,
        *,
        age: float | None = 0.0,
        kind: tuple[str, ...] = (),
    ) -> Job:
        watch = self.poller.watch(job_id, kind, age, timeout)
        job = await self.poller.wait(watch)
        self.poller.ended(watch, job)
        self.done[job_id] = (clock(), job)
        return job

    def hear(self, job_id: str | None, state: JobState = JobState.COMPLETED) -> None:
        self.poller.hear(Job(id=job_id, state=state))

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.observer.of(Warned)]

    def late(self, job_id: str) -> float:
        """Seconds between a job's end and the moment its row was woken."""
        return self.done[job_id][0] - self.board.ends[job_id]


@asynccontextmanager
async def room(board: Board, notes: Notes | None = None) -> AsyncIterator[Room]:
    made = Room(board, notes)
    async with anyio.create_task_group() as group:
        group.start_soon(made.poller.run)
        yield made
        group.cancel_scope.cancel()


Told = Callable[[int], bool]


async def flow(made: Room, count: int, *, seed: int = 1, told: Told = lambda _: False) -> None:
    """A job each second, of a minute or so; events tell of the ends of some, by number."""
    chance, board = random.Random(seed), made.board
    loop = asyncio.get_running_loop()
    async with anyio.create_task_group() as group:
        for number in range(count):
            job_id, lasts = f"f{seed}-{number}", chance.lognormvariate(math.log(60), 0.5)
            board.ends[job_id] = clock() + lasts
            group.start_soon(made.follow, job_id)
            if told(number):
                loop.call_later(lasts + 0.5, made.hear, job_id)
            await asyncio.sleep(1)


@pytest.mark.parametrize(("rate", "within"), [(None, 2.0), (5.0, 15.0)])
async def test_a_job_that_ended_wakes_its_row(rate: float | None, within: float) -> None:
    board, started = Board(rate=rate), clock()
    board.ends["a"] = started + 60
    async with room(board) as made:
        job = await made.follow("a")
        assert made.poller.watching == 0
    assert job == Job(id="a", state=JobState.COMPLETED)
    assert 0 <= made.late("a") <= within


async def test_jobs_that_start_together_are_asked_about_together() -> None:
    board, started = Board(rate=5.0), clock()
    async with room(board) as made, anyio.create_task_group() as group:
        for number in range(300):
            board.ends[f"j{number}"] = started + 20
            group.start_soon(made.follow, f"j{number}")
    assert all(len(ids) == 300 for _, ids in board.asked)
    assert len(board.asked) < 12


async def test_jobs_that_start_one_after_the_other_share_questions() -> None:
    board = Board(rate=5.0)
    async with room(board) as made:
        await flow(made, 300)
    asked = sum(len(ids) for _, ids in board.asked)
    assert asked / len(board.asked) > 20


async def test_while_others_queue_for_the_quota_asking_is_rarer() -> None:
    polls: dict[bool, int] = {}
    for busy in (False, True):
        board = Board(rate=5.0)
        board.busy = busy
        async with room(board) as made:
            await flow(made, 300)
        polls[busy] = len(board.asked)
        late = sorted(made.late(job_id) for job_id in board.ends)
        assert late[150] < (60 if busy else 5)
    assert polls[True] < polls[False] / 5


async def test_a_first_job_waits_a_moment_for_company() -> None:
    board = Board(first_look=0.0)
    async with room(board) as made, anyio.create_task_group() as group:
        for number in range(10):
            board.ends[f"j{number}"] = 0.0
            group.start_soon(made.follow, f"j{number}", 100.0)
            await asyncio.sleep(0.001)
    assert len(board.asked[0][1]) == 10


async def test_nobody_is_asked_about_before_the_first_look() -> None:
    board, started = Board(first_look=40.0), clock()
    board.ends["a"] = started + 1
    async with room(board) as made:
        await made.follow("a")
    assert 40 <= board.asked[0][0] - started < 50


async def test_a_newcomer_is_not_asked_about_with_the_others_before_its_first_look() -> None:
    board, began = Board(first_look=20.0), dict[str, float]()
    async with room(board) as made, anyio.create_task_group() as group:
        for number in range(60):
            began[f"j{number}"] = clock()
            board.ends[f"j{number}"] = clock() + 30
            group.start_soon(made.follow, f"j{number}")
            await asyncio.sleep(1)
    assert min(board.times(job_id)[0] - at for job_id, at in began.items()) >= 20


async def test_nobody_is_asked_about_twice_within_the_shortest_gap() -> None:
    board = Board(shortest_gap=5.0)
    async with room(board) as made:
        await flow(made, 100)
    assert min(min(gaps(board.times(job_id)), default=9.0) for job_id in board.ends) >= 5.0


@pytest.mark.parametrize(("busy", "most"), [(False, 60.0), (True, 300.0)])
@pytest.mark.parametrize("rate", [None, 5.0])
async def test_a_straggler_is_asked_about_all_the_time(
    rate: float | None, busy: bool, most: float
) -> None:
    board, started = Board(rate=rate), clock()
    board.busy = busy
    board.ends["a"] = started + 7000
    async with room(board) as made:
        await made.follow("a")
    times = [started, *board.times("a")]
    assert max(gaps(times)) <= most + 1
    assert rate is None or len(times) < 7000 / most * 3


async def test_a_straggler_is_not_forgotten_among_many_who_come_and_go() -> None:
    board, started = Board(rate=5.0), clock()
    board.ends["old"] = started + 1500
    async with room(board) as made, anyio.create_task_group() as group:
        group.start_soon(made.follow, "old")
        await flow(made, 1400)
    assert max(gaps([started, *board.times("old")])) <= 61


@pytest.mark.parametrize("requests", [1, 3, 40])
@pytest.mark.parametrize("jobs", [1, 50])
async def test_asking_in_vain_takes_at_most_a_tenth_of_the_quota(requests: int, jobs: int) -> None:
    board, started = Board(rate=5.0), clock()
    board.requests = requests
    async with room(board) as made, anyio.create_task_group() as group:
        for number in range(jobs):
            board.ends[f"j{number}"] = started + 6000
            group.start_soon(made.follow, f"j{number}")
    assert len(board.asked) * requests <= 0.1 * 5.0 * (clock() - started) + requests
    assert all(gap >= requests / (5.0 * 0.1) for gap in gaps([at for at, _ in board.asked])[:-1])


async def test_questions_that_settle_a_job_each_keep_nobody_from_asking() -> None:
    board = Board(rate=0.5, first_look=0.0)
    board.requests = 20
    async with room(board) as made, anyio.create_task_group() as group:
        for number in range(20):
            board.ends[f"j{number}"] = 0.0
            group.start_soon(made.follow, f"j{number}", 7200.0)
        await asyncio.sleep(60)
        board.ends["old"], again = 0.0, clock()
        await made.follow("old", age=90_000.0)
    assert clock() - again < 1


def hear_of_nine(made: Room) -> None:
    for number in range(9):
        made.hear(f"j{number}")


async def test_what_was_heard_during_a_question_is_not_to_its_credit() -> None:
    board = Board(rate=1.0)
    board.requests, board.takes = 10, 1.0
    async with room(board) as made, anyio.create_task_group() as group:
        board.meanwhile = lambda: hear_of_nine(made)
        for number in range(10):
            board.ends[f"j{number}"] = clock() + 150
            group.start_soon(made.follow, f"j{number}", 7200.0)
    assert gaps([at for at, _ in board.asked])[0] >= 10 / (1.0 * 0.1)


async def test_a_job_that_comes_during_a_question_is_not_lost() -> None:
    board, started = Board(), clock()
    board.takes = 10.0
    async with room(board) as made, anyio.create_task_group() as group:
        for number in range(6):
            board.ends[f"j{number}"] = started + 3
            group.start_soon(made.follow, f"j{number}")
            await asyncio.sleep(3)
    assert len(made.done) == 6


async def test_a_list_may_tell_of_jobs_that_were_not_asked_about() -> None:
    board, started = Board(first_look=20.0), clock()
    board.ends["early"] = started
    board.gossip = [
        Job(id="late", state=JobState.COMPLETED, link="https://h/x"),
        Job(id="unknown", state=JobState.COMPLETED),
        Job(id=None, state=JobState.COMPLETED),
    ]
    async with room(board) as made, anyio.create_task_group() as group:
        group.start_soon(made.follow, "early")
        await asyncio.sleep(19)
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
    board, started = Board(rate=5.0), clock()
    async with room(board) as made:
        watch = made.poller.watch("a", (), 0.0, 100.0)
        job = await made.poller.wait(watch)
        assert made.poller.overdue(watch)
    assert job == Job(id="a", state=JobState.ENDED)
    assert 100 <= clock() - started <= 103
    assert len([at for at in board.times("a") if at >= started + 100]) == 1


async def test_a_deadline_is_kept_while_the_provider_is_busy_with_others() -> None:
    board, started = Board(rate=5.0), clock()
    board.busy = True
    async with room(board) as made, anyio.create_task_group() as group:
        group.start_soon(flow, made, 200)
        assert (await made.follow("a", 100.0)).state is JobState.ENDED
        assert 100 <= clock() - started <= 115


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
        await asyncio.sleep(60)
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
    assert set(made.warnings) == {"board cannot be asked: 503"}


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


async def test_a_refused_question_lets_every_row_look_for_itself_and_is_told_once() -> None:
    board = Board()
    board.refuses = True
    async with room(board) as made:
        for _ in range(3):
            jobs = await asyncio.gather(*(made.follow(f"j{number}") for number in range(10)))
            assert {job.state for job in jobs} == {JobState.ENDED}
    assert made.warnings == ["board refuses a poll: no lists today"]


async def test_a_job_that_hangs_is_told_of_once() -> None:
    board, started = Board(), clock()
    async with room(board) as made, anyio.create_task_group() as group:
        for number in range(5):
            board.ends[f"j{number}"] = started + 7000
            group.start_soon(made.follow, f"j{number}")
    (told,) = made.warnings
    assert told.startswith("board: job j")
    assert "has run for 66 minutes, most end within 22" in told


async def test_jobs_that_take_long_as_all_do_are_not_told_of() -> None:
    board = Board()
    async with room(board) as made:
        for _ in range(50):
            made.poller.durations.learn((), 3000.0)
        board.ends["a"] = clock() + 7000
        await made.follow("a")
    assert made.warnings == []


async def test_a_watch_may_be_waited_for_again() -> None:
    board = Board()
    board.gossip = [Job(id="a", state=JobState.MISSING)]
    async with room(board) as made:
        watch = made.poller.watch("a", (), 0.0, 7200.0)
        assert (await made.poller.wait(watch)).state is JobState.MISSING
        again = clock()
        board.gossip = []
        board.ends["a"] = clock() + 5
        assert (await made.poller.wait(watch)).state is JobState.COMPLETED
        assert clock() - again >= 5
    assert min(gaps(board.times("a"))) >= 2.0


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


@pytest.mark.parametrize("busy", [False, True])
async def test_a_job_resumed_at_a_great_age_is_asked_about_at_once(busy: bool) -> None:
    board, started = Board(rate=5.0), clock()
    board.busy = busy
    board.ends["a"] = 0.0
    async with room(board) as made:
        assert (await made.follow("a", age=90_000.0)).state is JobState.COMPLETED
    assert clock() - started < 1


async def test_a_job_of_unknown_age_is_asked_about_at_once_and_has_all_its_time() -> None:
    board, started = Board(rate=5.0, first_look=30.0), clock()
    async with room(board) as made:
        assert (await made.follow("a", 500.0, age=None)).state is JobState.ENDED
    assert board.times("a")[0] - started < 1
    assert 500 <= clock() - started <= 503


async def test_two_rows_may_wait_for_one_job() -> None:
    board = Board()
    board.ends["a"] = clock() + 30
    async with room(board) as made:
        jobs = await asyncio.gather(made.follow("a"), made.follow("a"))
    assert {job.id for job in jobs} == {"a"}
    assert all(ids == ["a"] for _, ids in board.asked)


async def test_what_jobs_took_is_learned_and_kept() -> None:
    board, notes = Board(rate=5.0), Notes()
    async with room(board, notes) as made:
        for number in range(30):
            board.ends[f"j{number}"] = clock() + 300
            await made.follow(f"j{number}", kind=("es",))
        first = len(board.asked)
    async with room(board, notes) as made:
        law = made.poller.durations.law(("es",))
        board.asked.clear()
        for number in range(30, 60):
            board.ends[f"j{number}"] = clock() + 300
            await made.follow(f"j{number}", kind=("es",))
    assert 270 <= math.exp(law.mu) <= 330
    assert len(board.asked) < first


async def test_what_a_few_jobs_took_is_kept_when_the_run_ends() -> None:
    notes = Notes()
    async with room(Board(), notes) as made:
        made.poller.durations.learn((), 5000.0)
        assert notes.kept == {}
    assert list(notes.kept) == ["durations.board"]


async def test_a_job_that_had_ended_when_it_was_asked_about_first_teaches_nothing() -> None:
    board, notes = Board(), Notes()
    async with room(board, notes) as made:
        guess = made.poller.durations.law(())
        for number in range(50):
            board.ends[f"j{number}"] = 0.0
            await made.follow(f"j{number}", age=None)
        assert made.poller.durations.law(()) == guess


async def test_a_provider_that_tells_how_long_a_job_took_is_believed() -> None:
    board = Board()
    board.gossip = [Job(id="a", state=JobState.COMPLETED, took=1000.0)]
    async with room(board) as made:
        before = made.poller.durations.law(()).mu
        await made.follow("a")
        assert made.poller.durations.law(()).mu > before


# Events.


async def test_a_heard_end_wakes_the_row_without_a_question() -> None:
    board, started = Board(first_look=20.0), clock()
    async with room(board) as made, anyio.create_task_group() as group:
        group.start_soon(made.follow, "a", 7200.0)
        await asyncio.sleep(10)
        made.poller.hear(Job(id="a", state=JobState.COMPLETED, link="https://h/a"))
    assert made.done["a"][1].link == "https://h/a"
    assert made.done["a"][0] == pytest.approx(started + 10, abs=0.01)
    assert board.asked == []


async def test_an_event_that_overtakes_the_answer_to_the_create_is_kept() -> None:
    board, started = Board(), clock()
    async with room(board) as made:
        made.hear("a", JobState.RUNNING)
        made.hear("a", JobState.ERRORED)
        assert (await made.follow("a")).state is JobState.ERRORED
    assert clock() - started < 0.01
    assert board.asked == []


async def test_events_for_nobody_are_kept_within_bounds_and_the_oldest_go_first() -> None:
    board = Board(first_look=50.0)
    async with room(board) as made:
        for number in range(10_001):
            made.hear(f"j{number}")
        assert (await made.follow("j1")).state is JobState.COMPLETED
        assert (await made.follow("j10000")).state is JobState.COMPLETED
        assert board.asked == []
        board.ends["j0"] = clock()
        await made.follow("j0")
        assert len(board.times("j0")) == 1


async def test_hearing_that_a_job_runs_postpones_asking() -> None:
    firsts: list[float] = []
    for hears in (False, True):
        board, started = Board(rate=5.0), clock()
        board.ends["a"] = started + 200
        async with room(board) as made, anyio.create_task_group() as group:
            group.start_soon(made.follow, "a")
            for _ in range(4 if hears else 0):
                await asyncio.sleep(10)
                made.hear("a", JobState.RUNNING)
        firsts.append(board.times("a")[0] - started)
    silent, heard = firsts
    assert heard >= silent + 15


async def test_asking_slows_down_as_events_turn_out_to_come() -> None:
    polls: list[int] = []
    for told in (lambda _: False, lambda _: True):
        board = Board(rate=5.0)
        async with room(board) as made:
            await flow(made, 200, seed=1, told=told)
            learned = len(board.asked)
            await flow(made, 600, seed=2, told=told)
            polls.append(len(board.asked) - learned)
    alone, helped = polls
    assert alone > 60
    assert helped <= alone / 3


async def test_events_that_tell_of_every_other_end_save_less() -> None:
    polls: list[int] = []
    for share in (0.0, 0.5, 1.0):
        board = Board(rate=5.0)
        async with room(board) as made:
            chance = random.Random(3)
            await flow(made, 600, told=lambda _, s=share, c=chance: c.random() < s)  # type: ignore[misc]  # defaults bind the loop's values
        polls.append(len(board.asked))
        assert max(made.late(job_id) for job_id in board.ends) < 120
    assert polls[0] > polls[1] > polls[2]


async def test_silence_is_noticed_soon_while_jobs_come_and_go() -> None:
    """Some six ends that nobody tells of, and the next decision."""
    board = Board(rate=5.0)
    async with room(board) as made:
        await flow(made, 300, told=lambda number: number < 240)
    lost = [made.late(f"f1-{number}") for number in range(240, 300)]
    assert max(lost) <= 60


@pytest.mark.parametrize("busy", [False, True])
async def test_the_last_lost_event_costs_ten_minutes_at_most(busy: bool) -> None:
    """Too few jobs run for silence to mean anything: each is asked about within 600 s."""
    board = Board(rate=5.0)
    board.busy = busy
    async with room(board) as made:
        await flow(made, 200, told=lambda _: True)
        started = clock()
        board.ends["last"] = started + 5000
        await made.follow("last")
    times = [started, *board.times("last")]
    assert max(gaps(times)) <= LONGEST_HEARD + 1
    assert made.late("last") <= LONGEST_HEARD + 1


async def test_a_deadline_is_kept_although_events_are_relied_on() -> None:
    board = Board(rate=5.0)
    async with room(board) as made:
        await flow(made, 200, told=lambda _: True)
        started = clock()
        assert (await made.follow("last", 100.0)).state is JobState.ENDED
    assert 100 <= clock() - started <= 103


async def test_a_job_that_runs_although_an_event_said_it_ended_is_asked_about_as_ever() -> None:
    board = Board(rate=5.0)
    async with room(board) as made:
        await flow(made, 200, told=lambda _: True)
        started = clock()
        board.ends["a"] = started + 1000
        watch = made.poller.watch("a", (), 0.0, 7200.0)
        asyncio.get_running_loop().call_later(10, made.hear, "a", JobState.ENDED)
        assert (await made.poller.wait(watch)).state is JobState.ENDED
        assert (await made.poller.wait(watch)).state is JobState.COMPLETED
    assert max(gaps([started + 10, *board.times("a")])) <= 61


async def test_news_that_a_job_runs_does_not_save_it_from_its_deadline() -> None:
    board, started = Board(rate=5.0), clock()
    async with room(board) as made, anyio.create_task_group() as group:
        group.start_soon(made.follow, "a", 100.0)
        while "a" not in made.done and clock() - started < 1000:  # a provider that talks for ever
            made.hear("a", JobState.RUNNING)
            await asyncio.sleep(7)
    assert made.done["a"][1].state is JobState.ENDED
    assert made.done["a"][0] - started <= 110


async def test_doubled_events_wake_a_row_once_and_a_later_row_for_the_same_job() -> None:
    board = Board()
    async with room(board) as made, anyio.create_task_group() as group:
        group.start_soon(made.follow, "a", 7200.0)
        await asyncio.sleep(1)
        for _ in range(5):
            made.hear("a")
        await asyncio.sleep(1)
        made.hear("a")
        assert (await made.follow("a")).state is JobState.COMPLETED
    assert board.asked == []


async def test_an_event_without_a_job_id_is_no_news() -> None:
    async with room(Board()) as made:
        made.hear(None)
        made.hear(None, JobState.RUNNING)
        assert made.poller.watching == 0


HEARD = st.lists(
    st.tuples(
        st.floats(0.0, 90.0),
        st.sampled_from(["a", "b", "c", "unknown", None]),
        st.sampled_from(list(JobState)),
    ),
    max_size=30,
)


@given(HEARD)
@settings(max_examples=60, deadline=None)
def test_no_order_of_events_harms_anybody(heard: list[tuple[float, str | None, JobState]]) -> None:
    async def lives() -> None:
        board = Board(rate=5.0)
        board.ends = dict.fromkeys("abc", clock() + 60)
        async with room(board) as made, anyio.create_task_group() as group:
            for after, job_id, state in heard:
                asyncio.get_running_loop().call_later(after, made.hear, job_id, state)
            for job_id in "abc":
                group.start_soon(made.follow, job_id, 300.0)
            await asyncio.sleep(100)
        ended = {job_id for _, job_id, state in heard if state is not JobState.RUNNING}
        for job_id in "abc":
            at, job = made.done[job_id]
            assert job.id == job_id
            assert job.state is not JobState.RUNNING
            assert job_id in ended or at >= board.ends[job_id]
        assert clock() - board.ends["a"] < 240
        assert made.poller.watching == 0

    on_virtual_time(lives())


async def test_news_of_strangers_changes_no_question() -> None:
    """As long as no end of ours is heard, asking is what it is without a receiver."""
    asked: list[list[tuple[float, list[str]]]] = []
    for strangers in (False, True):
        board = Board(rate=5.0)
        started = clock()
        async with room(board) as made, anyio.create_task_group() as group:
            group.start_soon(flow, made, 100)
            for number in range(300 if strangers else 0):
                made.hear(f"stranger-{number % 7}", list(JobState)[number % 6])
                await asyncio.sleep(0.5)
        asked.append([(at - started, ids) for at, ids in board.asked])
    without, beside = asked
    assert [ids for _, ids in without] == [ids for _, ids in beside]
    assert [at for at, _ in beside] == pytest.approx([at for at, _ in without], abs=0.01)
