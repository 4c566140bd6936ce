"""The steps of a row, with in-memory implementations of the engine's protocols."""

from __future__ import annotations

import asyncio

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
from batchcap.domain.events import (
    JobCreated,
    JobEnded,
    LaneStopped,
    RowEnded,
    RowHeldBack,
    RowMoved,
    RowStarted,
)
from batchcap.domain.models import Failure, Job, JobState, Phase, Row, RowHistory, RowState
from batchcap.engine import Engine, Lane, Policy, Poller
from batchcap.simulation.in_memory import InMemoryStore
from tests.harness.clock import clock, now
from tests.harness.engine import SKIPPED, EngineHarness, FakeProvider
from tests.harness.rows import CAPTION, row

pytestmark = pytest.mark.anyio

LINK = "https://files/source1"


def rows(count: int, provider: str = "fake", start: int = 1) -> list[Row]:
    return [row(number, provider=provider) for number in range(start, start + count)]


async def test_engine_row_without_history_is_created_polled_and_fetched() -> None:
    harness, started = EngineHarness(), now()
    await harness.run()
    assert harness.ledger.wrote == [("intend", 1), ("created", 1), ("ended", 1)]
    outcome = harness.ledger.outcomes[1]
    assert outcome.state is RowState.DONE
    assert outcome.caption == CAPTION
    assert outcome.failure is None
    assert outcome.job is not None
    assert (outcome.job.id, outcome.job.units) == ("job-source1-1", 1)
    assert outcome.started_at == pytest.approx(started, abs=0.1)
    assert outcome.finished_at == pytest.approx(now(), abs=0.1)
    assert harness.downloader.fetched == [(LINK, "fake/source1.es.vtt")]
    event_types = [type(event) for event in harness.observer.events]
    assert event_types == [RowStarted, JobCreated, RowMoved, JobEnded, RowMoved, RowEnded]
    phases = [event.phase for event in harness.observer.of(RowMoved)]
    assert phases == [Phase.AT_PROVIDER, Phase.DOWNLOADING]
    assert harness.engine.fatal == []


async def test_engine_many_rows_all_end_and_each_is_created_once() -> None:
    harness = EngineHarness(rows(700), window=50)
    await harness.run()
    assert len(harness.ledger.outcomes) == 700
    assert len(set(harness.provider.creates)) == len(harness.provider.creates) == 700


async def test_engine_without_rows_returns_at_once() -> None:
    harness = EngineHarness()
    harness.ledger.rows.clear()
    await harness.run()
    assert harness.observer.events == []


async def test_create_is_sent_after_its_intent_is_durable() -> None:
    harness = EngineHarness()

    async def look() -> None:
        assert harness.ledger.wrote == [("intend", 1)]

    harness.provider.in_the_air = look
    await harness.run()
    assert harness.ledger.state(1) is RowState.DONE


async def test_row_with_existing_caption_is_not_created() -> None:
    harness = EngineHarness()
    harness.provider.prepared["source1"] = Job(id=None, state=JobState.COMPLETED, track="t")
    await harness.run()
    assert harness.provider.creates == []
    assert harness.provider.polls == []
    assert harness.ledger.wrote == [("ended", 1)]
    assert harness.ledger.state(1) is RowState.DONE


async def test_row_with_existing_job_waits_for_that_job() -> None:
    harness = EngineHarness()
    harness.provider.put_job("theirs", "source1", clock())
    harness.provider.prepared["source1"] = Job(id="theirs", state=JobState.RUNNING)
    await harness.run()
    assert harness.provider.creates == []
    assert harness.ledger.state(1) is RowState.DONE


async def test_create_that_finds_the_caption_discards_its_intent() -> None:
    harness = EngineHarness()
    harness.provider.submits["source1"] = [Job(id=None, state=JobState.COMPLETED)]
    await harness.run()
    assert harness.ledger.wrote == [("intend", 1), ("withdrawn", 1), ("ended", 1)]
    assert harness.ledger.state(1) is RowState.DONE
    assert not harness.observer.of(JobCreated)


async def test_row_that_the_user_does_not_want_is_skipped() -> None:
    harness = EngineHarness()
    harness.provider.prepared["source1"] = SKIPPED
    await harness.run()
    assert harness.ledger.state(1) is RowState.SKIPPED
    assert harness.ledger.outcomes[1].failure is None


