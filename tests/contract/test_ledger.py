"""What every ledger must keep: one suite for `Ledger` and `LedgerReader`, by methods alone.

A further implementation adds its factory to `FACTORIES`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import msgspec
import orjson
import pytest
from hypothesis import given as given_many
from hypothesis import settings
from hypothesis import strategies as st

from batchcap.domain.errors import UsageError
from batchcap.domain.forgetting import ForgetScope, Hold
from batchcap.domain.ledger_protocols import Ledger, LedgerReader
from batchcap.domain.models import (
    Caption,
    CompletedRow,
    CreateRecord,
    Failure,
    FailureGroup,
    FindingCount,
    ImportResult,
    InvalidRow,
    Job,
    JobState,
    LanguageCount,
    MinuteCount,
    Outcome,
    Row,
    RowHistory,
    RowState,
)
from batchcap.domain.selection import Selection
from batchcap.storage.ledger import open_ledger, open_reader
from batchcap.storage.ledger.file_marks import RESULTS
from tests.harness import rows
from tests.harness.clock import EPOCH, clock, now
from tests.harness.rows import CAPTION

pytestmark = pytest.mark.anyio

Manifest = list[Row | InvalidRow]


class Factory(Protocol):
    """Opens a ledger; the first opening creates it."""

    def open(self, *, repairs: bool = False) -> Ledger:
        """Open it for a run. `now` is its clock."""
        ...

    def read(self) -> LedgerReader:
        """Open it as another process does: it sees what is durable."""
        ...


class SqliteFactory:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, *, repairs: bool = False) -> Ledger:
        return open_ledger(self._folder, create=True, repairs=repairs, now=now)

    def read(self) -> LedgerReader:
        return open_reader(self._folder)


FACTORIES: dict[str, Callable[[Path], Factory]] = {"sqlite": SqliteFactory}


@pytest.fixture(params=FACTORIES, scope="session")
def factory_at(request: pytest.FixtureRequest) -> Callable[[Path], Factory]:
    return FACTORIES[request.param]


@pytest.fixture
def factory(factory_at: Callable[[Path], Factory], tmp_path: Path) -> Factory:
    return factory_at(tmp_path)


@pytest.fixture
def opened(factory: Factory) -> Iterator[Ledger]:
    """A ledger before a run."""
    with closing(factory.open()) as ledger:
        yield ledger


@pytest.fixture(params=[False, True], ids=["inline", "threads"])
async def ledger(request: pytest.FixtureRequest, opened: Ledger) -> AsyncIterator[Ledger]:
    """The ledger of a run."""
    async with opened.recording(threads=request.param):
        yield opened


def make_row(number: int = 1, **changes: Any) -> Row:
    """Return a row that needs a job."""
    return rows.row(number, **{"target": "es", **changes})


def many(count: int, start: int = 1) -> Manifest:
    return [make_row(number) for number in range(start, start + count)]


def imported(ledger: Ledger, given: Manifest, name: str = "m.csv") -> ImportResult:
    return ledger.import_rows([(name, given)], skip_invalid=True)


def creates(factory: Factory, number: int = 1) -> list[tuple[str | None, str | None, int]]:
    """Return the durable creates of a row: job id, how the job ended, units."""
    with closing(factory.read()) as reader:
        (caption,) = reader.captions_of("fake", f"source{number}")
        return [(create.job_id, create.ended, create.units) for create in caption.creates]


def durable_results(factory: Factory) -> list[dict[str, Any]]:
    with closing(factory.read()) as reader:
        return list(reader.results())


def outcome(state: RowState = RowState.DONE, **changes: Any) -> Outcome:
    given = {
        "state": state,
        "started_at": EPOCH,
        "finished_at": EPOCH + 1,
        "caption": CAPTION if state is RowState.DONE else None,
    }
    return Outcome(**{**given, **changes})


def failed(code: str, job: Job | None = None) -> Outcome:
    return outcome(RowState.FAILED, failure=Failure(code, "why", retryable=True), job=job)


async def first_row(ledger: Ledger) -> Row:
    return (await ledger.pending("fake", 0, 1))[0].row


async def first_history(ledger: Ledger) -> RowHistory:
    return (await ledger.pending("fake", 0, 1))[0].history


class TestLedger:
    """What the engine records and reads."""

    async def test_pending_returns_rows_as_they_were_imported(self, ledger: Ledger) -> None:
        given = make_row(
            1,
            params={"to_language_code": "es", "never_translate": ["a", "ü"], "upload": True},
            meta={"note": "\u65e5\u672c", "n": 1.5, "none": None},
        )
        imported(ledger, [given])
        (work,) = await ledger.pending("fake", 0, 10)
        assert work.row == given
        assert work.history == RowHistory()

    async def test_pending_returns_rows_in_order_page_by_page(self, ledger: Ledger) -> None:
        imported(ledger, many(25))
        source_ids: list[str] = []
        after = 0
        while page := await ledger.pending("fake", after, 10):
            assert len(page) <= 10
            source_ids += [work.row.source_id for work in page]
            after = page[-1].row.number
        assert source_ids == [f"source{number}" for number in range(1, 26)]

    async def test_pending_leaves_out_other_providers_and_ended_rows(self, ledger: Ledger) -> None:
        imported(ledger, [make_row(1), make_row(2, provider="other"), make_row(3)])
        await ledger.record_outcome(await first_row(ledger), outcome())
        assert [work.row.source_id for work in await ledger.pending("fake", 0, 9)] == ["source3"]
        assert ledger.providers_with_pending() == ["fake", "other"]

    async def test_record_intent_is_durable_once_awaited(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(1))
        await ledger.record_intent(await first_row(ledger))
        assert creates(factory) == [(None, None, 0)]
        history = await first_history(ledger)
        assert history.job_id is None
        assert history.intent_at == pytest.approx(now(), abs=0.1)

    async def test_record_intent_again_moves_the_time_of_the_same_create(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await asyncio.sleep(100)
        await ledger.record_intent(row)
        assert creates(factory) == [(None, None, 0)]
        assert (await first_history(ledger)).intent_at == pytest.approx(now(), abs=0.1)

    async def test_record_job_is_durable_once_awaited(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_job(row, "job-1")
        assert creates(factory) == [("job-1", None, 0)]
        assert (await first_history(ledger)).job_id == "job-1"

    async def test_results_of_a_pending_row_have_its_job_once_it_was_created(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(2))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        assert [result["job_id"] for result in durable_results(factory)] == [None, None]
        await ledger.record_job(row, "job-1")
        for results in (durable_results(factory), list(ledger.results())):
            assert [result["job_id"] for result in results] == ["job-1", None]
        lines = [orjson.loads(line) for line in ledger.result_lines()]
        assert lines == list(ledger.results())

    @pytest.mark.parametrize("state", [JobState.ERRORED, JobState.CANCELLED, JobState.MISSING])
    async def test_results_of_a_pending_row_have_no_job_that_ended_without_a_caption(
        self, ledger: Ledger, state: JobState
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_job(row, "job-1")
        await ledger.record_job_ended(row, Job(id="job-1", state=state))
        assert [result["job_id"] for result in ledger.results()] == [None]
        await ledger.record_intent(row)
        assert [result["job_id"] for result in ledger.results()] == [None]
        await ledger.record_job(row, "job-2")
        assert [result["job_id"] for result in ledger.results()] == ["job-2"]

    async def test_results_of_a_row_to_download_again_have_its_completed_job(
        self, ledger: Ledger
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_job(row, "job-1")
        job = Job(id="job-1", state=JobState.COMPLETED)
        await ledger.record_outcome(row, outcome(job=job))
        ledger.requeue_damaged([row.number])
        (result,) = ledger.results()
        assert (result["state"], result["job_id"]) == ("pending", "job-1")

    async def test_record_outcome_is_durable_once_awaited(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(1))
        await ledger.record_outcome(await first_row(ledger), outcome())
        (result,) = durable_results(factory)
        assert (result["state"], result["finished_at"]) == ("done", "2026-09-21T14:13:21.000Z")
        caption = Caption(result["bytes"], result["sha256"], result["cues"])
        assert caption == CAPTION

    async def test_records_of_many_rows_at_once_are_all_durable(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(300))
        works = await ledger.pending("fake", 0, 300)

        async def live(row: Row) -> None:
            await ledger.record_intent(row)
            await ledger.record_job(row, f"job-{row.number}")
            await ledger.record_outcome(row, outcome())

        await asyncio.gather(*(live(work.row) for work in works))
        assert {result["state"] for result in durable_results(factory)} == {"done"}
        for number in (1, 17, 300):
            assert creates(factory, number) == [(f"job-{number}", None, 0)]

    async def test_discard_intent_leaves_nothing(self, ledger: Ledger, factory: Factory) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.discard_intent(row)
        assert creates(factory) == []
        assert await first_history(ledger) == RowHistory()

    async def test_discard_intent_keeps_a_job_that_was_accepted(self, ledger: Ledger) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_job(row, "paid")
        await ledger.discard_intent(row)
        assert (await first_history(ledger)).job_id == "paid"

    async def test_discard_intent_completes_although_its_caller_is_cancelled(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ledger.discard_intent(row)
        assert creates(factory) == []

    async def test_discard_intent_runs_after_a_cancelled_record_intent(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(2))
        first, second = (work.row for work in await ledger.pending("fake", 0, 2))
        await ledger.record_intent(second)
        leaving = asyncio.ensure_future(ledger.record_intent(first))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(ledger.discard_intent(second), ledger.discard_intent(first))
        assert creates(factory) == []

    async def test_record_intent_twice_after_two_jobs_adds_one_create(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        for job in ("job-1", "job-2"):
            await ledger.record_intent(row)
            await ledger.record_job(row, job)
            await ledger.record_job_ended(row, Job(id=job, state=JobState.ERRORED))
        await asyncio.gather(ledger.record_intent(row), ledger.record_intent(row))
        job_ids = [job_id for job_id, _, _ in creates(factory)]
        assert job_ids == ["job-1", "job-2", None]

    async def test_records_of_every_kind_share_a_commit(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(4))
        first, second, third, fourth = (work.row for work in await ledger.pending("fake", 0, 4))
        for row in (second, third, fourth):
            await ledger.record_intent(row)
        await ledger.record_job(third, "job-3")
        done = Job(id="job-3", state=JobState.COMPLETED, units=3)
        ledger.set("k", "v")
        await asyncio.gather(
            ledger.record_outcome(third, outcome(job=done)),
            ledger.record_job(second, "job-2"),
            ledger.discard_intent(fourth),
            ledger.record_intent(first),
        )
        assert creates(factory, 1) == [(None, None, 0)]
        assert creates(factory, 2) == [("job-2", None, 0)]
        assert creates(factory, 3) == [("job-3", "completed", 3)]
        assert creates(factory, 4) == []
        states = [first["state"] for first in durable_results(factory)]
        assert states == ["pending", "pending", "done", "pending"]
        with closing(factory.read()) as reader:
            assert reader.values() == {"k": "v"}

    async def test_record_intent_after_a_job_ended_is_a_second_create(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_job(row, "job-1")
        await ledger.record_job_ended(row, Job(id="job-1", state=JobState.ERRORED, units=2))
        assert await first_history(ledger) == RowHistory(previous_job_ids=("job-1",))
        await ledger.record_intent(row)
        assert (await first_history(ledger)).job_id is None
        assert (await first_history(ledger)).intent_at is not None
        await ledger.record_job(row, "job-2")
        assert (await first_history(ledger)).job_id == "job-2"
        expected = [("job-1", "errored", 2), ("job-2", None, 0)]
        assert creates(factory) == expected

    async def test_discard_intent_does_not_revive_an_earlier_job(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_job(row, "job-1")
        await ledger.record_job_ended(row, Job(id="job-1", state=JobState.ERRORED))
        await ledger.record_intent(row)
        await ledger.discard_intent(row)
        assert creates(factory) == [("job-1", "errored", 0)]
        assert await first_history(ledger) == RowHistory(previous_job_ids=("job-1",))

    async def test_record_outcome_keeps_how_the_job_ended_and_its_units(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_job(row, "job-1")
        job = Job(id="job-1", state=JobState.COMPLETED, units=3)
        await ledger.record_outcome(row, outcome(job=job))
        assert creates(factory) == [("job-1", "completed", 3)]
        assert ledger.totals().units_consumed == 3

    async def test_record_held_back_row_stays_pending_with_its_error(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(2))
        await ledger.record_held_back(
            await first_row(ledger), Failure("units_exhausted", "no", True)
        )
        results = durable_results(factory)
        assert [result["state"] for result in results] == ["pending", "pending"]
        assert results[0]["error"] == {
            "code": "units_exhausted",
            "message": "no",
            "retryable": True,
        }
        assert len(await ledger.pending("fake", 0, 10)) == 2

    async def test_record_outcome_with_a_running_job_keeps_it_open(self, ledger: Ledger) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_job(row, "slow")
        await ledger.record_outcome(
            row, failed("job_timeout", Job(id="slow", state=JobState.RUNNING))
        )
        assert ledger.requeue_failed(None) == 1
        assert (await first_history(ledger)).job_id == "slow"

    @pytest.mark.parametrize("code", ["link_dead", "unavailable", "bad_caption"])
    async def test_requeue_failed_keeps_a_completed_job(self, ledger: Ledger, code: str) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_job(row, "paid")
        await ledger.record_outcome(
            row, failed(code, Job(id="paid", state=JobState.COMPLETED, units=9))
        )
        ledger.requeue_failed(None)
        assert (await first_history(ledger)).job_id == "paid"

    async def test_requeue_failed_leaves_a_missing_job_to_be_looked_up(
        self, ledger: Ledger
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_job(row, "gone")
        await ledger.record_outcome(
            row, failed("not_found", Job(id="gone", state=JobState.MISSING))
        )
        ledger.requeue_failed(None)
        history = await first_history(ledger)
        assert history.intent_at is not None
        assert (history.job_id, history.previous_job_ids) == (None, ())

    async def test_requeue_failed_keeps_a_completed_job_that_was_deleted(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_job(row, "paid")
        done = Job(id="paid", state=JobState.COMPLETED, units=7)
        await ledger.record_outcome(row, failed("link_dead", done))
        ledger.requeue_failed(None)
        await ledger.record_outcome(
            row, failed("not_found", Job(id="paid", state=JobState.MISSING))
        )
        ledger.requeue_failed(None)
        history = await first_history(ledger)
        assert (history.job_id, history.was_completed) == ("paid", True)
        assert creates(factory) == [("paid", "completed", 7)]

    @pytest.mark.parametrize("state", [JobState.ERRORED, JobState.CANCELLED])
    async def test_requeue_failed_detaches_a_job_that_ended_badly(
        self, ledger: Ledger, state: JobState
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_job(row, "bad")
        await ledger.record_outcome(row, failed("job_failed", Job(id="bad", state=state)))
        ledger.requeue_failed(None)
        assert await first_history(ledger) == RowHistory(previous_job_ids=("bad",))

    async def test_requeue_failed_keeps_an_unanswered_create(self, ledger: Ledger) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_outcome(row, failed("outcome_unknown"))
        ledger.requeue_failed(None)
        assert (await first_history(ledger)).intent_at is not None

    async def test_requeue_failed_selects_all_failed_rows_or_those_with_a_code(
        self, ledger: Ledger
    ) -> None:
        imported(ledger, many(5))
        works = await ledger.pending("fake", 0, 5)
        ends = [
            outcome(),
            failed("not_found"),
            failed("unavailable"),
            outcome(RowState.SKIPPED),
            failed("unavailable"),
        ]
        for work, end in zip(works, ends, strict=True):
            await ledger.record_outcome(work.row, end)
        assert ledger.failed_codes() == ["not_found", "unavailable"]
        assert ledger.requeue_failed("unavailable") == 2
        assert ledger.requeue_failed("no_such") == 0
        pending = [work.row.number for work in await ledger.pending("fake", 0, 9)]
        assert pending == [works[2].row.number, works[4].row.number]
        assert ledger.requeue_failed(None) == 1
        assert ledger.totals().pending == 3

    async def test_requeue_failed_can_leave_permanent_failures_out(self, ledger: Ledger) -> None:
        imported(ledger, many(2))
        works = await ledger.pending("fake", 0, 2)
        for work, retryable in zip(works, (True, False), strict=True):
            failure = Failure("job_failed", "why", retryable=retryable)
            await ledger.record_outcome(work.row, outcome(RowState.FAILED, failure=failure))
        assert ledger.requeue_failed("job_failed", only_retryable=True) == 1
        assert [work.row for work in await ledger.pending("fake", 0, 2)] == [works[0].row]

    async def test_requeue_failed_clears_the_failure(self, ledger: Ledger) -> None:
        imported(ledger, many(1))
        await ledger.record_outcome(await first_row(ledger), failed("unavailable"))
        ledger.requeue_failed(None)
        (result,) = ledger.results()
        assert (result["state"], result["error"], result["finished_at"]) == ("pending", None, None)

    async def test_record_outcome_with_an_invalid_message_does_not_affect_later_ones(
        self, ledger: Ledger
    ) -> None:
        """aiohttp gives header bytes that are no UTF-8 as lone surrogates."""
        imported(ledger, many(2))
        first, second = (work.row for work in await ledger.pending("fake", 0, 2))
        odd = outcome(RowState.FAILED, failure=Failure("rejected", "request \udcff"))
        await asyncio.gather(ledger.record_outcome(first, odd), return_exceptions=True)
        await ledger.record_outcome(second, outcome())
        assert ledger.totals().done == 1


class TestMemory:
    """The key-value store, whose values outlive a run."""

    async def test_set_value_is_returned_at_once_and_in_the_next_run(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        assert ledger.get("pause.x") is None
        ledger.set("pause.x", "1")
        ledger.set("pause.x", "2")
        ledger.set("rate.y", "5.0")
        assert ledger.get("pause.x") == "2"
        await ledger.drain()
        with closing(factory.open()) as later:
            assert later.values() == {"pause.x": "2", "rate.y": "5.0"}
            assert (later.get("pause.x"), later.get("rate.y")) == ("2", "5.0")

    async def test_set_value_is_durable_with_the_next_record(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        ledger.set("k", "v")
        await ledger.record_intent(row)
        with closing(factory.read()) as reader:
            assert reader.values() == {"k": "v"}


def refusal(ledger: Ledger, given: Manifest) -> str:
    """Return the message with which a manifest is refused; the ledger must be unchanged."""
    before = list(ledger.results())
    with pytest.raises(UsageError) as caught:
        ledger.import_rows([("m.csv", given)], skip_invalid=False)
    assert list(ledger.results()) == before
    assert ledger.requeue_failed("no_such_code") == 0, "the next transaction begins"
    return caught.value.message


def collider(source: int, target: str, key: str, path: str, x: int) -> Row:
    """Return a row whose key or path may collide with another's."""
    task = f"source{source}:{target}"
    return make_row(
        source,
        target=target,
        language=target,
        key=key or task,
        path=path or f"{task}.vtt",
        params={"x": x},
    )


