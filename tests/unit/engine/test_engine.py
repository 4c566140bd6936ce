"""A row's way, with real small classes in the engine's sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import anyio
import pytest

from batchcap.domain.errors import (
    Ambiguous,
    BadCaption,
    CreatesRefused,
    FatalError,
    LinkExpired,
    NotAccepted,
    RowError,
    Stopped,
    Unavailable,
)
from batchcap.domain.events import JobCreated, LaneStopped, RowEnded, RowHeldBack, RowStarted
from batchcap.domain.models import Failure, Job, JobState, Row, RowHistory, RowState
from batchcap.domain.shutdown import ShutdownToken
from batchcap.engine import Engine, Lane, Policy, Poller
from batchcap.simulation.in_memory import InMemoryStore
from tests.harness.clock import clock, now
from tests.harness.engine import SKIPPED, FakeDownloader, FakeLedger, FakeProvider
from tests.harness.observers import Recorder
from tests.harness.rows import CAPTION, row

pytestmark = pytest.mark.anyio

LINK = "https://files/source1"


class World:
    """One engine over fakes; `rows` are of the provider "fake" unless they say otherwise."""

    def __init__(
        self,
        rows: Sequence[Row] = (),
        *,
        histories: dict[int, RowHistory] | None = None,
        providers: Sequence[str] = ("fake",),
        window: int = 100,
        policy: Policy | None = None,
    ) -> None:
        self.ledger = FakeLedger(rows or [row()], histories)
        self.observer = Recorder()
        self.providers = {name: FakeProvider(name) for name in providers}
        self.downloaders = {name: FakeDownloader() for name in providers}
        self.stops = {name: ShutdownToken() for name in providers}
        self.lanes = [
            Lane(
                provider=provider,
                poller=Poller(
                    provider, self.stops[name], self.observer, InMemoryStore(), window=window
                ),
                downloader=self.downloaders[name],
                stop=self.stops[name],
                window=window,
            )
            for name, provider in self.providers.items()
        ]
        self.engine = Engine(self.ledger, self.lanes, policy or Policy(), self.observer, now)

    @property
    def provider(self) -> FakeProvider:
        return next(iter(self.providers.values()))

    @property
    def downloader(self) -> FakeDownloader:
        return next(iter(self.downloaders.values()))

    async def run(self) -> None:
        with anyio.fail_after(10**6):
            await self.engine.run()

    def stop(self) -> None:
        for stop in self.stops.values():
            stop.request()

    def failure(self, number: int = 1) -> Failure:
        found = self.ledger.outcomes[number].failure
        assert found is not None
        return found


def rows(count: int, provider: str = "fake", start: int = 1) -> list[Row]:
    return [row(number, provider=provider) for number in range(start, start + count)]


async def test_engine_row_without_history_is_created_polled_and_fetched() -> None:
    world, started = World(), now()
    await world.run()
    assert world.ledger.wrote == [("intend", 1), ("created", 1), ("ended", 1)]
    outcome = world.ledger.outcomes[1]
    assert outcome.state is RowState.DONE
    assert outcome.caption == CAPTION
    assert outcome.failure is None
    assert outcome.job is not None
    assert (outcome.job.id, outcome.job.units) == ("job-source1-1", 1)
    assert outcome.started_at == pytest.approx(started, abs=0.1)
    assert outcome.finished_at == pytest.approx(now(), abs=0.1)
    assert world.downloader.fetched == [(LINK, "fake/source1.es.vtt")]
    told = [type(event) for event in world.observer.events]
    assert told == [RowStarted, JobCreated, RowEnded]
    assert world.engine.fatal == []


async def test_engine_many_rows_all_end_and_each_is_created_once() -> None:
    world = World(rows(700), window=50)
    await world.run()
    assert len(world.ledger.outcomes) == 700
    assert len(set(world.provider.creates)) == len(world.provider.creates) == 700


async def test_engine_without_rows_returns_at_once() -> None:
    world = World()
    world.ledger.rows.clear()
    await world.run()
    assert world.observer.events == []


async def test_create_leaves_after_its_intent_is_durable() -> None:
    world = World()

    async def look() -> None:
        assert world.ledger.wrote == [("intend", 1)]

    world.provider.in_the_air = look
    await world.run()
    assert world.ledger.state(1) is RowState.DONE


async def test_row_with_existing_caption_is_not_created() -> None:
    world = World()
    world.provider.prepared["source1"] = Job(id=None, state=JobState.COMPLETED, track="t")
    await world.run()
    assert world.provider.creates == []
    assert world.provider.polls == []
    assert world.ledger.wrote == [("ended", 1)]
    assert world.ledger.state(1) is RowState.DONE


async def test_row_with_existing_job_waits_for_that_job() -> None:
    world = World()
    world.provider.put_job("theirs", "source1", clock())
    world.provider.prepared["source1"] = Job(id="theirs", state=JobState.RUNNING)
    await world.run()
    assert world.provider.creates == []
    assert world.ledger.state(1) is RowState.DONE


async def test_create_that_finds_the_caption_discards_its_intent() -> None:
    world = World()
    world.provider.submits["source1"] = [Job(id=None, state=JobState.COMPLETED)]
    await world.run()
    assert world.ledger.wrote == [("intend", 1), ("withdrawn", 1), ("ended", 1)]
    assert world.ledger.state(1) is RowState.DONE
    assert not world.observer.of(JobCreated)


async def test_row_not_wanted_is_skipped() -> None:
    world = World()
    world.provider.prepared["source1"] = SKIPPED
    await world.run()
    assert world.ledger.state(1) is RowState.SKIPPED
    assert world.ledger.outcomes[1].failure is None


async def test_row_skipped_at_its_create_discards_its_intent() -> None:
    world = World()
    world.provider.submits["source1"] = [SKIPPED]
    await world.run()
    assert world.ledger.wrote == [("intend", 1), ("withdrawn", 1), ("ended", 1)]
    assert world.ledger.state(1) is RowState.SKIPPED


@pytest.mark.parametrize("where", ["prepare", "submit"])
@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        (RowError("asset_not_found", "gone"), "asset_not_found", False),
        (RowError("rejected", "no", retryable=True), "rejected", True),
        (Unavailable("503"), "unavailable", True),
    ],
)
async def test_row_refused_leaves_the_others_alone(
    where: str, fault: Exception, code: str, retryable: bool
) -> None:
    world = World(rows(3))
    if where == "prepare":
        world.provider.prepared["source1"] = fault
    else:
        world.provider.submits["source1"] = [fault]
    await world.run()
    assert world.failure() == Failure(code, str(fault), retryable)
    assert [world.ledger.state(number) for number in (2, 3)] == [RowState.DONE] * 2
    assert 1 not in world.ledger.histories


async def test_create_not_accepted_is_sent_again_with_a_fresh_intent() -> None:
    world, started = World(), clock()
    world.provider.submits["source1"] = [NotAccepted("429", failures=1, delay=500.0)]
    intents: list[float] = []

    async def look() -> None:
        intents.append(world.ledger.histories[1].intent_at or 0.0)

    world.provider.in_the_air = look
    await world.run()
    assert world.provider.creates == ["source1"] * 2
    assert world.provider.attempts == [0, 1]
    assert intents[1] - intents[0] == pytest.approx(500, abs=1)
    assert clock() - started >= 500
    assert world.ledger.state(1) is RowState.DONE


async def test_create_without_response_is_looked_up_and_adopted() -> None:
    world, started = World(), now()
    world.provider.submits["source1"] = [Ambiguous("no answer")]
    world.provider.put_job("landed", "source1", clock())
    world.provider.found["source1"] = Job(id="landed", state=JobState.RUNNING)
    await world.run()
    assert world.provider.creates == ["source1"]
    assert world.provider.finds[0][1] >= started + Policy().settle
    assert world.ledger.wrote == [("intend", 1), ("created", 1), ("ended", 1)]
    assert world.ledger.state(1) is RowState.DONE


async def test_create_that_surely_did_not_arrive_is_sent_again() -> None:
    world = World()
    world.provider.submits["source1"] = [Ambiguous("no answer")]
    await world.run()
    assert world.provider.creates == ["source1", "source1"]
    assert len(world.provider.finds) == 1
    assert world.ledger.state(1) is RowState.DONE


async def test_create_that_cannot_be_looked_up_stays_unknown_and_is_not_sent() -> None:
    world = World(histories={1: RowHistory(now() - 1)})
    world.provider.found["source1"] = RowError("outcome_unknown", "too old", retryable=True)
    await world.run()
    assert world.provider.creates == []
    assert world.failure().code == "outcome_unknown"
    assert world.ledger.histories[1].intent_at is not None


async def test_create_whose_responses_are_always_lost_fails_its_row() -> None:
    world = World()
    world.provider.submits["source1"] = [Ambiguous("no answer")] * 9
    await world.run()
    assert world.provider.creates == ["source1"] * 5
    told = "gave up after 5 create requests without a response: no answer"
    assert world.failure() == Failure("unavailable", told, retryable=True)
    assert len(world.provider.finds) == 5


async def test_resume_with_intent_without_job_is_looked_up_first() -> None:
    world = World(histories={1: RowHistory(now() - 30)})
    world.provider.put_job("landed", "source1", clock())
    world.provider.found["source1"] = Job(id="landed", state=JobState.RUNNING)
    started = now()
    await world.run()
    assert world.provider.creates == []
    assert world.provider.finds[0][1] == pytest.approx(started + 60, abs=0.1)
    assert world.ledger.state(1) is RowState.DONE


async def test_resume_after_clock_was_set_back_does_not_wait_long() -> None:
    world, started = World(histories={1: RowHistory(now() + 10**7)}), now()
    await world.run()
    assert world.provider.finds[0][1] <= started + Policy().settle + 1


async def test_resume_with_job_continues_with_polling() -> None:
    world = World(histories={1: RowHistory(now() - 600, "old")})
    world.provider.put_job("old", "source1", clock() - 600)
    await world.run()
    assert world.provider.creates == []
    assert world.ledger.wrote == [("ended", 1)]
    assert world.ledger.state(1) is RowState.DONE


async def test_download_with_expired_link_gets_a_fresh_one() -> None:
    world = World()
    world.provider.links["source1"] = ["https://old", "https://fresh"]
    world.downloader.answers["https://old"] = [LinkExpired("403")]
    await world.run()
    assert [link for link, _ in world.downloader.fetched] == ["https://old", "https://fresh"]
    assert world.provider.looks == ["job-source1-1"]
    assert world.ledger.state(1) is RowState.DONE


async def test_download_with_dead_links_only_fails_as_link_dead() -> None:
    world, started = World(), clock()
    world.downloader.always = LinkExpired("the file host answered 403")
    await world.run()
    assert world.failure().code == "link_dead"
    assert world.failure().retryable
    assert len(world.downloader.fetched) == 6
    assert clock() - started < 300


async def test_download_of_bad_caption_is_repeated_once() -> None:
    world = World()
    world.downloader.answers[LINK] = [BadCaption("an HTML page")]
    await world.run()
    assert len(world.downloader.fetched) == 2
    assert world.ledger.state(1) is RowState.DONE


async def test_download_of_bad_caption_twice_fails_as_bad_caption() -> None:
    world = World()
    world.downloader.always = BadCaption("an HTML page")
    await world.run()
    assert len(world.downloader.fetched) == 2
    assert world.failure() == Failure("bad_caption", "an HTML page")


async def test_completed_job_without_link_fails_after_the_link_timeout() -> None:
    world, started = World(), clock()
    world.provider.links["source1"] = [None]
    await world.run()
    assert world.failure().code == "captions_not_enabled"
    assert clock() - started >= 10 + 30
    assert clock() - started < 10 + 30 + 30
    assert world.downloader.fetched == []


async def test_completed_job_with_late_link_is_fetched() -> None:
    world = World()
    world.provider.links["source1"] = [None, None, None, LINK]
    await world.run()
    assert world.ledger.state(1) is RowState.DONE
    assert len(world.provider.looks) == 3


@pytest.mark.parametrize(
    ("end", "code", "retryable"),
    [
        (JobState.ERRORED, "job_failed", False),
        (JobState.CANCELLED, "job_cancelled", True),
    ],
)
async def test_job_that_ended_badly_fails_its_row(
    end: JobState, code: str, retryable: bool
) -> None:
    world = World()
    world.provider.endings["source1"] = [end]
    await world.run()
    assert world.failure().code == code
    assert world.failure().retryable is retryable
    assert world.provider.creates == ["source1"]
    assert world.downloader.fetched == []


async def test_job_that_errored_fails_its_row_with_the_providers_reason() -> None:
    world = World()
    reason = Failure("job_failed", "no speech in it")
    failed = Job(id="job-source1-1", state=JobState.ERRORED, failure=reason, units=7)
    world.provider.endings["source1"] = [failed]
    await world.run()
    assert world.failure() == reason
    assert world.ledger.outcomes[1].job == failed


async def test_job_unknown_after_the_grace_is_missing() -> None:
    world, started = World(histories={1: RowHistory(now(), "lost")}), clock()
    await world.run()
    assert world.failure().code == "not_found"
    assert clock() - started >= 60


async def test_job_unknown_at_first_is_polled_again() -> None:
    world = World(histories={1: RowHistory(now(), "late")})

    async def appear() -> None:
        await asyncio.sleep(30)
        world.provider.put_job("late", "source1", clock())

    async with anyio.create_task_group() as group:
        group.start_soon(appear)
        await world.run()
    assert world.ledger.state(1) is RowState.DONE


def retryable_failure(nth: int) -> Job:
    why = Failure("job_failed", "try again", retryable=True)
    return Job(id=f"job-source1-{nth}", state=JobState.ERRORED, failure=why)


async def test_job_with_retryable_error_is_created_again_if_allowed() -> None:
    world = World(policy=Policy(retry_jobs=2))
    world.provider.endings["source1"] = [retryable_failure(1), JobState.COMPLETED]
    await world.run()
    assert world.ledger.state(1) is RowState.DONE
    assert world.ledger.wrote == [
        ("intend", 1),
        ("created", 1),
        ("job_ended", 1),
        ("intend", 1),
        ("created", 1),
        ("ended", 1),
    ]
    assert [job.id for job in world.ledger.ended_jobs] == ["job-source1-1"]


@pytest.mark.parametrize("allowed", [0, 1, 3])
async def test_job_that_errors_again_is_created_at_most_as_often_as_allowed(allowed: int) -> None:
    world = World(policy=Policy(retry_jobs=allowed))
    world.provider.endings["source1"] = [retryable_failure(nth) for nth in range(1, 9)]
    await world.run()
    assert len(world.provider.creates) == 1 + allowed
    assert world.failure().code == "job_failed"
    assert world.failure().retryable


@pytest.mark.parametrize("end", [JobState.CANCELLED, JobState.MISSING, JobState.ERRORED])
async def test_job_without_retryable_error_is_not_created_again(end: JobState) -> None:
    """The contract: --retry-jobs is for jobs that ended as `errored` with `retryable`."""
    world = World(policy=Policy(retry_jobs=3))
    world.provider.endings["source1"] = [end]
    world.provider.not_found_grace = 0.0
    await world.run()
    assert world.provider.creates == ["source1"]


async def test_job_that_never_ends_times_out_after_a_last_look() -> None:
    world, started = World(policy=Policy(job_timeout=600.0)), clock()
    world.provider.takes = 10**9
    await world.run()
    assert world.failure().code == "job_timeout"
    assert world.failure().retryable
    assert 600 <= clock() - started < 700
    assert len(world.provider.looks) == 1


async def test_resume_with_job_counts_its_time_from_the_create() -> None:
    world = World(policy=Policy(job_timeout=600.0), histories={1: RowHistory(now() - 590, "old")})
    world.provider.put_job("old", "source1", clock() - 590)
    world.provider.takes = 10**9
    started = clock()
    await world.run()
    assert world.failure().code == "job_timeout"
    assert clock() - started < 100


async def test_resume_with_errored_job_creates_again_if_allowed() -> None:
    world = World(policy=Policy(retry_jobs=1), histories={1: RowHistory(now() - 600, "old")})
    world.provider.put_job("old", "source1", clock() - 600)
    why = Failure("job_failed", "try again", retryable=True)
    errored = Job(id="old", state=JobState.ERRORED, failure=why)
    world.provider.endings["source1"] = [errored]
    await world.run()
    assert world.provider.creates == ["source1"]
    assert world.ledger.ended_jobs == [errored]


async def test_job_that_completed_before_the_last_look_is_kept() -> None:
    world = World(policy=Policy(job_timeout=600.0), histories={1: RowHistory(now() - 5000, "old")})
    world.provider.put_job("old", "source1", clock() - 5000)
    await world.run()
    assert world.ledger.state(1) is RowState.DONE


async def test_poll_refused_stops_the_lane_and_leaves_its_rows_pending() -> None:
    world = World(rows(5))
    world.provider.poll_fault = FatalError("the key is wrong", hint="h", provider="fake")
    await world.run()
    assert world.ledger.outcomes == {}
    assert [str(error) for error in world.engine.fatal] == ["the key is wrong"]
    assert world.observer.of(LaneStopped) == [LaneStopped("fake", "the key is wrong", "h")]
    assert all(world.ledger.histories[number].job_id for number in range(1, 6))


async def test_refused_create_stops_creates_and_leaves_jobs_at_work() -> None:
    world = World(rows(20), window=20, histories={n: RowHistory(now(), f"old-{n}") for n in (3, 9)})
    for number in (3, 9):
        world.provider.put_job(f"old-{number}", f"source{number}", clock())
    world.provider.submits["source5"] = [CreatesRefused("no units", hint="h", provider="fake")]
    await world.run()
    done = {number for number in range(1, 21) if world.ledger.state(number) is RowState.DONE}
    assert done >= {3, 9}
    assert set(world.ledger.held_back) == set(range(1, 21)) - done
    assert {failure.code for failure in world.ledger.held_back.values()} == {"units_exhausted"}
    assert [str(error) for error in world.engine.fatal] == ["no units"]
    assert world.observer.of(LaneStopped) == [LaneStopped("fake", "no units", "h")]
    assert len(world.observer.of(RowHeldBack)) == 20 - len(done)
    assert 5 not in world.ledger.histories


async def test_refused_create_ends_the_waits_of_other_rows_for_the_quota() -> None:
    world = World(rows(10), window=10)
    waiting = 0

    async def before_submit() -> None:
        nonlocal waiting
        waiting += 1
        if waiting > 1:
            await anyio.sleep(10**5)

    world.provider.before_submit = before_submit
    world.provider.submits["source1"] = [CreatesRefused("no units", provider="fake")]
    start = clock()
    await world.run()
    assert clock() - start < 60
    assert world.provider.creates == ["source1"]
    assert set(world.ledger.held_back) == set(range(1, 11))


async def test_refused_create_in_one_lane_leaves_the_other_at_work() -> None:
    world = two_lanes()
    world.providers["mux"].submits["source1"] = [CreatesRefused("no units", provider="mux")]
    await world.run()
    assert all(world.ledger.state(number) is RowState.DONE for number in range(21, 41))
    assert 1 in world.ledger.held_back


def two_lanes() -> World:
    return World([*rows(20, "mux"), *rows(20, "heygen", 21)], providers=("mux", "heygen"), window=3)


async def test_fatal_error_of_one_lane_leaves_the_other_at_work() -> None:
    world = two_lanes()
    fault = FatalError("no credit", provider="mux")
    world.providers["mux"].submits["source2"] = [fault]
    await world.run()
    states = [world.ledger.state(number) for number in range(21, 41)]
    assert states == [RowState.DONE] * 20
    assert world.ledger.state(2) is RowState.PENDING
    assert 2 not in world.ledger.histories
    assert len(world.providers["mux"].creates) <= 4
    assert world.engine.fatal == [fault]


async def test_fatal_error_of_the_disk_stops_all_lanes() -> None:
    world = two_lanes()
    world.downloaders["mux"].always = FatalError("the disk is full")
    world.providers["heygen"].takes = 10**6
    await world.run()
    assert all(world.ledger.state(number) is RowState.PENDING for number in range(1, 41))
    assert len(world.engine.fatal) == 1
    assert len(world.observer.of(LaneStopped)) == 1


async def test_fatal_errors_of_two_lanes_with_one_message_are_both_reported() -> None:
    world = two_lanes()
    for name in ("mux", "heygen"):
        world.providers[name].poll_fault = FatalError("the key is wrong", provider=name)
    await world.run()
    assert sorted(event.provider for event in world.observer.of(LaneStopped)) == ["heygen", "mux"]
    assert len(world.engine.fatal) == 2


async def test_ledger_that_fails_stops_all_lanes() -> None:
    world = two_lanes()
    world.ledger.fault = FatalError("the disk is full")
    await world.run()
    assert world.engine.fatal
    assert all(stop.requested for stop in world.stops.values())


async def test_lane_works_on_no_more_rows_than_its_window() -> None:
    world = World(rows(40), window=7)
    at_work = most = 0
    seen = world.observer

    def count(event: object) -> None:
        nonlocal at_work, most
        at_work += isinstance(event, RowStarted) - isinstance(event, RowEnded)
        most = max(most, at_work)

    world.engine = Engine(world.ledger, world.lanes, Policy(), count, now)
    await world.run()
    assert most == 7
    assert len(world.ledger.outcomes) == 40
    assert seen.of(RowStarted) == []


async def test_lane_starts_rows_in_manifest_order() -> None:
    world = World(rows(600), window=10)
    await world.run()
    assert world.provider.creates == [f"source{number}" for number in range(1, 601)]


async def test_lane_does_not_wait_for_another_lane() -> None:
    world = two_lanes()
    world.providers["mux"].takes = 100_000.0
    ended: dict[str, float] = {}

    def note(event: object) -> None:
        if isinstance(event, RowEnded):
            ended[event.row.provider] = clock()

    started = clock()
    world.engine = Engine(world.ledger, world.lanes, Policy(job_timeout=10**6), note, now)
    await world.run()
    assert ended["heygen"] - started < 500
    assert ended["mux"] - started > 100_000


async def test_stop_leaves_rows_pending_with_their_jobs() -> None:
    world = World(rows(50), window=10)
    world.provider.takes = 10_000.0
    async with anyio.create_task_group() as group:
        group.start_soon(world.run)
        await asyncio.sleep(100)
        world.stop()
        stopped = clock()
    assert clock() - stopped < 1
    assert world.ledger.outcomes == {}
    assert sorted(world.ledger.histories) == list(range(1, 11))
    assert all(one.job_id for one in world.ledger.histories.values())
    assert not world.observer.of(RowEnded)


async def test_stop_before_the_create_left_discards_its_intent() -> None:
    world = World(rows(3))

    async def queued() -> None:
        await world.stops["fake"].sleep(3600)

    world.provider.before_submit = queued
    async with anyio.create_task_group() as group:
        group.start_soon(world.run)
        await asyncio.sleep(10)
        assert world.ledger.histories == {}
        world.stop()
    assert world.ledger.histories == {}
    assert world.provider.creates == []
    assert world.ledger.outcomes == {}


async def test_stop_during_a_create_records_its_job() -> None:
    world = World()

    async def slow() -> None:
        await asyncio.sleep(5)

    world.provider.before_submit = slow
    async with anyio.create_task_group() as group:
        group.start_soon(world.run)
        await asyncio.sleep(1)
        world.stop()
    assert world.ledger.histories[1].job_id == "job-source1-1"
    assert world.ledger.state(1) is RowState.PENDING


async def test_resume_after_stop_continues_with_the_recorded_jobs() -> None:
    first = World(rows(30), window=10)
    first.provider.takes = 50.0
    async with anyio.create_task_group() as group:
        group.start_soon(first.run)
        await asyncio.sleep(70)
        first.stop()
    assert 0 < len(first.ledger.outcomes) < 30
    second = World(rows(30), window=10)
    second.ledger.histories, second.ledger.outcomes = first.ledger.histories, first.ledger.outcomes
    second.provider.jobs = first.provider.jobs
    await second.run()
    assert len(second.ledger.outcomes) == 30
    created = first.provider.creates + second.provider.creates
    assert sorted(created) == sorted(set(created))


async def test_stop_before_the_run_starts_nothing() -> None:
    world = World(rows(5))
    world.stop()
    await world.run()
    assert world.observer.events == []


async def test_lookup_unavailable_fails_the_row_as_retryable() -> None:
    class Shy(FakeProvider):
        async def get_job(self, row: Row, job_id: str) -> Job:
            raise Unavailable("503")

    world = World()
    shy = Shy("fake")
    world.engine = Engine(
        world.ledger,
        [
            Lane(
                provider=shy,
                poller=Poller(shy, world.stops["fake"], world.observer, InMemoryStore(), window=1),
                downloader=world.downloader,
                stop=world.stops["fake"],
                window=1,
            )
        ],
        Policy(),
        world.observer,
        now,
    )
    world.downloader.always = LinkExpired("403")
    await world.run()
    assert world.failure() == Failure("unavailable", "503", retryable=True)


async def test_stop_is_never_an_outcome() -> None:
    world = World()
    world.downloader.always = Stopped()
    await world.run()
    assert world.ledger.outcomes == {}