async def test_row_skipped_at_its_create_discards_its_intent() -> None:
    harness = EngineHarness()
    harness.provider.submits["source1"] = [SKIPPED]
    await harness.run()
    assert harness.ledger.wrote == [("intend", 1), ("withdrawn", 1), ("ended", 1)]
    assert harness.ledger.state(1) is RowState.SKIPPED


@pytest.mark.parametrize("where", ["prepare", "submit"])
@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        (RowError("asset_not_found", "gone"), "asset_not_found", False),
        (RowError("rejected", "no", retryable=True), "rejected", True),
        (Unavailable("503"), "unavailable", True),
    ],
)
async def test_refused_row_does_not_affect_other_rows(
    where: str, fault: Exception, code: str, retryable: bool
) -> None:
    harness = EngineHarness(rows(3))
    if where == "prepare":
        harness.provider.prepared["source1"] = fault
    else:
        harness.provider.submits["source1"] = [fault]
    await harness.run()
    assert harness.failure() == Failure(code, str(fault), retryable)
    assert [harness.ledger.state(number) for number in (2, 3)] == [RowState.DONE] * 2
    assert 1 not in harness.ledger.histories


async def test_create_not_accepted_is_sent_again_with_a_fresh_intent() -> None:
    harness, started = EngineHarness(), clock()
    harness.provider.submits["source1"] = [NotAccepted("429", failures=1, delay=500.0)]
    intents: list[float] = []

    async def look() -> None:
        intents.append(harness.ledger.histories[1].intent_at or 0.0)

    harness.provider.in_the_air = look
    await harness.run()
    assert harness.provider.creates == ["source1"] * 2
    assert harness.provider.attempts == [0, 1]
    assert intents[1] - intents[0] == pytest.approx(500, abs=1)
    assert clock() - started >= 500
    assert harness.ledger.state(1) is RowState.DONE


async def test_create_without_response_is_looked_up_and_adopted() -> None:
    harness, started = EngineHarness(), now()
    harness.provider.submits["source1"] = [Ambiguous("no answer")]
    harness.provider.put_job("landed", "source1", clock())
    harness.provider.existing_jobs["source1"] = Job(id="landed", state=JobState.RUNNING)
    await harness.run()
    assert harness.provider.creates == ["source1"]
    assert harness.provider.finds[0][1] >= started + Policy().settle
    assert harness.ledger.wrote == [("intend", 1), ("created", 1), ("ended", 1)]
    assert harness.ledger.state(1) is RowState.DONE


async def test_create_that_surely_did_not_arrive_is_sent_again() -> None:
    harness = EngineHarness()
    harness.provider.submits["source1"] = [Ambiguous("no answer")]
    await harness.run()
    assert harness.provider.creates == ["source1", "source1"]
    assert len(harness.provider.finds) == 1
    assert harness.ledger.state(1) is RowState.DONE


async def test_create_that_cannot_be_looked_up_stays_unknown_and_is_not_sent() -> None:
    harness = EngineHarness(histories={1: RowHistory(now() - 1)})
    harness.provider.existing_jobs["source1"] = RowError(
        "outcome_unknown", "too old", retryable=True
    )
    await harness.run()
    assert harness.provider.creates == []
    assert harness.failure().code == "outcome_unknown"
    assert harness.ledger.histories[1].intent_at is not None


async def test_lost_create_whose_look_up_fails_says_that_its_job_may_exist() -> None:
    harness = EngineHarness()
    harness.provider.submits["source1"] = [Ambiguous("no answer")]
    harness.provider.existing_jobs["source1"] = Unavailable("503")
    await harness.run()
    message = "503; a create was sent, and its job may exist: --retry-failed looks for it"
    assert harness.failure() == Failure("unavailable", message, retryable=True)


async def test_create_whose_responses_are_always_lost_fails_its_row() -> None:
    harness = EngineHarness()
    harness.provider.submits["source1"] = [Ambiguous("no answer")] * 9
    await harness.run()
    assert harness.provider.creates == ["source1"] * 5
    message = "gave up after 5 create requests without a response: no answer"
    assert harness.failure() == Failure("unavailable", message, retryable=True)
    assert len(harness.provider.finds) == 5