class TestIntake:
    """The import of manifest rows: all or none."""

    def test_import_adds_a_row_once(self, opened: Ledger) -> None:
        assert imported(opened, many(2500)) == ImportResult(added=2500, problems=[])
        assert imported(opened, many(2510)) == ImportResult(added=10, known=2500, problems=[])
        assert opened.totals().total == 2510

    def test_import_keeps_the_order_of_the_manifest(self, opened: Ledger) -> None:
        imported(opened, many(2500))
        results = list(opened.results())
        assert [result["source_id"] for result in results] == [f"source{n}" for n in range(1, 2501)]

    async def test_import_numbers_rows_without_gaps(self, opened: Ledger) -> None:
        imported(opened, many(2500))
        imported(opened, many(2510))
        pending = await opened.pending("fake", 0, 9999)
        assert [work.row.number for work in pending] == list(range(1, 2511))

    def test_import_of_a_row_twice_adds_one_task(self, opened: Ledger) -> None:
        assert imported(opened, [make_row(1), make_row(1, origin="m.csv:9")]) == ImportResult(
            added=1, known=1, problems=[]
        )

    def test_import_of_several_manifests_counts_their_rows_together(self, opened: Ledger) -> None:
        intake = opened.import_rows([("a.csv", many(3)), ("b.csv", many(3, 3))], skip_invalid=False)
        assert (intake.added, intake.known) == (5, 1)

    @pytest.mark.parametrize(
        ("changes", "columns"),
        [
            ({"params": {"to_language_code": "es", "x": 1, "a": 0}}, "other parameters (a, x)"),
            ({"params": {}, "path": "p"}, "another path and other parameters (to_language_code)"),
            ({"key": "mine"}, "another key"),
            ({"path": "else.vtt"}, "another path"),
            ({"language": "label"}, "another language"),
        ],
    )
    def test_import_of_a_task_twice_with_a_difference_is_refused(
        self, opened: Ledger, changes: dict[str, Any], columns: str
    ) -> None:
        message = refusal(opened, [make_row(1), make_row(1, origin="m.csv:9", **changes)])
        assert f"m.csv:9: the same task as m.csv:2, with {columns}" in message

    def test_import_of_a_task_twice_with_another_meta_is_one_task(self, opened: Ledger) -> None:
        assert imported(opened, [make_row(1), make_row(1, meta={"note": "x"})]).known == 1

    def test_import_of_one_key_for_two_tasks_is_refused(self, opened: Ledger) -> None:
        message = refusal(opened, [make_row(1, key="k"), make_row(2, key="k")])
        assert "m.csv:3: key: 'k' is the key of m.csv:2 already" in message

    def test_import_of_one_path_for_two_tasks_is_refused(self, opened: Ledger) -> None:
        message = refusal(opened, [make_row(1, path="p.vtt"), make_row(2, path="p.vtt")])
        assert "m.csv:3: name: 'p.vtt' is the file of m.csv:2 already" in message

    def test_import_that_collides_with_an_earlier_one_is_refused(self, opened: Ledger) -> None:
        imported(opened, many(1))
        assert "is the key of m.csv:2" in refusal(opened, [make_row(2, key=make_row(1).key)])

    def test_import_finds_a_collision_deep_in_a_large_manifest(self, opened: Ledger) -> None:
        given = [*many(3500), make_row(4000, key=make_row(17).key, origin="m.csv:3502")]
        assert "m.csv:3502: key:" in refusal(opened, given)

    def test_import_counts_all_problems_and_lists_the_first_twenty(self, opened: Ledger) -> None:
        bad: Manifest = [
            InvalidRow(line=n, message=f"asset_id: missing {n}", origin=f"m.csv:{n}")
            for n in range(2, 32)
        ]
        message = refusal(opened, [*many(5, 100), *bad])
        assert message.startswith("30 problems in the manifest; nothing was started")
        assert "m.csv:21: asset_id: missing 21" in message
        assert "missing 22" not in message
        assert message.endswith("... and 10 more (all of them: batchcap plan MANIFEST --json)")

    def test_import_with_equal_problems_lists_one(self, opened: Ledger) -> None:
        bad: Manifest = [
            InvalidRow(line=n, message="asset_id: missing", origin=f"m.csv:{n}")
            for n in range(2, 5000)
        ]
        assert refusal(opened, [make_row(1), *bad]) == (
            "1 problem in the manifest; nothing was started\n"
            "m.csv:2: asset_id: missing (also in line 3, 4, 5, 6, 7 and 4,992 more)"
        )

    def test_import_with_a_problem_of_a_file_is_refused_although_rows_may_be_skipped(
        self, opened: Ledger
    ) -> None:
        bad = InvalidRow(line=1, message="no header", origin="m.csv:1", is_whole_file=True)
        with pytest.raises(UsageError) as caught:
            opened.import_rows([("m.csv", [make_row(1), bad])], skip_invalid=True)
        assert "or continue without" not in caught.value.hint
        assert opened.totals().total == 0

    def test_import_of_a_row_again_with_other_columns_of_the_user_is_counted(
        self, opened: Ledger
    ) -> None:
        again = [make_row(1, meta={"t": n}, origin=f"m.csv:{n}") for n in (8, 9)]
        given: Manifest = [make_row(1), *again]
        assert imported(opened, given) == ImportResult(
            added=1, known=2, problems=[], repeated=2, repeats=("m.csv:2", "m.csv:8")
        )

    def test_import_that_fails_midway_leaves_nothing(self, opened: Ledger) -> None:
        def reading() -> Iterator[Row]:
            yield from (make_row(number) for number in range(1, 2000))
            raise UsageError("not UTF-8")

        with pytest.raises(UsageError, match="not UTF-8"):
            opened.import_rows([("m.csv", reading())], skip_invalid=True)
        assert opened.totals().total == 0
        assert imported(opened, many(1)).added == 1

    def test_import_of_many_rows_collides_with_few_earlier_ones(self, opened: Ledger) -> None:
        imported(opened, many(3))
        given = [
            *many(4000),
            make_row(5000, key=make_row(2).key),
            make_row(3000, origin="m.csv:5002"),
        ]
        intake = imported(opened, given)
        assert (intake.added, intake.known, intake.invalid) == (3997, 4, 1)
        assert intake.problems == [
            f"m.csv:5001: key: '{make_row(2).key}' is the key of m.csv:3 already"
        ]
        assert opened.totals().pending == 4000

    def test_import_lists_problems_in_manifest_order(self, opened: Ledger) -> None:
        given: Manifest = []
        for number in range(1, 60, 2):
            bad = InvalidRow(line=number, message=f"no {number}", origin=f"m.csv:{number}")
            given += [bad, make_row(100, key=f"k{number}", origin=f"m.csv:{number + 1}")]
        message = refusal(opened, given)
        lines = [line.split(":")[1] for line in message.splitlines()[1:-1]]
        assert lines == [str(n) for n in (1, 3, 4, *range(5, 38, 2))]

    @settings(deadline=None)  # two ledgers on disk
    @given_many(
        st.lists(
            st.builds(
                collider,
                source=st.integers(1, 3),
                target=st.sampled_from(["es", "ja"]),
                key=st.sampled_from(["", "", "k", "l"]),
                path=st.sampled_from(["", "", "p.vtt", "P.vtt", "q.vtt"]),
                x=st.sampled_from([1, 1, 2]),
            ),
            max_size=12,
        )
    )
    def test_import_collisions_have_the_same_result_in_an_empty_and_a_large_ledger(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        factory_at: Callable[[Path], Factory],
        colliders: list[Row],
    ) -> None:
        given = [msgspec.structs.replace(r, origin=f"m.csv:{n}") for n, r in enumerate(colliders)]
        ends = []
        for before in (0, 200):  # into a large one, few rows go one by one
            with closing(factory_at(tmp_path_factory.mktemp("ledger")).open()) as opened:
                imported(opened, many(before, 1000), "other.csv")
                intake = imported(opened, [*given])
                results = [
                    result for result in opened.results() if not result["key"].startswith("fake")
                ]
            ends.append((intake, results))
        assert ends[0] == ends[1]

    def test_import_with_skip_invalid_keeps_invalid_rows(self, opened: Ledger) -> None:
        bad = InvalidRow(
            line=3, message="no", origin="m.csv:3", provider="mux", key="k", meta={"title": "T"}
        )
        intake = imported(opened, [make_row(1), bad, make_row(2)])
        assert (intake.added, intake.invalid, intake.problems) == (2, 1, ["m.csv:3: no"])
        result = list(opened.results())[1]
        assert (result["state"], result["key"], result["meta"]) == ("invalid", "k", {"title": "T"})
        assert (result["file"], result["line"]) == ("m.csv", 3)
        assert result["error"] == {"code": "invalid", "message": "no", "retryable": False}
        assert opened.totals().errors == {}

    def test_import_of_invalid_rows_never_collides(self, opened: Ledger) -> None:
        bad = InvalidRow(
            line=2,
            message="no",
            origin="m.csv:2",
            key=make_row(1).key,
            provider="fake",
            source_id="s",
        )
        assert imported(opened, [bad, bad, make_row(1)]).added == 1

    def test_import_again_checks_invalid_rows_again(self, opened: Ledger) -> None:
        bad = InvalidRow(line=3, message="no", origin="m.csv:3")
        other = InvalidRow(line=3, message="no", origin="other.csv:3")
        imported(opened, [make_row(1), bad])
        imported(opened, [other], "other.csv")
        assert opened.totals().invalid == 2
        assert imported(opened, [make_row(1), make_row(2)]).added == 1
        assert opened.totals().invalid == 1
        assert imported(opened, [make_row(1), bad]).invalid == 1
        assert opened.totals().invalid == 2

    def test_import_with_skip_invalid_keeps_a_colliding_row_as_invalid(
        self, opened: Ledger
    ) -> None:
        intake = imported(opened, [make_row(1), make_row(2, key=make_row(1).key)])
        assert (intake.added, intake.invalid) == (1, 1)
        result = list(opened.results())[1]
        assert (result["state"], result["line"]) == ("invalid", 3)


