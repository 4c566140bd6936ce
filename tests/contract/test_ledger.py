"""What every ledger must keep: one suite for `Ledger` and `KeyValueStore`."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given as given_many
from hypothesis import strategies as st

from batchcap import manifest
from batchcap.errors import FatalError, UsageError
from batchcap.interfaces import KeyValueStore, Ledger
from batchcap.ledger import (
    Intake,
    Lock,
    SqliteLedger,
    begun,
    connect,
    failed_codes,
    folder,
    intake,
    known,
    owned,
    put_back,
    read_only,
    require,
    results,
    sources,
    take_in,
    totals,
    waiting,
    wanted,
)
from batchcap.ledger import seen as marks
from batchcap.ledger.schema import VERSION, draft, file
from batchcap.ledger.writer import _ENDED
from batchcap.model import (
    Caption,
    Facts,
    Failure,
    InvalidRow,
    Job,
    JobState,
    Outcome,
    Row,
    RowState,
)
from tests.fakes import CAPTION, EPOCH, clock, now, row
from tests.world import COLUMNS

pytestmark = pytest.mark.anyio

Manifest = list[Row | InvalidRow]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path, create=True)) as opened:
        yield opened


@pytest.fixture(params=["inline", "threaded"])
def ledger(
    request: pytest.FixtureRequest, connection: sqlite3.Connection, tmp_path: Path
) -> Iterator[SqliteLedger]:
    with ExitStack() as stack:
        threaded = request.param == "threaded"
        executor = stack.enter_context(ThreadPoolExecutor(1)) if threaded else None
        yield SqliteLedger(connection, tmp_path, now=now, executor=executor)


def imported(connection: sqlite3.Connection, given: Manifest, name: str = "m.csv") -> Intake:
    return take_in(connection, [(name, given)], skip_invalid=True)


def many(count: int, start: int = 1) -> Manifest:
    return [row(number) for number in range(start, start + count)]


def seen(out: Path, sql: str) -> list[tuple[Any, ...]]:
    """What another connection sees, and so what is durable."""
    with closing(read_only(out)) as other:
        return other.execute(sql).fetchall()


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


async def first(ledger: Ledger) -> Row:
    return (await ledger.pending("fake", 0, 1))[0].row


async def facts(ledger: Ledger) -> Facts:
    return (await ledger.pending("fake", 0, 1))[0].facts


CREATES = "SELECT row, nth, job_id, ended, units FROM creates ORDER BY row, nth"


class TestLedger:
    """The engine's socket."""

    async def test_it_satisfies_the_protocols(self, ledger: SqliteLedger) -> None:
        as_ledger: Ledger = ledger
        as_memory: KeyValueStore = ledger
        assert isinstance(as_ledger, SqliteLedger)
        assert isinstance(as_memory, SqliteLedger)

    async def test_rows_come_back_as_they_were_imported(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        given = row(
            1,
            params={"to_language_code": "es", "never_translate": ["a", "ü"], "upload": True},
            meta={"note": "\u65e5\u672c", "n": 1.5, "none": None},
        )
        imported(connection, [given])
        (work,) = await ledger.pending("fake", 0, 10)
        assert work.row == given
        assert work.facts == Facts()

    async def test_pending_rows_come_in_order_page_by_page(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        imported(connection, many(25))
        found: list[str] = []
        after = 0
        while page := await ledger.pending("fake", after, 10):
            assert len(page) <= 10
            found += [work.row.source_id for work in page]
            after = page[-1].row.number
        assert found == [f"source{number}" for number in range(1, 26)]

    async def test_rows_of_others_and_rows_that_ended_are_not_pending(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        imported(connection, [row(1), row(2, provider="other"), row(3)])
        await ledger.record_outcome(await first(ledger), outcome())
        assert [work.row.source_id for work in await ledger.pending("fake", 0, 9)] == ["source3"]
        assert waiting(connection) == {"fake", "other"}

    async def test_an_intent_is_durable_once_awaited(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        await ledger.record_intent(await first(ledger))
        assert seen(tmp_path, CREATES) == [(1, 1, None, None, 0)]
        found = await facts(ledger)
        assert found.job_id is None
        assert found.intent_at == pytest.approx(now(), abs=0.1)

    async def test_an_intent_that_is_sent_again_is_the_same_create_at_a_later_time(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        await asyncio.sleep(100)
        await ledger.record_intent(mine)
        assert seen(tmp_path, CREATES) == [(1, 1, None, None, 0)]
        assert (await facts(ledger)).intent_at == pytest.approx(now(), abs=0.1)

    async def test_a_create_is_durable_once_awaited(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        await ledger.record_job(mine, "job-1")
        assert seen(tmp_path, CREATES) == [(1, 1, "job-1", None, 0)]
        assert (await facts(ledger)).job_id == "job-1"

    async def test_an_outcome_is_durable_once_awaited(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        await ledger.record_outcome(await first(ledger), outcome())
        sql = "SELECT state, bytes, sha256, cues, finished_at FROM rows"
        kept = ("done", CAPTION.bytes, CAPTION.sha256, CAPTION.cues, EPOCH + 1)
        assert seen(tmp_path, sql) == [kept]

    async def test_many_writes_at_once_are_all_durable(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(300))
        works = await ledger.pending("fake", 0, 300)

        async def live(mine: Row) -> None:
            await ledger.record_intent(mine)
            await ledger.record_job(mine, f"job-{mine.number}")
            await ledger.record_outcome(mine, outcome())

        await asyncio.gather(*(live(work.row) for work in works))
        assert seen(tmp_path, "SELECT count(*) FROM rows WHERE state = 'done'") == [(300,)]
        sql = "SELECT count(*) FROM creates WHERE job_id = 'job-' || row"
        assert seen(tmp_path, sql) == [(300,)]

    async def test_a_withdrawn_intent_leaves_nothing(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        await ledger.discard_intent(mine)
        assert seen(tmp_path, CREATES) == []
        assert await facts(ledger) == Facts()

    async def test_a_create_that_was_accepted_cannot_be_withdrawn(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        await ledger.record_job(mine, "paid")
        await ledger.discard_intent(mine)
        assert (await facts(ledger)).job_id == "paid"

    async def test_an_intent_is_withdrawn_also_where_the_caller_is_cancelled(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ledger.discard_intent(mine)
        assert seen(tmp_path, CREATES) == []

    async def test_an_intent_whose_caller_is_cancelled_can_be_withdrawn_in_the_same_breath(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(2))
        one, two = (work.row for work in await ledger.pending("fake", 0, 2))
        await ledger.record_intent(two)
        leaving = asyncio.ensure_future(ledger.record_intent(one))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(ledger.discard_intent(two), ledger.discard_intent(one))
        assert seen(tmp_path, CREATES) == []

    async def test_an_intent_after_two_jobs_is_number_three_however_often_it_is_sent(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        for job in ("job-1", "job-2"):
            await ledger.record_intent(mine)
            await ledger.record_job(mine, job)
            await ledger.record_job_ended(mine, Job(id=job, state=JobState.ERRORED))
        await asyncio.gather(ledger.record_intent(mine), ledger.record_intent(mine))
        found = seen(tmp_path, "SELECT nth, job_id FROM creates ORDER BY nth")
        assert found == [(1, "job-1"), (2, "job-2"), (3, None)]

    async def test_rows_at_every_step_of_their_lives_share_a_commit(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(4))
        one, two, three, four = (work.row for work in await ledger.pending("fake", 0, 4))
        for mine in (two, three, four):
            await ledger.record_intent(mine)
        await ledger.record_job(three, "job-3")
        done = Job(id="job-3", state=JobState.COMPLETED, units=3)
        ledger.set("k", "v")
        await asyncio.gather(
            ledger.record_outcome(three, outcome(job=done)),
            ledger.record_job(two, "job-2"),
            ledger.discard_intent(four),
            ledger.record_intent(one),
        )
        expected = [
            (1, 1, None, None, 0),
            (2, 1, "job-2", None, 0),
            (3, 1, "job-3", "completed", 3),
        ]
        assert seen(tmp_path, CREATES) == expected
        assert seen(tmp_path, "SELECT state FROM rows") == [(None,), (None,), ("done",), (None,)]
        assert seen(tmp_path, "SELECT value FROM memory") == [("v",)]

    async def test_a_job_that_ended_makes_the_next_create_number_two(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        await ledger.record_job(mine, "job-1")
        await ledger.record_job_ended(mine, Job(id="job-1", state=JobState.ERRORED, units=2))
        assert await facts(ledger) == Facts(former=("job-1",))
        await ledger.record_intent(mine)
        assert (await facts(ledger)).job_id is None
        assert (await facts(ledger)).intent_at is not None
        await ledger.record_job(mine, "job-2")
        assert (await facts(ledger)).job_id == "job-2"
        expected = [(1, 1, "job-1", "errored", 2), (1, 2, "job-2", None, 0)]
        assert seen(tmp_path, CREATES) == expected

    async def test_a_second_intent_that_is_withdrawn_does_not_revive_the_first_job(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        await ledger.record_job(mine, "job-1")
        await ledger.record_job_ended(mine, Job(id="job-1", state=JobState.ERRORED))
        await ledger.record_intent(mine)
        await ledger.discard_intent(mine)
        assert seen(tmp_path, CREATES) == [(1, 1, "job-1", "errored", 0)]
        assert await facts(ledger) == Facts(former=("job-1",))

    async def test_an_outcome_tells_how_its_job_ended_and_what_it_cost(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        await ledger.record_job(mine, "job-1")
        job = Job(id="job-1", state=JobState.COMPLETED, units=3)
        await ledger.record_outcome(mine, outcome(job=job))
        assert seen(tmp_path, CREATES) == [(1, 1, "job-1", "completed", 3)]
        assert totals(connection).units_consumed == 3

    async def test_a_job_that_still_runs_is_not_said_to_have_ended(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        await ledger.record_job(mine, "slow")
        await ledger.record_outcome(
            mine, failed("job_timeout", Job(id="slow", state=JobState.RUNNING))
        )
        assert put_back(connection, None) == 1
        assert (await facts(ledger)).job_id == "slow"

    @pytest.mark.parametrize("code", ["link_dead", "unavailable", "bad_caption"])
    async def test_a_job_that_completed_is_not_paid_for_again_after_put_back(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, code: str
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        await ledger.record_job(mine, "paid")
        await ledger.record_outcome(
            mine, failed(code, Job(id="paid", state=JobState.COMPLETED, units=9))
        )
        put_back(connection, None)
        assert (await facts(ledger)).job_id == "paid"

    async def test_a_job_that_was_not_known_is_looked_for_after_put_back(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        await ledger.record_job(mine, "gone")
        await ledger.record_outcome(
            mine, failed("not_found", Job(id="gone", state=JobState.MISSING))
        )
        put_back(connection, None)
        found = await facts(ledger)
        assert found.intent_at is not None
        assert (found.job_id, found.former) == (None, ())

    async def test_what_completed_once_stays_paid_for_whatever_becomes_of_its_job(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        await ledger.record_job(mine, "paid")
        done = Job(id="paid", state=JobState.COMPLETED, units=7)
        await ledger.record_outcome(mine, failed("link_dead", done))
        put_back(connection, None)
        await ledger.record_outcome(
            mine, failed("not_found", Job(id="paid", state=JobState.MISSING))
        )
        put_back(connection, None)
        found = await facts(ledger)
        assert (found.job_id, found.delivered) == ("paid", True)
        assert seen(tmp_path, CREATES) == [(1, 1, "paid", "completed", 7)]

    @pytest.mark.parametrize("state", [JobState.ERRORED, JobState.CANCELLED])
    async def test_a_job_that_ended_badly_is_made_anew_after_put_back(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, state: JobState
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        await ledger.record_job(mine, "bad")
        await ledger.record_outcome(mine, failed("job_failed", Job(id="bad", state=state)))
        put_back(connection, None)
        assert await facts(ledger) == Facts(former=("bad",))

    async def test_an_unknown_create_stays_unknown_after_put_back(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        await ledger.record_outcome(mine, failed("outcome_unknown"))
        put_back(connection, None)
        assert (await facts(ledger)).intent_at is not None

    async def test_put_back_takes_all_failed_rows_or_those_of_a_code_and_no_others(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        imported(connection, many(5))
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
        assert failed_codes(connection) == ["not_found", "unavailable"]
        assert put_back(connection, "unavailable") == 2
        assert put_back(connection, "no_such") == 0
        pending = [work.row.number for work in await ledger.pending("fake", 0, 9)]
        assert pending == [works[2].row.number, works[4].row.number]
        assert put_back(connection, None) == 1
        assert totals(connection).pending == 3

    async def test_a_row_put_back_shows_nothing_of_its_failure(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        imported(connection, many(1))
        await ledger.record_outcome(await first(ledger), failed("unavailable"))
        put_back(connection, None)
        (result,) = results(connection)
        assert (result["state"], result["error"], result["finished_at"]) == ("pending", None, None)

    async def test_a_fault_of_the_file_is_fatal_and_the_next_write_works(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        connection.execute("ALTER TABLE creates RENAME TO hidden")
        with pytest.raises(FatalError, match="cannot be used"):
            await ledger.record_intent(mine)
        connection.execute("ALTER TABLE hidden RENAME TO creates")
        await ledger.record_intent(mine)
        assert (await facts(ledger)).intent_at is not None

    async def test_a_message_that_cannot_be_kept_spoils_no_later_write(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        """aiohttp gives header bytes that are no UTF-8 as lone surrogates."""
        imported(connection, many(2))
        one, two = (work.row for work in await ledger.pending("fake", 0, 2))
        odd = outcome(RowState.FAILED, failure=Failure("rejected", "request \udcff"))
        await asyncio.gather(ledger.record_outcome(one, odd), return_exceptions=True)
        await ledger.record_outcome(two, outcome())
        assert totals(connection).done == 1


class TestMemory:
    """Small facts that outlive a run."""

    async def test_what_was_noted_is_recalled_at_once_and_by_the_next_run(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        assert ledger.get("pause.x") is None
        ledger.set("pause.x", "1")
        ledger.set("pause.x", "2")
        ledger.set("rate.y", "5.0")
        assert ledger.get("pause.x") == "2"
        await ledger.drain()
        assert sorted(seen(tmp_path, "SELECT key, value FROM memory")) == [
            ("pause.x", "2"),
            ("rate.y", "5.0"),
        ]
        later = SqliteLedger(connection, tmp_path, now=now)
        assert (later.get("pause.x"), later.get("rate.y")) == ("2", "5.0")

    async def test_a_note_is_durable_with_the_next_write(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        ledger.set("k", "v")
        await ledger.record_intent(mine)
        assert seen(tmp_path, "SELECT value FROM memory") == [("v",)]


def said(connection: sqlite3.Connection, given: Manifest) -> str:
    """The refusal of a manifest; the ledger is as before."""
    before = list(connection.iterdump())
    with pytest.raises(UsageError) as caught:
        take_in(connection, [("m.csv", given)], skip_invalid=False)
    assert list(connection.iterdump()) == before
    assert not connection.in_transaction
    return caught.value.message


def collider(source: int, target: str, key: str, path: str, x: int) -> Row:
    """A row that has something in common with others."""
    task = f"source{source}:{target}"
    return row(
        source,
        target=target,
        language=target,
        key=key or task,
        path=path or f"{task}.vtt",
        params={"x": x},
    )


class TestIntake:
    """Manifest rows into the ledger, all or none."""

    def test_rows_are_added_once_and_known_after_that(self, connection: sqlite3.Connection) -> None:
        assert imported(connection, many(2500)) == Intake(added=2500, problems=[])
        assert imported(connection, many(2510)) == Intake(added=10, known=2500, problems=[])
        assert totals(connection).total == 2510

    def test_rows_are_numbered_in_manifest_order(self, connection: sqlite3.Connection) -> None:
        imported(connection, many(2500))
        found = connection.execute("SELECT number, source_id FROM rows ORDER BY number").fetchall()
        assert [source for _, source in found] == [f"source{n}" for n in range(1, 2501)]
        assert found[0][0] == 1

    def test_numbers_have_no_gaps(self, connection: sqlite3.Connection) -> None:
        imported(connection, many(2500))
        imported(connection, many(2510))
        found = connection.execute("SELECT number FROM rows ORDER BY number").fetchall()
        assert [number for (number,) in found] == list(range(1, 2511))

    def test_the_same_row_twice_in_one_manifest_is_one_task(
        self, connection: sqlite3.Connection
    ) -> None:
        assert imported(connection, [row(1), row(1, origin="m.csv:9")]) == Intake(
            added=1, known=1, problems=[]
        )

    def test_several_manifests_are_one_import(self, connection: sqlite3.Connection) -> None:
        intake = take_in(
            connection, [("a.csv", many(3)), ("b.csv", many(3, 3))], skip_invalid=False
        )
        assert (intake.added, intake.known) == (5, 1)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"params": {"to_language_code": "es", "x": 1}}, "other parameters"),
            ({"key": "mine"}, "another key"),
            ({"path": "else.vtt"}, "another path"),
            ({"language": "label"}, "another language"),
        ],
    )
    def test_a_task_twice_with_a_difference_is_a_problem(
        self, connection: sqlite3.Connection, changes: dict[str, Any], words: str
    ) -> None:
        message = said(connection, [row(1), row(1, origin="m.csv:9", **changes)])
        assert f"m.csv:9: the same task as m.csv:2, with {words}" in message

    def test_another_meta_is_no_difference(self, connection: sqlite3.Connection) -> None:
        assert imported(connection, [row(1), row(1, meta={"note": "x"})]).known == 1

    def test_one_key_for_two_tasks_is_a_problem(self, connection: sqlite3.Connection) -> None:
        message = said(connection, [row(1, key="k"), row(2, key="k")])
        assert "m.csv:3: key: 'k' is the key of m.csv:2 already" in message

    def test_one_path_for_two_tasks_is_a_problem(self, connection: sqlite3.Connection) -> None:
        message = said(connection, [row(1, path="p.vtt"), row(2, path="p.vtt")])
        assert "m.csv:3: name: 'p.vtt' is the file of m.csv:2 already" in message

    def test_clashes_with_earlier_imports_are_problems_too(
        self, connection: sqlite3.Connection
    ) -> None:
        imported(connection, many(1))
        assert "is the key of m.csv:2" in said(connection, [row(2, key=row(1).key)])

    @pytest.mark.parametrize("skip_invalid", [False, True])
    @pytest.mark.parametrize("before", [0, 1, 1500])
    @pytest.mark.parametrize(
        "odd",
        [
            "",
            f"{7:032x},{7:032x},es\n",
            f"{7:032x},{8:032x},es\n",
            f"{7:032X},{7:032x},es\n",
            "a b,,xx\n",
            f"{10**6:032x},{7:032x},es;ja\n",
        ],
    )
    def test_an_import_in_batches_equals_one_row_by_row(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        odd: str,
        before: int,
        *,
        skip_invalid: bool,
    ) -> None:
        """Also if a new ledger's indexes are made after its rows."""
        lines = [f"{n:032x},{n:032x},es\n" for n in range(0xA00, 0xA00 + 2500)]
        head = "asset_id,track_id,to_language_code\n"
        rows = [f"{7:032x},{7:032x},es\n", *lines[:1200], odd, *lines[1200:], lines[0]]
        (tmp_path / "old.csv").write_text(head + "".join(lines[:before]))
        (tmp_path / "new.csv").write_text(head + "".join(rows))
        names = ["old.csv", "new.csv"] if before else ["new.csv"]

        def imported_into(out: Path) -> tuple[list[object], list[Any]]:
            with closing(connect(out, create=True)) as connection:
                reports: list[object] = []
                for name in names:
                    found = manifest.read(str(tmp_path / name), manifest.ManifestOptions(), COLUMNS)
                    try:
                        reports += [take_in(connection, [(name, found)], skip_invalid=skip_invalid)]
                    except UsageError as error:
                        reports += [error.message]
                rows = connection.execute("SELECT * FROM rows ORDER BY number")
                return reports, [row[1:] for row in rows]  # numbers may have gaps

        in_batches = imported_into(tmp_path / "batches")
        monkeypatch.setattr(intake, "_BATCH", 1)
        monkeypatch.setattr(intake._Importer, "_drop_indexes", lambda _: None)
        assert imported_into(tmp_path / "single") == in_batches

    def test_a_clash_deep_in_a_large_manifest_is_found(
        self, connection: sqlite3.Connection
    ) -> None:
        given = [*many(3500), row(4000, key=row(17).key, origin="m.csv:3502")]
        assert "m.csv:3502: key:" in said(connection, given)

    def test_all_problems_are_counted_and_the_first_twenty_told(
        self, connection: sqlite3.Connection
    ) -> None:
        bad: Manifest = [
            InvalidRow(line=n, message=f"asset_id: missing {n}", origin=f"m.csv:{n}")
            for n in range(2, 32)
        ]
        message = said(connection, [*many(5, 100), *bad])
        assert message.startswith("30 problems in the manifest; nothing was started")
        assert "m.csv:21: asset_id: missing 21" in message
        assert "missing 22" not in message
        assert message.endswith("... and 10 more")

    def test_a_reader_that_fails_midway_leaves_nothing(
        self, connection: sqlite3.Connection
    ) -> None:
        def reading() -> Iterator[Row]:
            yield from (row(number) for number in range(1, 2000))
            raise UsageError("not UTF-8")

        with pytest.raises(UsageError, match="not UTF-8"):
            take_in(connection, [("m.csv", reading())], skip_invalid=True)
        assert totals(connection).total == 0
        assert not connection.in_transaction

    def test_many_rows_added_to_a_few_collide_with_them(
        self, connection: sqlite3.Connection
    ) -> None:
        imported(connection, many(3))
        given = [*many(4000), row(5000, key=row(2).key), row(3000, origin="m.csv:5002")]
        intake = imported(connection, given)
        assert (intake.added, intake.known, intake.invalid) == (3997, 4, 1)
        assert intake.problems == [f"m.csv:5001: key: '{row(2).key}' is the key of m.csv:3 already"]
        assert totals(connection).pending == 4000

    def test_problems_of_all_kinds_are_told_in_manifest_order(
        self, connection: sqlite3.Connection
    ) -> None:
        given: Manifest = []
        for number in range(1, 60, 2):
            bad = InvalidRow(line=number, message="no", origin=f"m.csv:{number}")
            given += [bad, row(100, key=f"k{number}", origin=f"m.csv:{number + 1}")]
        message = said(connection, given)
        lines = [line.split(":")[1] for line in message.splitlines()[1:-1]]
        assert lines == [str(n) for n in range(1, 22) if n != 2]

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
    def test_collisions_end_alike_in_an_empty_ledger_and_in_a_large_one(
        self, tmp_path_factory: pytest.TempPathFactory, colliders: list[Row]
    ) -> None:
        given = [msgspec.structs.replace(r, origin=f"m.csv:{n}") for n, r in enumerate(colliders)]
        ends = []
        for before in (0, 200):  # into a large one, few rows go one by one
            with closing(connect(tmp_path_factory.mktemp("ledger"), create=True)) as opened:
                imported(opened, many(before, 1000), "other.csv")
                intake = imported(opened, [*given])
                found = [one for one in results(opened) if not one["key"].startswith("fake")]
            ends.append((intake, found))
        assert ends[0] == ends[1]

    def test_an_import_that_was_killed_leaves_nothing(self, tmp_path: Path) -> None:
        code = (
            "import os, sys; from pathlib import Path\n"
            "from batchcap.ledger import connect, take_in\n"
            "from tests.fakes import row\n"
            "def rows():\n"
            "    yield from (row(n) for n in range(1, 5000))\n"
            "    os.kill(os.getpid(), 9)\n"
            "take_in(connect(Path(sys.argv[1]), create=True), [('m', rows())], skip_invalid=True)\n"
        )
        root = Path(__file__).parents[2]
        ran = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=root, check=False)
        assert ran.returncode == -9
        with closing(connect(tmp_path, create=False)) as again:
            assert totals(again).total == 0
            assert imported(again, many(3)).added == 3

    def test_invalid_rows_are_kept_where_the_user_goes_on_without_them(
        self, connection: sqlite3.Connection
    ) -> None:
        bad = InvalidRow(line=3, message="no", origin="m.csv:3", provider="mux", key="k")
        intake = imported(connection, [row(1), bad, row(2)])
        assert (intake.added, intake.invalid, intake.problems) == (2, 1, ["m.csv:3: no"])
        result = list(results(connection))[1]
        assert (result["state"], result["line"], result["key"]) == ("invalid", 3, "k")
        assert result["error"] == {"code": "invalid", "message": "no", "retryable": False}
        assert totals(connection).errors == {}

    def test_invalid_rows_collide_with_nobody(self, connection: sqlite3.Connection) -> None:
        bad = InvalidRow(
            line=2, message="no", origin="m.csv:2", key=row(1).key, provider="fake", source_id="s"
        )
        assert imported(connection, [bad, bad, row(1)]).added == 1

    def test_the_same_manifest_again_judges_its_invalid_rows_anew(
        self, connection: sqlite3.Connection
    ) -> None:
        bad = InvalidRow(line=3, message="no", origin="m.csv:3")
        other = InvalidRow(line=3, message="no", origin="other.csv:3")
        imported(connection, [row(1), bad])
        imported(connection, [other], "other.csv")
        assert totals(connection).invalid == 2
        assert imported(connection, [row(1), row(2)]).added == 1
        assert totals(connection).invalid == 1
        assert imported(connection, [row(1), bad]).invalid == 1
        assert totals(connection).invalid == 2

    def test_a_clashing_row_is_invalid_where_the_user_goes_on(
        self, connection: sqlite3.Connection
    ) -> None:
        intake = imported(connection, [row(1), row(2, key=row(1).key)])
        assert (intake.added, intake.invalid) == (1, 1)
        result = list(results(connection))[1]
        assert (result["state"], result["line"]) == ("invalid", 3)


class TestReading:
    """What report and status read."""

    async def test_totals_count_everything(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        bad = InvalidRow(line=9, message="no", origin="m.csv:9")
        imported(connection, [*many(5), row(6, provider="other"), bad])
        works = await ledger.pending("fake", 0, 9)
        ends = [
            outcome(caption=Caption(100, "a", 1)),
            outcome(caption=Caption(50, "b", 1)),
            outcome(RowState.SKIPPED),
            failed("not_found"),
        ]
        for work, end in zip(works, ends, strict=False):
            await ledger.record_outcome(work.row, end)
        found = totals(connection)
        counts = (found.total, found.done, found.failed, found.skipped, found.invalid)
        assert counts == (7, 2, 1, 1, 1)
        assert (found.pending, found.bytes, found.errors) == (2, 150, {"not_found": 1})
        assert found.by_provider == {
            "fake": {"done": 2, "failed": 1, "pending": 1, "skipped": 1},
            "other": {"pending": 1},
            "unknown": {"invalid": 1},
        }

    def test_an_empty_ledger_has_empty_totals(self, connection: sqlite3.Connection) -> None:
        assert totals(connection).total == 0
        assert list(results(connection)) == []
        assert waiting(connection) == set()

    async def test_status_reads_while_a_writer_is_in_the_middle(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(3))
        await ledger.record_outcome(await first(ledger), outcome())
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE rows SET state = 'done'")
        with closing(read_only(tmp_path)) as reader:
            assert totals(reader).done == 1
            connection.execute("COMMIT")
            assert totals(reader).done == 3

    def test_a_reader_cannot_write(self, connection: sqlite3.Connection, tmp_path: Path) -> None:
        with closing(read_only(tmp_path)) as reader, pytest.raises(sqlite3.OperationalError):
            reader.execute("DELETE FROM rows")


VERSION_1 = """
CREATE TABLE memory (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rows (
    number INTEGER PRIMARY KEY, provider TEXT, source_id TEXT, target TEXT, language TEXT,
    key TEXT, path TEXT, params TEXT, meta TEXT, origin TEXT, state TEXT, started_at REAL,
    finished_at REAL, bytes INTEGER, sha256 TEXT, cues INTEGER, job_id TEXT, code TEXT,
    message TEXT, retryable INTEGER
);
CREATE UNIQUE INDEX task ON rows (provider, source_id, target) WHERE state IS NOT 'invalid';
CREATE UNIQUE INDEX key ON rows (key) WHERE state IS NOT 'invalid';
CREATE UNIQUE INDEX path ON rows (path COLLATE NOCASE) WHERE state IS NOT 'invalid';
CREATE INDEX pending ON rows (provider, number) WHERE state IS NULL;
CREATE TABLE creates (
    row INTEGER NOT NULL, nth INTEGER NOT NULL, intent_at REAL NOT NULL, job_id TEXT,
    ended TEXT, units INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (row, nth)
) WITHOUT ROWID;
INSERT INTO rows (number, provider, source_id, target, language, key, path, params, meta, origin)
VALUES (1, 'mux', 'a', 'es', 'es', 'k1', 'A.vtt', '{"to_language_code":"es"}', '{}', 'm.csv:2'),
       (2, 'mux', 'b', 'es', 'es', 'k2', 'b.vtt', '{}', '{}', 'm.csv:3');
INSERT INTO rows (number, provider, key, meta, origin, state, code, message, retryable)
VALUES (3, 'mux', 'k1', '{}', 'm.csv:4', 'invalid', 'invalid', 'no', 0);
PRAGMA user_version = 1;
"""


class TestFile:
    """The file, its version and its safety."""

    def test_what_is_acknowledged_survives_a_power_cut(
        self, connection: sqlite3.Connection
    ) -> None:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)

    def test_it_opens_again_as_it_was(self, tmp_path: Path) -> None:
        with closing(connect(tmp_path, create=True)) as opened:
            imported(opened, many(3))
        with closing(connect(tmp_path, create=False)) as again:
            assert totals(again).pending == 3

    def test_a_ledger_of_version_1_is_brought_up_to_date(self, tmp_path: Path) -> None:
        folder(tmp_path).mkdir()
        with closing(sqlite3.connect(file(tmp_path))) as old:
            old.executescript(VERSION_1)
        with closing(read_only(tmp_path)) as reader:
            before = list(results(reader))
            assert totals(reader).total == 3
        with closing(connect(tmp_path, create=False)) as opened:
            assert opened.execute("PRAGMA user_version").fetchone() == (VERSION,)
            assert list(results(opened)) == before
            same = row(1, key="k1", provider="mux", source_id="a", target="es", path="A.vtt")
            other = row(9, path="a.VTT", origin="m.csv:9")
            intake = imported(opened, [same, other], "n.csv")
            assert (intake.known, intake.problems) == (
                1,
                ["m.csv:9: name: 'a.VTT' is the file of m.csv:2 already"],
            )
            with closing(connect(tmp_path / "new", create=True)) as new:
                tables = "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"
                assert opened.execute(tables).fetchall() == new.execute(tables).fetchall()

    def test_the_end_of_a_row_leaves_the_indexes_of_all_rows_alone(
        self, connection: sqlite3.Connection
    ) -> None:
        steps = connection.execute(f"EXPLAIN {_ENDED}", (None,) * 11).fetchall()
        written = [root for _, what, _, root, *_ in steps if what == "OpenWrite"]
        names = "SELECT name FROM sqlite_master WHERE rootpage = ?"
        found = [connection.execute(names, (root,)).fetchone()[0] for root in written]
        assert sorted(found) == ["pending", "rows"]

    def test_no_question_about_one_row_goes_through_all_rows(
        self, connection: sqlite3.Connection
    ) -> None:
        asked: list[str] = []
        connection.set_trace_callback(asked.append)
        owned(connection, "a.vtt")
        known(connection, row(1))
        wanted(connection, "mux", "a")
        list(sources(connection, "mux"))
        waiting(connection)
        connection.set_trace_callback(None)
        plans = [connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall() for sql in asked]
        assert len(plans) == 5
        assert not [step for plan in plans for *_, step in plan if step.startswith("SCAN rows")]

    def test_none_is_made_where_none_was_asked_for(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="there is no ledger in"):
            connect(tmp_path, create=False)
        with pytest.raises(UsageError, match="there is no ledger in"):
            read_only(tmp_path)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("version", [VERSION + 1, 99])
    @pytest.mark.parametrize("read", [False, True])
    def test_another_version_is_refused_and_left_alone(
        self, tmp_path: Path, version: int, read: bool
    ) -> None:
        with closing(connect(tmp_path, create=True)) as opened:
            opened.execute(f"PRAGMA user_version = {version}")
        with pytest.raises(FatalError, match=f"of version {version}, this batchcap reads"):
            _ = read_only(tmp_path) if read else connect(tmp_path, create=False)
        with closing(sqlite3.connect(file(tmp_path))) as raw:
            assert raw.execute("PRAGMA user_version").fetchone() == (version,)

    @pytest.mark.parametrize("read", [False, True])
    @pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" * 9])
    def test_a_damaged_file_is_refused_and_left_alone(
        self, tmp_path: Path, content: bytes, read: bool
    ) -> None:
        folder(tmp_path).mkdir()
        file(tmp_path).write_bytes(content)
        with pytest.raises(FatalError, match="cannot be used"):
            _ = read_only(tmp_path) if read else connect(tmp_path, create=True)
        assert file(tmp_path).read_bytes() == content

    def test_a_folder_that_cannot_be_made_is_fatal(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("a file")
        with pytest.raises(FatalError, match="cannot make"):
            connect(tmp_path / "out", create=True)

    async def test_there_is_no_place_for_links_and_secrets(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.record_intent(mine)
        await ledger.record_job(mine, "j")
        link = "https://cdn.example/x?Signature=hunter2"
        job = Job(id="j", state=JobState.COMPLETED, link=link, track="t")
        await ledger.record_job_ended(mine, job)
        await ledger.record_outcome(mine, outcome(job=job))
        await ledger.drain()
        assert "hunter2" not in "\n".join(connection.iterdump())
        for path in folder(tmp_path).iterdir():
            assert b"hunter2" not in path.read_bytes()
        columns = {
            name
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
            for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")
        }
        assert not {"link", "url", "token", "secret", "headers"} & columns


class TestBegun:
    """The first ledger of a folder: whole, or not there."""

    def test_nobody_sees_it_before_its_end(self, tmp_path: Path) -> None:
        with begun(tmp_path) as opened:
            imported(opened, many(3))
            require(tmp_path)
            with pytest.raises(UsageError, match="is being made from its manifest"):
                read_only(tmp_path)
        assert seen(tmp_path, "SELECT count(*) FROM rows") == [(3,)]
        with closing(connect(tmp_path, create=False)) as again:
            assert again.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert totals(again).pending == 3

    def test_a_refused_import_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError), begun(tmp_path) as opened:
            said(opened, [row(1), row(2, key=row(1).key)])
            raise UsageError("refused")
        assert list(folder(tmp_path).iterdir()) == []
        with pytest.raises(UsageError, match="there is no ledger"):
            require(tmp_path)

    def test_one_that_was_killed_leaves_no_ledger_and_the_next_begins_anew(
        self, tmp_path: Path
    ) -> None:
        code = (
            "import os, sys; from pathlib import Path\n"
            "from batchcap.ledger import begun, seen, take_in\n"
            "from tests.fakes import row\n"
            "def rows():\n"
            "    yield from (row(n) for n in range(1, 50_000))\n"
            "    seen.note(opened, 'm', 'mark'); os.kill(os.getpid(), 9)\n"
            "with begun(Path(sys.argv[1])) as opened:\n"
            "    take_in(opened, [('m', rows())], skip_invalid=True)\n"
        )
        root = Path(__file__).parents[2]
        ran = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=root, check=False)
        assert ran.returncode == -9
        assert draft(tmp_path).exists()
        assert not file(tmp_path).exists()
        with begun(tmp_path) as opened:
            assert totals(opened).total == 0
            assert marks.recall(opened, "m") is None
            imported(opened, many(2))
        assert [path.name for path in folder(tmp_path).iterdir()] == ["ledger.sqlite"]
        assert seen(tmp_path, "SELECT count(*) FROM rows") == [(2,)]

    def test_what_a_lost_ledger_left_beside_it_is_not_taken_for_its_own(
        self, tmp_path: Path
    ) -> None:
        with closing(connect(tmp_path, create=True)) as opened:
            imported(opened, many(3))
            wal = file(tmp_path).with_name("ledger.sqlite-wal").read_bytes()
        file(tmp_path).unlink()
        file(tmp_path).with_name("ledger.sqlite-wal").write_bytes(wal)
        with begun(tmp_path) as opened:
            imported(opened, many(1))
        assert seen(tmp_path, "SELECT source_id FROM rows") == [("source1",)]


HOLD = (
    "import sys; from pathlib import Path; from batchcap.ledger import Lock\n"
    "with Lock(Path(sys.argv[1])):\n"
    "    print('held', flush=True); sys.stdin.read()\n"
)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


class TestLock:
    """One run at a time."""

    def test_a_second_run_is_told_who_holds_it(self, tmp_path: Path) -> None:
        with Lock(tmp_path):
            mine = Lock.holder(tmp_path)
            assert mine is not None
            with pytest.raises(FatalError, match=f"held by process {mine.pid} on ") as caught:
                Lock(tmp_path).__enter__()
            assert "batchcap status" in caught.value.hint
        assert Lock.holder(tmp_path) is None

    def test_it_can_be_taken_again_after_it_was_given_back(self, tmp_path: Path) -> None:
        for _ in range(3):
            with Lock(tmp_path):
                assert Lock.holder(tmp_path) is not None

    def test_a_refused_second_run_leaves_the_first_its_lock(self, tmp_path: Path) -> None:
        with Lock(tmp_path):
            for _ in range(3):
                with pytest.raises(FatalError):
                    Lock(tmp_path).__enter__()
            assert Lock.holder(tmp_path) is not None

    def test_nobody_holds_what_was_never_taken(self, tmp_path: Path) -> None:
        assert Lock.holder(tmp_path) is None
        assert list(tmp_path.iterdir()) == []

    def test_two_folders_have_two_locks(self, tmp_path: Path) -> None:
        with Lock(tmp_path / "a"), Lock(tmp_path / "b"):
            pass

    def test_it_holds_against_another_process(
        self, tmp_path: Path, holder: subprocess.Popen[str]
    ) -> None:
        found = Lock.holder(tmp_path)
        assert found is not None
        assert found.pid == holder.pid
        with pytest.raises(FatalError, match=f"held by process {holder.pid} on {found.host}"):
            Lock(tmp_path).__enter__()

    def test_it_dies_with_a_holder_that_was_killed(
        self, tmp_path: Path, holder: subprocess.Popen[str]
    ) -> None:
        holder.kill()
        holder.wait()
        assert Lock.holder(tmp_path) is None
        with Lock(tmp_path):
            pass

    def test_a_lock_file_of_rubbish_is_no_obstacle(self, tmp_path: Path) -> None:
        folder(tmp_path).mkdir()
        (folder(tmp_path) / "lock").write_bytes(b"{rubbish" * 10)
        with Lock(tmp_path):
            assert Lock.holder(tmp_path) is not None

    @pytest.mark.parametrize("content", [b"\xff\xfe", b"[1, 2]", b'{"pid": "x"}', b"null"])
    def test_a_holder_that_cannot_be_read_is_another_run(
        self, tmp_path: Path, content: bytes
    ) -> None:
        with Lock(tmp_path):
            (folder(tmp_path) / "lock").write_bytes(content)
            with pytest.raises(FatalError, match="held by another run"):
                Lock(tmp_path).__enter__()

    def test_a_folder_that_cannot_be_made_is_fatal(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("a file")
        with pytest.raises(FatalError):
            Lock(tmp_path / "out").__enter__()


async def test_inline_the_clock_does_not_move_for_a_write(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    imported(connection, many(1))
    ledger, started = SqliteLedger(connection, tmp_path, now=now), clock()
    await ledger.record_intent(await first(ledger))
    assert clock() - started < 1e-3