async def test_resume_with_intent_without_job_is_looked_up_first() -> None:
    harness = EngineHarness(histories={1: RowHistory(now() - 30)})
    harness.provider.put_job("landed", "source1", clock())
    harness.provider.existing_jobs["source1"] = Job(id="landed", state=JobState.RUNNING)
    started = now()
    await harness.run()
    assert harness.provider.creates == []
    assert harness.provider.finds[0][1] == pytest.approx(started + 60, abs=0.1)
    assert harness.ledger.state(1) is RowState.DONE


async def test_resume_after_clock_was_set_back_does_not_wait_long() -> None:
    harness, started = EngineHarness(histories={1: RowHistory(now() + 10**7)}), now()
    await harness.run()
    assert harness.provider.finds[0][1] <= started + Policy().settle + 1


async def test_resume_with_job_continues_with_polling() -> None:
    harness = EngineHarness(histories={1: RowHistory(now() - 600, "old")})
    harness.provider.put_job("old", "source1", clock() - 600)
    await harness.run()
    assert harness.provider.creates == []
    assert harness.ledger.wrote == [("ended", 1)]
    assert harness.ledger.state(1) is RowState.DONE


async def test_download_with_expired_link_gets_a_fresh_one() -> None:
    harness = EngineHarness()
    harness.provider.links["source1"] = ["https://old", "https://fresh"]
    harness.downloader.answers["https://old"] = [LinkExpired("403")]
    await harness.run()
    assert [link for link, _ in harness.downloader.fetched] == ["https://old", "https://fresh"]
    assert harness.provider.looks == ["job-source1-1"]
    assert harness.ledger.state(1) is RowState.DONE


async def test_download_with_dead_links_only_fails_as_link_dead() -> None:
    harness, started = EngineHarness(), clock()
    harness.downloader.always = LinkExpired("the file host answered 403")
    await harness.run()
    assert harness.failure().code == "link_dead"
    assert harness.failure().retryable
    assert len(harness.downloader.fetched) == 6
    assert clock() - started < 300


async def test_download_of_bad_caption_is_repeated_once() -> None:
    harness = EngineHarness()
    harness.downloader.answers[LINK] = [BadCaption("an HTML page")]
    await harness.run()
    assert len(harness.downloader.fetched) == 2
    assert harness.ledger.state(1) is RowState.DONE


async def test_download_of_bad_caption_twice_fails_as_bad_caption() -> None:
    harness = EngineHarness()
    harness.downloader.always = BadCaption("an HTML page")
    await harness.run()
    assert len(harness.downloader.fetched) == 2
    assert harness.failure() == Failure("bad_caption", "an HTML page")


async def test_completed_job_without_link_fails_after_the_link_timeout() -> None:
    harness, started = EngineHarness(), clock()
    harness.provider.links["source1"] = [None]
    await harness.run()
    assert harness.failure().code == "captions_not_enabled"
    assert clock() - started >= 10 + 30
    assert clock() - started < 10 + 30 + 30
    assert harness.downloader.fetched == []


async def test_completed_job_with_late_link_is_fetched() -> None:
    harness = EngineHarness()
    harness.provider.links["source1"] = [None, None, None, LINK]
    await harness.run()
    assert harness.ledger.state(1) is RowState.DONE
    assert len(harness.provider.looks) == 3


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
    harness = EngineHarness()
    harness.provider.endings["source1"] = [end]
    await harness.run()
    assert harness.failure().code == code
    assert harness.failure().retryable is retryable
    assert harness.provider.creates == ["source1"]
    assert harness.downloader.fetched == []


async def test_job_that_errored_fails_its_row_with_the_providers_reason() -> None:
    harness = EngineHarness()
    reason = Failure("job_failed", "no speech in it")
    failed = Job(id="job-source1-1", state=JobState.ERRORED, failure=reason, units=7)
    harness.provider.endings["source1"] = [failed]
    await harness.run()
    assert harness.failure() == reason
    assert harness.ledger.outcomes[1].job == failed


async def test_job_unknown_after_the_grace_is_missing() -> None:
    harness, started = EngineHarness(histories={1: RowHistory(now(), "lost")}), clock()
    await harness.run()
    assert harness.failure().code == "not_found"
    assert clock() - started >= 60


async def test_job_unknown_at_first_is_polled_again() -> None:
    harness = EngineHarness(histories={1: RowHistory(now(), "late")})

    async def appear() -> None:
        await asyncio.sleep(30)
        harness.provider.put_job("late", "source1", clock())

    async with anyio.create_task_group() as group:
        group.start_soon(appear)
        await harness.run()
    assert harness.ledger.state(1) is RowState.DONE