OTHER = {"to_language_code": "es", "track_id": "t"}


class TestCorrections:
    """A task that is imported again with other parameters."""

    async def ended(self, ledger: Ledger, end: Outcome, job_id: str | None = None) -> None:
        """Import a row that ended, with a create if there is a job."""
        imported(ledger, many(1))
        make_row = await first_row(ledger)
        if end.job is not None or job_id:
            await ledger.record_intent(make_row)
            await ledger.record_job(make_row, job_id or (end.job.id if end.job else "") or "")
        await ledger.record_outcome(make_row, end)

    def reason(self, ledger: Ledger, **changes: Any) -> str:
        """Return why another description is refused."""
        return refusal(ledger, [make_row(1, **changes)]).partition("with ")[2]

    async def test_failed_row_takes_new_parameters_and_is_pending(self, ledger: Ledger) -> None:
        await self.ended(ledger, failed("track_not_found"))
        result = imported(ledger, [make_row(1, params=OTHER, meta={"a": "b"}, origin="n.csv:7")])
        assert (result.corrected, result.added, result.known, result.invalid) == (1, 0, 0, 0)
        (work,) = await ledger.pending("fake", 0, 9)
        assert (work.row.params, work.row.meta, work.row.origin) == (OTHER, {"a": "b"}, "n.csv:7")
        assert work.history == RowHistory()
        (results,) = ledger.results()
        assert (results["state"], results["error"], results["finished_at"]) == (
            "pending",
            None,
            None,
        )

    async def test_skipped_row_takes_new_parameters(self, ledger: Ledger) -> None:
        await self.ended(ledger, outcome(RowState.SKIPPED))
        assert imported(ledger, [make_row(1, params=OTHER)]).corrected == 1

    async def test_row_that_never_started_takes_new_parameters(self, ledger: Ledger) -> None:
        imported(ledger, many(3))
        assert imported(ledger, [make_row(2, params=OTHER)]).corrected == 1
        works = await ledger.pending("fake", 0, 9)
        assert [work.row.params for work in works] == [make_row().params, OTHER, make_row().params]

    @pytest.mark.parametrize("state", [JobState.ERRORED, JobState.CANCELLED])
    async def test_row_whose_job_ended_badly_takes_new_parameters(
        self, ledger: Ledger, state: JobState
    ) -> None:
        await self.ended(ledger, failed("job_failed", Job(id="bad", state=state)))
        assert imported(ledger, [make_row(1, params=OTHER)]).corrected == 1
        assert await first_history(ledger) == RowHistory(previous_job_ids=("bad",))

    async def test_failed_row_takes_another_path_and_keeps_a_completed_job(
        self, ledger: Ledger
    ) -> None:
        await self.ended(ledger, failed("bad_caption", Job(id="paid", state=JobState.COMPLETED)))
        assert imported(ledger, [make_row(1, path="short.vtt")]).corrected == 1
        assert (await first_history(ledger)).job_id == "paid"
        assert (await first_history(ledger)).was_completed

    async def test_correction_to_the_file_of_another_row_on_macos_is_refused(
        self, ledger: Ledger
    ) -> None:
        await self.ended(ledger, failed("rejected"))
        imported(ledger, [make_row(2, path="stra\u00dfe.vtt")])
        with pytest.raises(UsageError, match=r"stra\u00dfe.vtt.* are one on macOS and Windows"):
            imported(ledger, [make_row(1, path="STRASSE.vtt")])

    async def test_done_row_refuses_new_parameters(self, ledger: Ledger) -> None:
        await self.ended(ledger, outcome())
        assert self.reason(ledger, params=OTHER).startswith(
            "other parameters (track_id): it is done; "
        )

    async def test_damaged_row_refuses_new_parameters(self, ledger: Ledger) -> None:
        await self.ended(ledger, outcome())
        ledger.requeue_damaged([1])
        assert "it is done; " in self.reason(ledger, params=OTHER)

    async def test_failed_row_with_completed_job_refuses_new_parameters(
        self, ledger: Ledger
    ) -> None:
        await self.ended(ledger, failed("bad_caption", Job(id="paid", state=JobState.COMPLETED)))
        reason = self.reason(ledger, params=OTHER)
        assert "its job paid has completed; " in reason
        assert "run batchcap resume --retry-failed" in reason

    async def test_failed_row_with_running_job_refuses_new_parameters(self, ledger: Ledger) -> None:
        await self.ended(ledger, failed("job_timeout"), job_id="slow")
        assert "its job slow may be running; " in self.reason(ledger, params=OTHER)

    async def test_failed_row_with_unanswered_create_refuses_new_parameters(
        self, ledger: Ledger
    ) -> None:
        imported(ledger, many(1))
        work = await first_row(ledger)
        await ledger.record_intent(work)
        await ledger.record_outcome(work, failed("outcome_unknown"))
        assert "it is unknown whether a create " in self.reason(ledger, params=OTHER)

    async def test_pending_row_with_job_refuses_new_parameters(self, ledger: Ledger) -> None:
        imported(ledger, many(1))
        work = await first_row(ledger)
        await ledger.record_intent(work)
        await ledger.record_job(work, "now")
        assert "run batchcap resume," in self.reason(ledger, params=OTHER)

    def test_pending_row_refuses_another_path(self, opened: Ledger) -> None:
        imported(opened, many(1))
        assert "): it is pending; leave --name " in self.reason(opened, path="short.vtt")

    def test_correction_that_collides_with_another_row_is_refused(self, opened: Ledger) -> None:
        imported(opened, many(2))
        assert "is the key of m.csv:3 already" in refusal(
            opened, [make_row(1, key=make_row(2).key)]
        )

    @pytest.mark.parametrize("original", [{}, {"params": OTHER}], ids=["known", "corrected"])
    def test_import_with_two_different_corrections_of_a_row_is_refused(
        self, opened: Ledger, original: dict[str, Any]
    ) -> None:
        imported(opened, many(1))
        third = {"to_language_code": "es", "track_id": "u"}
        given: Manifest = [make_row(1, **original), make_row(1, origin="m.csv:9", params=third)]
        assert "m.csv:9: the same task as m.csv:2, with other parameters (track_id)" in refusal(
            opened, given
        )

    async def test_failed_row_takes_another_id_and_language_by_its_key(
        self, ledger: Ledger
    ) -> None:
        imported(ledger, [make_row(1, key="k")])
        await ledger.record_outcome(await first_row(ledger), failed("asset_not_found"))
        assert "is the key of" in refusal(ledger, [make_row(2, key="k", origin="other.csv:2")])
        corrected = make_row(2, key="k", target="ja", language="ja")
        assert imported(ledger, [corrected]).corrected == 1
        (work,) = await ledger.pending("fake", 0, 9)
        assert (work.row.source_id, work.row.target) == ("source2", "ja")
        assert work.row.path == corrected.path
        assert ledger.totals().total == 1

    async def test_failed_row_with_a_job_keeps_its_id(self, ledger: Ledger) -> None:
        imported(ledger, [make_row(1, key="k")])
        work = await first_row(ledger)
        await ledger.record_intent(work)
        await ledger.record_job(work, "bad")
        errored = Job(id="bad", state=JobState.ERRORED)
        await ledger.record_outcome(work, failed("job_failed", errored))
        assert "is the key of" in refusal(ledger, [make_row(2, key="k")])

    async def test_import_without_changes_leaves_a_failed_row_failed(self, ledger: Ledger) -> None:
        await self.ended(ledger, failed("track_not_found"))
        assert imported(ledger, many(1)).known == 1
        assert ledger.totals().failed == 1