def retryable_failure(nth: int) -> Job:
    why = Failure("job_failed", "try again", retryable=True)
    return Job(id=f"job-source1-{nth}", state=JobState.ERRORED, failure=why)


async def test_job_with_retryable_error_is_created_again_if_allowed() -> None:
    harness = EngineHarness(policy=Policy(retry_jobs=2))
    harness.provider.endings["source1"] = [retryable_failure(1), JobState.COMPLETED]
    await harness.run()
    assert harness.ledger.state(1) is RowState.DONE
    assert harness.ledger.wrote == [
        ("intend", 1),
        ("created", 1),
        ("job_ended", 1),
        ("intend", 1),
        ("created", 1),
        ("ended", 1),
    ]
    assert [job.id for job in harness.ledger.ended_jobs] == ["job-source1-1"]


@pytest.mark.parametrize("allowed", [0, 1, 3])
async def test_job_that_errors_again_is_created_at_most_as_often_as_allowed(allowed: int) -> None:
    harness = EngineHarness(policy=Policy(retry_jobs=allowed))
    harness.provider.endings["source1"] = [retryable_failure(nth) for nth in range(1, 9)]
    await harness.run()
    assert len(harness.provider.creates) == 1 + allowed
    assert harness.failure().code == "job_failed"
    assert harness.failure().retryable


@pytest.mark.parametrize("end", [JobState.CANCELLED, JobState.MISSING, JobState.ERRORED])
async def test_job_without_retryable_error_is_not_created_again(end: JobState) -> None:
    """The contract: --retry-jobs is for jobs that ended as `errored` with `retryable`."""
    harness = EngineHarness(policy=Policy(retry_jobs=3))
    harness.provider.endings["source1"] = [end]
    harness.provider.not_found_grace = 0.0
    await harness.run()
    assert harness.provider.creates == ["source1"]


async def test_job_that_never_ends_times_out_after_a_last_check() -> None:
    harness, started = EngineHarness(policy=Policy(job_timeout=600.0)), clock()
    harness.provider.takes = 10**9
    await harness.run()
    assert harness.failure().code == "job_timeout"
    assert harness.failure().retryable
    assert 600 <= clock() - started < 700
    assert len(harness.provider.looks) == 1


async def test_resume_with_job_counts_its_time_from_the_create() -> None:
    harness = EngineHarness(
        policy=Policy(job_timeout=600.0), histories={1: RowHistory(now() - 590, "old")}
    )
    harness.provider.put_job("old", "source1", clock() - 590)
    harness.provider.takes = 10**9
    started = clock()
    await harness.run()
    assert harness.failure().code == "job_timeout"
    assert clock() - started < 100


async def test_resume_with_errored_job_creates_again_if_allowed() -> None:
    harness = EngineHarness(
        policy=Policy(retry_jobs=1), histories={1: RowHistory(now() - 600, "old")}
    )
    harness.provider.put_job("old", "source1", clock() - 600)
    why = Failure("job_failed", "try again", retryable=True)
    errored = Job(id="old", state=JobState.ERRORED, failure=why)
    harness.provider.endings["source1"] = [errored]
    await harness.run()
    assert harness.provider.creates == ["source1"]
    assert harness.ledger.ended_jobs == [errored]


async def test_job_that_completed_before_the_last_check_is_kept() -> None:
    harness = EngineHarness(
        policy=Policy(job_timeout=600.0), histories={1: RowHistory(now() - 5000, "old")}
    )
    harness.provider.put_job("old", "source1", clock() - 5000)
    await harness.run()
    assert harness.ledger.state(1) is RowState.DONE


async def test_poll_refused_stops_the_lane_and_leaves_its_rows_pending() -> None:
    harness = EngineHarness(rows(5))
    harness.provider.poll_fault = FatalError("the key is wrong", hint="h", provider="fake")
    await harness.run()
    assert harness.ledger.outcomes == {}
    assert [str(error) for error in harness.engine.fatal] == ["the key is wrong"]
    assert harness.observer.of(LaneStopped) == [LaneStopped("fake", "the key is wrong", "h")]
    assert all(harness.ledger.histories[number].job_id for number in range(1, 6))


async def test_refused_create_stops_creates_and_leaves_jobs_running() -> None:
    harness = EngineHarness(
        rows(20), window=20, histories={n: RowHistory(now(), f"old-{n}") for n in (3, 9)}
    )
    for number in (3, 9):
        harness.provider.put_job(f"old-{number}", f"source{number}", clock())
    harness.provider.submits["source5"] = [CreatesRefused("no units", hint="h", provider="fake")]
    await harness.run()
    done = {number for number in range(1, 21) if harness.ledger.state(number) is RowState.DONE}
    assert done >= {3, 9}
    assert set(harness.ledger.held_back) == set(range(1, 21)) - done
    assert {failure.code for failure in harness.ledger.held_back.values()} == {"units_exhausted"}
    assert [str(error) for error in harness.engine.fatal] == ["no units"]
    assert harness.observer.of(LaneStopped) == [LaneStopped("fake", "no units", "h")]
    assert len(harness.observer.of(RowHeldBack)) == 20 - len(done)
    assert 5 not in harness.ledger.histories


async def test_refused_create_ends_the_waits_of_other_rows_for_the_quota() -> None:
    harness = EngineHarness(rows(10), window=10)
    waiting = 0

    async def before_submit() -> None:
        nonlocal waiting
        waiting += 1
        if waiting > 1:
            await anyio.sleep(10**5)

    harness.provider.before_submit = before_submit
    harness.provider.submits["source1"] = [CreatesRefused("no units", provider="fake")]
    start = clock()
    await harness.run()
    assert clock() - start < 60
    assert harness.provider.creates == ["source1"]
    assert set(harness.ledger.held_back) == set(range(1, 11))


async def test_refused_create_in_one_lane_does_not_stop_the_other() -> None:
    harness = two_lanes()
    harness.providers["mux"].submits["source1"] = [CreatesRefused("no units", provider="mux")]
    await harness.run()
    assert all(harness.ledger.state(number) is RowState.DONE for number in range(21, 41))
    assert 1 in harness.ledger.held_back


def two_lanes() -> EngineHarness:
    return EngineHarness(
        [*rows(20, "mux"), *rows(20, "heygen", 21)], providers=("mux", "heygen"), window=3
    )


async def test_fatal_error_of_one_lane_does_not_stop_the_other() -> None:
    harness = two_lanes()
    fault = FatalError("no credit", provider="mux")
    harness.providers["mux"].submits["source2"] = [fault]
    await harness.run()
    states = [harness.ledger.state(number) for number in range(21, 41)]
    assert states == [RowState.DONE] * 20
    assert harness.ledger.state(2) is RowState.PENDING
    assert 2 not in harness.ledger.histories
    assert len(harness.providers["mux"].creates) <= 4
    assert harness.engine.fatal == [fault]


async def test_fatal_error_of_the_disk_stops_all_lanes() -> None:
    harness = two_lanes()
    harness.downloaders["mux"].always = FatalError("the disk is full")
    harness.providers["heygen"].takes = 10**6
    await harness.run()
    assert all(harness.ledger.state(number) is RowState.PENDING for number in range(1, 41))
    assert len(harness.engine.fatal) == 1
    assert len(harness.observer.of(LaneStopped)) == 1


async def test_fatal_errors_of_two_lanes_with_one_message_are_both_reported() -> None:
    harness = two_lanes()
    for name in ("mux", "heygen"):
        harness.providers[name].poll_fault = FatalError("the key is wrong", provider=name)
    await harness.run()
    assert sorted(event.provider for event in harness.observer.of(LaneStopped)) == ["heygen", "mux"]
    assert len(harness.engine.fatal) == 2


async def test_ledger_that_fails_stops_all_lanes() -> None:
    harness = two_lanes()
    harness.ledger.fault = FatalError("the disk is full")
    await harness.run()
    assert harness.engine.fatal
    assert all(stop.requested for stop in harness.stops.values())


async def test_lane_works_on_no_more_rows_than_its_window() -> None:
    harness = EngineHarness(rows(40), window=7)
    at_work = most = 0
    observer = harness.observer

    def count(event: object) -> None:
        nonlocal at_work, most
        at_work += isinstance(event, RowStarted) - isinstance(event, RowEnded)
        most = max(most, at_work)

    harness.engine = Engine(harness.ledger, harness.lanes, Policy(), count, now)
    await harness.run()
    assert most == 7
    assert len(harness.ledger.outcomes) == 40
    assert observer.of(RowStarted) == []