class TestReading:
    """What report and status read."""

    async def test_totals_count_everything(self, ledger: Ledger) -> None:
        bad = InvalidRow(line=9, message="no", origin="m.csv:9")
        imported(ledger, [*many(5), make_row(6, provider="other"), bad])
        works = await ledger.pending("fake", 0, 9)
        ends = [
            outcome(caption=Caption(100, "a", 1)),
            outcome(caption=Caption(50, "b", 1)),
            outcome(RowState.SKIPPED),
            failed("not_found"),
        ]
        for work, end in zip(works, ends, strict=False):
            await ledger.record_outcome(work.row, end)
        totals = ledger.totals()
        counts = (totals.total, totals.done, totals.failed, totals.skipped, totals.invalid)
        assert counts == (7, 2, 1, 1, 1)
        assert (totals.pending, totals.bytes, totals.errors) == (2, 150, {"not_found": 1})
        assert totals.by_provider == {
            "fake": {"done": 2, "failed": 1, "pending": 1, "skipped": 1},
            "other": {"pending": 1},
            "unknown": {"invalid": 1},
        }

    async def test_findings_are_counted_by_kind(self, ledger: Ledger) -> None:
        imported(ledger, many(4))
        works = await ledger.pending("fake", 0, 9)
        qualities: list[dict[str, int] | None] = [
            {"empty": 2, "overlap": 1},
            {"empty": 1},
            {},
            None,
        ]
        for work, quality in zip(works, qualities, strict=True):
            caption = Caption(1, "a", 1, quality=quality)
            await ledger.record_outcome(work.row, outcome(caption=caption))
        assert ledger.findings() == {"empty": FindingCount(3, 2), "overlap": FindingCount(1, 1)}
        assert [result["quality"] for result in ledger.results()] == qualities
        assert ledger.results_of([works[1].row.number])[works[1].row.number]["quality"] == {
            "empty": 1
        }

    def test_totals_of_an_empty_ledger_are_empty(self, opened: Ledger) -> None:
        assert opened.totals().total == 0
        assert list(opened.results()) == []
        assert opened.providers_with_pending() == []


class TestRequeueDamaged:
    """Rows whose files are wrong."""

    async def delivered(self, ledger: Ledger) -> Row:
        """Bring a row to its end, with a job that was billed."""
        imported(ledger, many(2))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_job(row, "paid")
        done = Job(id="paid", state=JobState.COMPLETED, units=3)
        await ledger.record_outcome(row, outcome(job=done))
        return row

    async def test_requeue_damaged_keeps_the_job_and_that_the_row_was_done(
        self, ledger: Ledger
    ) -> None:
        row = await self.delivered(ledger)
        ledger.requeue_damaged([row.number])
        history = await first_history(ledger)
        assert (history.job_id, history.was_completed) == ("paid", True)
        assert ledger.totals().units_consumed == 3

    async def test_requeue_damaged_of_a_pending_row_changes_nothing(self, ledger: Ledger) -> None:
        imported(ledger, many(1))
        ledger.requeue_damaged([(await first_row(ledger)).number])
        assert await first_history(ledger) == RowHistory()

    async def test_ledger_opened_for_repairs_has_no_other_pending_rows(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        row = await self.delivered(ledger)
        with closing(factory.open(repairs=True)) as repairs:
            assert repairs.providers_with_pending() == []
            ledger.requeue_damaged([row.number])
            assert repairs.providers_with_pending() == ["fake"]
            assert [work.row for work in await repairs.pending("fake", 0, 9)] == [row]
            assert repairs.totals().pending == 2


class TestReader:
    """What verify and audit read."""

    async def test_completed_rows_come_in_order_with_what_was_fetched(self, ledger: Ledger) -> None:
        imported(ledger, many(1200))
        works = await ledger.pending("fake", 0, 2000)
        completed = [work.row for work in works if work.row.number % 2]
        await asyncio.gather(*(ledger.record_outcome(row, outcome()) for row in completed))
        read = [done for page in ledger.completed_rows() for done in page]
        caption = (CAPTION.bytes, CAPTION.sha256, CAPTION.cues)
        assert read == [CompletedRow(row.number, row.key, row.path, *caption) for row in completed]

    async def test_rows_are_those_in_a_state_at_a_provider_in_order(self, ledger: Ledger) -> None:
        imported(ledger, many(1200))
        works = await ledger.pending("fake", 0, 2000)
        done = [work.row for work in works if work.row.number % 2]
        await asyncio.gather(*(ledger.record_outcome(row, outcome()) for row in done))
        assert [row for page in ledger.rows("fake", done=True) for row in page] == done
        ledger.choose(Selection(limit=2))
        chosen = [row for page in ledger.rows("fake", done=False) for row in page]
        assert chosen == [work.row for work in works if not work.row.number % 2][:2]
        assert not list(ledger.rows("other", done=True))

    def test_has_task_compares_provider_source_and_target(self, opened: Ledger) -> None:
        imported(opened, many(1))
        assert opened.has_task(make_row(1, key="another", path="else.vtt"))
        assert not opened.has_task(make_row(1, target="ja"))
        assert not opened.has_task(make_row(1, provider="other"))
        assert not opened.has_task(make_row(2))

    def test_owns_path_is_case_sensitive(self, opened: Ledger) -> None:
        imported(opened, many(1))
        assert opened.owns_path("fake/source1.es.vtt")
        assert not opened.owns_path("fake/SOURCE1.es.vtt")
        assert not opened.owns_path("fake/source1.es.vtt\udcff")

    def test_source_ids_are_those_of_rows_that_need_jobs_without_duplicates(
        self, opened: Ledger
    ) -> None:
        rows: Manifest = [
            make_row(n, target=tag, key=f"{n}{tag}", path=f"{n}{tag}")
            for n in range(1, 700)
            for tag in ("es", "ja")
        ]
        bad = InvalidRow(line=2, message="no", origin="m.csv:2", provider="fake", source_id="bad")
        imported(
            opened, [*rows, make_row(900, target=""), make_row(901, provider="no", target=""), bad]
        )
        assert opened.providers_with_jobs() == ["fake"]
        assert sorted(opened.source_ids("fake")) == sorted(f"source{n}" for n in range(1, 700))
        assert list(opened.source_ids("no")) == []

    async def test_captions_of_a_source_have_their_creates_in_order(self, ledger: Ledger) -> None:
        given = make_row(1, params={"track_id": "t"})
        imported(ledger, [given])
        row = await first_row(ledger)
        for job in ("job-1", "job-2"):
            await ledger.record_intent(row)
            await ledger.record_job(row, job)
            await ledger.record_job_ended(row, Job(id=job, state=JobState.ERRORED, units=1))
        (caption,) = ledger.captions_of("fake", "source1")
        assert (caption.key, caption.target, caption.track_id) == (given.key, "es", "t")
        assert caption.creates == (
            CreateRecord("job-1", "errored", 1),
            CreateRecord("job-2", "errored", 1),
        )


class TestFingerprints:
    """Files that need no work while they are as they were."""

    def test_fingerprint_set_again_replaces_the_last(self, factory: Factory) -> None:
        with closing(factory.open()) as ledger:
            assert ledger.fingerprint("manifest:m.csv") is None
            for fingerprint in ("1", "2"):
                ledger.set_fingerprint("manifest:m.csv", fingerprint)
        with closing(factory.read()) as reader:
            assert reader.fingerprint("manifest:m.csv") == "2"
            assert reader.fingerprint("manifest:other.csv") is None

    def test_fingerprint_set_by_check_is_rolled_back_with_the_import(self, opened: Ledger) -> None:
        def refuse() -> None:
            opened.set_fingerprint("manifest:m.csv", "1")
            raise UsageError("no key")

        with pytest.raises(UsageError, match="no key"):
            opened.import_rows([("m.csv", many(3))], skip_invalid=False, check=refuse)
        assert opened.fingerprint("manifest:m.csv") is None
        assert opened.totals().total == 0

    async def test_record_outcome_clears_the_fingerprint_of_the_results(
        self, ledger: Ledger
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        ledger.set_fingerprint(RESULTS, "1")
        await ledger.record_intent(row)
        assert ledger.fingerprint(RESULTS) == "1"
        await ledger.record_outcome(row, outcome())
        assert ledger.fingerprint(RESULTS) is None

    @pytest.mark.parametrize("ends", [False, True])
    async def test_record_of_a_job_clears_the_fingerprint_of_the_results(
        self, ledger: Ledger, ends: bool
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        if ends:
            await ledger.record_job(row, "job-1")
        ledger.set_fingerprint(RESULTS, "1")
        if ends:
            await ledger.record_job_ended(row, Job(id="job-1", state=JobState.ERRORED))
        else:
            await ledger.record_job(row, "job-1")
        assert ledger.fingerprint(RESULTS) is None


async def test_recording_ended_makes_everything_durable(factory: Factory) -> None:
    with closing(factory.open()) as ledger:
        async with ledger.recording(threads=True):
            ledger.set("k", "v")
        with closing(factory.read()) as reader:
            assert reader.values() == {"k": "v"}


async def test_recording_cancelled_leaves_no_thread_and_loses_nothing(
    factory: Factory,
) -> None:
    before = threading.active_count()
    with closing(factory.open()) as ledger:
        with anyio.CancelScope() as scope:
            async with ledger.recording(threads=True):
                ledger.set("k", "v")
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        assert threading.active_count() == before
        with closing(factory.read()) as reader:
            assert reader.values() == {"k": "v"}


async def test_recording_without_threads_does_not_move_the_clock(opened: Ledger) -> None:
    imported(opened, many(1))
    started = clock()
    async with opened.recording(threads=False):
        await opened.record_intent(await first_row(opened))
    assert clock() - started < 1e-3


class TestForgetting:
    """Rows that are taken back, and what holds the others."""

    ALL = ForgetScope(key="*")

    async def test_forget_removes_rows_that_were_not_paid_for(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, [*many(4), InvalidRow(line=9, message="no", origin="m.csv:9", key="x")])
        pending, failed_row, skipped, done = (
            work.row for work in await ledger.pending("fake", 0, 4)
        )
        await ledger.record_outcome(failed_row, failed("rejected"))
        await ledger.record_outcome(skipped, outcome(RowState.SKIPPED))
        await ledger.record_outcome(done, outcome())
        assert ledger.count_holds(self.ALL) == {Hold.DONE: 1, Hold.NONE: 4}
        assert ledger.forget(self.ALL) == 4
        assert [result["key"] for result in durable_results(factory)] == [done.key]
        assert ledger.forget(self.ALL) == 0
        assert pending.key == "fake:source1:es"

    @pytest.mark.parametrize(
        ("ended", "units", "hold"),
        [
            (None, 0, Hold.RUNNING),
            (JobState.COMPLETED, 0, Hold.PAID),
            (JobState.ERRORED, 3, Hold.PAID),
            (JobState.MISSING, 0, Hold.UNKNOWN),
            (JobState.ERRORED, 0, Hold.NONE),
            (JobState.CANCELLED, 0, Hold.NONE),
        ],
    )
    @pytest.mark.parametrize("is_failed", [False, True])
    async def test_hold_follows_from_the_creates_of_a_row(
        self,
        ledger: Ledger,
        factory: Factory,
        ended: JobState | None,
        units: int,
        hold: Hold,
        is_failed: bool,
    ) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        await ledger.record_job(row, "job-1")
        if ended is not None:
            await ledger.record_job_ended(row, Job(id="job-1", state=ended, units=units))
        if is_failed:
            await ledger.record_outcome(row, failed("job_timeout"))
        assert ledger.count_holds(self.ALL) == {hold: 1}
        assert ledger.forget(self.ALL) == (hold is Hold.NONE)
        assert len(durable_results(factory)) == (hold is not Hold.NONE)
        assert list(ledger.held_keys(self.ALL, hold)) == (
            [] if hold is Hold.NONE else [(row.key, "job-1")]
        )

    async def test_create_without_a_response_holds_its_row(self, ledger: Ledger) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_intent(row)
        assert ledger.count_holds(self.ALL) == {Hold.UNKNOWN: 1}
        (held,) = ledger.held_rows(self.ALL, Hold.UNKNOWN)
        assert (held.row, held.history) == (row, await first_history(ledger))
        assert ledger.forget(self.ALL) == 0
        await ledger.discard_intent(row)
        assert ledger.forget(self.ALL) == 1

    async def test_row_that_was_done_once_is_held(self, ledger: Ledger) -> None:
        imported(ledger, many(1))
        row = await first_row(ledger)
        await ledger.record_outcome(row, outcome())
        ledger.requeue_damaged([row.number])
        assert ledger.count_holds(self.ALL) == {Hold.DONE: 1}

    async def test_scope_needs_every_condition(self, ledger: Ledger, factory: Factory) -> None:
        first_rows = [make_row(1), make_row(2, key="season1/a", language="pt-BR", target="pt-br")]
        second_rows: Manifest = [
            make_row(3, origin="other.csv:2", key="season1/b"),
            make_row(4, origin="other.csv:12"),
        ]
        label = make_row(5, provider="labels", language="Ja", target="", origin="m.csv:7")
        imported(ledger, [*first_rows, label])
        imported(ledger, second_rows, "other.csv")
        await ledger.record_outcome(await first_row(ledger), failed("rejected"))
        assert ledger.manifests() == ["m.csv", "other.csv"]

        def keys(**conditions: Any) -> list[str]:
            return [key for key, _ in ledger.held_keys(ForgetScope(**conditions), Hold.NONE)]

        assert keys(key="season1/*") == ["season1/a", "season1/b"]
        assert keys(key="Season1/*") == []
        assert keys(manifest="other.csv") == ["season1/b", "fake:source4:es"]
        assert keys(manifest="other") == []
        assert keys(language="pt-br") == ["season1/a"]
        assert keys(language="JA") == ["labels:source5:es"]
        assert keys(state="failed") == ["fake:source1:es"]
        assert len(keys(state="pending")) == 4
        assert keys(key="season1/*", manifest="other.csv") == ["season1/b"]
        assert ledger.forget(ForgetScope(key="season1/*", manifest="other.csv")) == 1
        assert len(durable_results(factory)) == 4

    async def test_rows_that_their_manifest_lacks_are_unlisted_until_it_has_them(
        self, ledger: Ledger
    ) -> None:
        rows = [make_row(number, origin=f"m.csv:{number + 1}") for number in range(1, 6)]
        imported(ledger, [*rows])
        imported(ledger, [make_row(9, origin="other.csv:2")], "other.csv")
        await ledger.record_outcome(msgspec.structs.replace(rows[0], number=1), failed("rejected"))
        await ledger.record_outcome(msgspec.structs.replace(rows[1], number=2), outcome())

        def imported_as_whole(rows: list[Row]) -> list[str]:
            check = partial(ledger.mark_unlisted, ["m.csv"])
            ledger.import_rows([("m.csv", rows)], skip_invalid=True, check=check)
            return list(ledger.unlisted_keys())

        assert imported_as_whole(rows) == []
        changed = [make_row(8, origin="m.csv:2"), *rows[3:]]
        assert imported_as_whole(changed) == [rows[0].key, rows[2].key]
        scope = ForgetScope(unlisted=True)
        assert [key for key, _ in ledger.held_keys(scope, Hold.NONE)] == [rows[0].key, rows[2].key]
        assert ledger.manifests() == ["m.csv", "other.csv"]
        assert imported_as_whole([*rows[:2], *changed]) == [rows[2].key]
        assert ledger.forget(scope) == 1
        assert list(ledger.unlisted_keys()) == []

    async def test_job_of_a_forgotten_row_is_no_job_of_a_later_one(
        self, ledger: Ledger, factory: Factory
    ) -> None:
        imported(ledger, many(2))
        for work in await ledger.pending("fake", 0, 2):
            await ledger.record_intent(work.row)
            job = Job(id=f"job-{work.row.number}", state=JobState.CANCELLED)
            await ledger.record_job(work.row, f"job-{work.row.number}")
            await ledger.record_job_ended(work.row, job)
        assert ledger.forget(self.ALL) == 2
        imported(ledger, [make_row(2), make_row(3)])
        histories = {
            work.row.source_id: work.history for work in await ledger.pending("fake", 0, 2)
        }
        assert histories == {
            "source2": RowHistory(previous_job_ids=("job-2",)),
            "source3": RowHistory(),
        }
        assert creates(factory, 2) == []

    async def test_forget_makes_the_next_import_read_every_manifest(self, ledger: Ledger) -> None:
        imported(ledger, many(2))
        ledger.set_fingerprint("manifest:m.csv", "1")
        ledger.set_fingerprint(RESULTS, "2")
        assert ledger.forget(ForgetScope(key="none")) == 0
        assert ledger.fingerprint("manifest:m.csv") == "1"
        assert ledger.forget(ForgetScope(key="fake:source1:es")) == 1
        assert ledger.fingerprint("manifest:m.csv") is None
        assert ledger.fingerprint(RESULTS) is None
        result = imported(ledger, many(2))
        assert (result.added, result.known) == (1, 1)

    async def test_held_rows_may_change_while_they_are_read(self, ledger: Ledger) -> None:
        imported(ledger, many(600))
        works = await ledger.pending("fake", 0, 600)
        await asyncio.gather(*(ledger.record_intent(work.row) for work in works))
        numbers = []
        for held in ledger.held_rows(self.ALL, Hold.UNKNOWN):
            numbers.append(held.row.number)
            if len(numbers) % 20 == 0:
                await ledger.discard_intent(held.row)
        assert numbers == list(range(1, 601))
        assert ledger.forget(self.ALL) == 30


async def test_language_counts_are_of_valid_rows(ledger: Ledger) -> None:
    languages = ["es", "ja", "es", None]
    many_rows: Manifest = [
        make_row(number, language=language, target=language or "")
        for number, language in enumerate(languages, 1)
    ]
    invalid = InvalidRow(line=9, message="no id", origin="m.csv:9", language="fr")
    ledger.import_rows([("m.csv", [*many_rows, invalid])], skip_invalid=True)
    works = await ledger.pending("fake", 0, 9)
    await ledger.record_outcome(works[0].row, outcome(RowState.DONE, caption=CAPTION))
    assert ledger.language_counts() == [
        LanguageCount(None, 1, 0),
        LanguageCount("es", 2, 1),
        LanguageCount("ja", 1, 0),
    ]


class TestFailures:
    async def test_failures_are_grouped_with_the_first_row_as_sample(self, ledger: Ledger) -> None:
        imported(ledger, many(5))
        works = await ledger.pending("fake", 0, 5)
        for number, code in ((4, "job_failed"), (1, "job_failed"), (2, "bad_caption")):
            failure = Failure(code, f"message {number}", retryable=number == 4)
            outcome = Outcome(
                state=RowState.FAILED, started_at=EPOCH, finished_at=EPOCH, failure=failure
            )
            await ledger.record_outcome(works[number].row, outcome)
        first, third = works[1].row, works[2].row
        assert ledger.failures() == [
            FailureGroup("job_failed", 2, 1, first.key, first.origin, "message 1"),
            FailureGroup("bad_caption", 1, 0, third.key, third.origin, "message 2"),
        ]

    async def test_failures_hold_invalid_rows_too(self, ledger: Ledger) -> None:
        rows_: Manifest = [make_row(1), InvalidRow(line=9, message="no id", origin="m.csv:9")]
        ledger.import_rows([("m.csv", rows_)], skip_invalid=True)
        assert ledger.failures() == [FailureGroup("invalid", 1, 0, None, "m.csv:9", "no id")]


class TestOpenJobs:
    async def test_open_jobs_are_those_of_pending_rows_the_oldest_first(
        self, ledger: Ledger
    ) -> None:
        imported(ledger, many(6))
        works = await ledger.pending("fake", 0, 6)
        for number in (3, 1, 0, 2):
            await ledger.record_intent(works[number].row)
            await asyncio.sleep(1)
            if number != 2:
                await ledger.record_job(works[number].row, f"job-{number}")
        ended = Job(id="job-1", state=JobState.ERRORED)
        await ledger.record_job_ended(works[1].row, ended)
        keys = [(job.key, job.job_id) for job in ledger.open_jobs(10)]
        assert keys == [(works[3].row.key, "job-3"), (works[0].row.key, "job-0")]
        assert ledger.open_job_count() == 2
        assert ledger.open_jobs(1)[0].since == pytest.approx(now() - 4, abs=0.1)


class TestChanges:
    """What a page that follows a run asks for."""

    async def test_row_versions_are_those_of_open_jobs_and_of_later_outcomes(
        self, ledger: Ledger
    ) -> None:
        imported(ledger, many(5))
        works = await ledger.pending("fake", 0, 5)
        for number, after in ((0, 0.0), (1, 10.0), (2, 20.0)):
            outcome = Outcome(
                state=RowState.DONE,
                started_at=EPOCH,
                finished_at=EPOCH + after,
                caption=CAPTION,
            )
            await ledger.record_outcome(works[number].row, outcome)
        await ledger.record_intent(works[3].row)
        assert ledger.row_versions(EPOCH + 30) == {}
        await ledger.record_job(works[3].row, "job-3")
        numbers = [work.row.number for work in works]
        versions = ledger.row_versions(EPOCH + 10)
        assert versions.keys() == {numbers[1], numbers[2], numbers[3]}
        failure = Failure("job_failed", "no", retryable=False)
        failed = Outcome(
            state=RowState.FAILED, started_at=EPOCH, finished_at=EPOCH + 40, failure=failure
        )
        await ledger.record_outcome(works[3].row, failed)
        later = ledger.row_versions(EPOCH + 30)
        assert later.keys() == {numbers[3]}
        assert later[numbers[3]] != versions[numbers[3]]

    async def test_row_versions_change_with_a_further_job(self, ledger: Ledger) -> None:
        imported(ledger, many(1))
        (work,) = await ledger.pending("fake", 0, 1)
        seen = []
        for name in ("first", "second"):
            await ledger.record_intent(work.row)
            await ledger.record_job(work.row, name)
            seen.append(ledger.row_versions(0.0)[work.row.number])
            await asyncio.sleep(1)
            await ledger.record_job_ended(work.row, Job(id=name, state=JobState.ERRORED))
            assert ledger.row_versions(0.0) == {}
        assert seen[0] != seen[1]

    async def test_results_of_rows_are_those_of_all_results(self, ledger: Ledger) -> None:
        ledger.import_rows(
            [("m.csv", [*many(3), InvalidRow(line=9, message="no", origin="m.csv:9")])],
            skip_invalid=True,
        )
        works = await ledger.pending("fake", 0, 5)
        done = Outcome(
            state=RowState.DONE,
            started_at=EPOCH + 0.0009999,
            finished_at=EPOCH + 1.123999,
            caption=CAPTION,
        )
        await ledger.record_outcome(works[0].row, done)
        every = list(ledger.results())
        numbers = [work.row.number for work in works]
        found = ledger.results_of([numbers[2], numbers[0], 99])
        assert found == {numbers[0]: every[0], numbers[2]: every[2]}
        assert ledger.results_of([]) == {}

    async def test_data_version_differs_after_a_commit_of_the_run(self, factory: Factory) -> None:
        with closing(factory.open()) as ledger, closing(factory.read()) as reader:
            imported(ledger, many(1))
            first = reader.data_version()
            assert reader.data_version() == first
            imported(ledger, many(1, start=2))
            assert reader.data_version() != first

    async def test_caption_is_there_at_the_path_of_a_done_row_only(self, ledger: Ledger) -> None:
        imported(ledger, many(2))
        first, second = await ledger.pending("fake", 0, 2)
        done = Outcome(state=RowState.DONE, started_at=EPOCH, finished_at=EPOCH, caption=CAPTION)
        await ledger.record_outcome(first.row, done)
        assert ledger.has_caption(first.row.path)
        assert not ledger.has_caption(second.row.path)
        assert not ledger.has_caption(first.row.path.upper())
        assert not ledger.has_caption("../" + first.row.path)
        assert not ledger.has_caption("\udcff")


class TestMinutes:
    async def test_minutes_of_two_runs_add_up_in_order_of_time(self, factory: Factory) -> None:
        later, first = MinuteCount(11, "mux", "done", 2), MinuteCount(10, "mux.read", "requests", 5)
        with closing(factory.open()) as ledger:
            async with ledger.recording(threads=False):
                ledger.add_minutes([later, first, MinuteCount(10, "mux", "created", 1)])
        with closing(factory.open()) as ledger:
            async with ledger.recording(threads=False):
                ledger.add_minutes([later])
        with closing(factory.read()) as reader:
            assert list(reader.minutes()) == [
                MinuteCount(10, "mux", "created", 1),
                MinuteCount(10, "mux.read", "requests", 5),
                MinuteCount(11, "mux", "done", 4),
            ]
            assert list(reader.minutes(11)) == [MinuteCount(11, "mux", "done", 4)]