async def test_lane_starts_rows_in_manifest_order() -> None:
    harness = EngineHarness(rows(600), window=10)
    await harness.run()
    assert harness.provider.creates == [f"source{number}" for number in range(1, 601)]


async def test_lane_does_not_wait_for_another_lane() -> None:
    harness = two_lanes()
    harness.providers["mux"].takes = 2_000.0
    ended: dict[str, float] = {}

    def note(event: object) -> None:
        if isinstance(event, RowEnded):
            ended[event.row.provider] = clock()

    started = clock()
    harness.engine = Engine(harness.ledger, harness.lanes, Policy(job_timeout=10**5), note, now)
    await harness.run()
    assert ended["heygen"] - started < 500
    assert ended["mux"] - started > 2_000


async def test_stop_leaves_rows_pending_with_their_jobs() -> None:
    harness = EngineHarness(rows(50), window=10)
    harness.provider.takes = 10_000.0
    async with anyio.create_task_group() as group:
        group.start_soon(harness.run)
        await asyncio.sleep(100)
        harness.stop()
        stopped = clock()
    assert clock() - stopped < 1
    assert harness.ledger.outcomes == {}
    assert sorted(harness.ledger.histories) == list(range(1, 11))
    assert all(history.job_id for history in harness.ledger.histories.values())
    assert not harness.observer.of(RowEnded)


async def test_stop_before_the_create_was_sent_discards_its_intent() -> None:
    harness = EngineHarness(rows(3))

    async def queued() -> None:
        await harness.stops["fake"].sleep(3600)

    harness.provider.before_submit = queued
    async with anyio.create_task_group() as group:
        group.start_soon(harness.run)
        await asyncio.sleep(10)
        assert harness.ledger.histories == {}
        harness.stop()
    assert harness.ledger.histories == {}
    assert harness.provider.creates == []
    assert harness.ledger.outcomes == {}


async def test_stop_during_a_create_records_its_job() -> None:
    harness = EngineHarness()

    async def slow() -> None:
        await asyncio.sleep(5)

    harness.provider.before_submit = slow
    async with anyio.create_task_group() as group:
        group.start_soon(harness.run)
        await asyncio.sleep(1)
        harness.stop()
    assert harness.ledger.histories[1].job_id == "job-source1-1"
    assert harness.ledger.state(1) is RowState.PENDING


async def test_resume_after_stop_continues_with_the_recorded_jobs() -> None:
    first = EngineHarness(rows(30), window=10)
    first.provider.takes = 50.0
    async with anyio.create_task_group() as group:
        group.start_soon(first.run)
        await asyncio.sleep(70)
        first.stop()
    assert 0 < len(first.ledger.outcomes) < 30
    second = EngineHarness(rows(30), window=10)
    second.ledger.histories, second.ledger.outcomes = first.ledger.histories, first.ledger.outcomes
    second.provider.jobs = first.provider.jobs
    await second.run()
    assert len(second.ledger.outcomes) == 30
    created = first.provider.creates + second.provider.creates
    assert sorted(created) == sorted(set(created))


async def test_stop_before_the_run_starts_nothing() -> None:
    harness = EngineHarness(rows(5))
    harness.stop()
    await harness.run()
    assert harness.observer.events == []


async def test_lookup_unavailable_fails_the_row_as_retryable() -> None:
    class ReluctantProvider(FakeProvider):
        async def get_job(self, row: Row, job_id: str) -> Job:
            raise Unavailable("503")

    harness = EngineHarness()
    reluctant = ReluctantProvider("fake")
    harness.engine = Engine(
        harness.ledger,
        [
            Lane(
                provider=reluctant,
                poller=Poller(
                    reluctant, harness.stops["fake"], harness.observer, InMemoryStore(), window=1
                ),
                downloader=harness.downloader,
                stop=harness.stops["fake"],
                window=1,
            )
        ],
        Policy(),
        harness.observer,
        now,
    )
    harness.downloader.always = LinkExpired("403")
    await harness.run()
    assert harness.failure() == Failure("unavailable", "503", retryable=True)


async def test_stop_is_never_an_outcome() -> None:
    harness = EngineHarness()
    harness.downloader.always = Stopped()
    await harness.run()
    assert harness.ledger.outcomes == {}
