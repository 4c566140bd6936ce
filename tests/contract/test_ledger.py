"""What every ledger must keep: one suite for the `Ledger` and `Memory` sockets, on real SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from batchcap.errors import FatalError, UsageError
from batchcap.interfaces import Ledger, Memory
from batchcap.ledger import (
    Intake,
    Lock,
    SqliteLedger,
    connect,
    failed_codes,
    folder,
    put_back,
    read_only,
    results,
    take_in,
    totals,
    waiting,
)
from batchcap.ledger.schema import VERSION, file
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

pytestmark = pytest.mark.anyio

Manifest = list[Row | InvalidRow]


@pytest.fixture(params=["inline", "threaded"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor | None]:
    if request.param == "inline":
        yield None
        return
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path, create=True)) as opened:
        yield opened


@pytest.fixture
def ledger(connection: sqlite3.Connection, tmp_path: Path, executor: Executor | None) -> Any:
    return SqliteLedger(connection, tmp_path, executor=executor, now=now)


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
        as_memory: Memory = ledger
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
        await ledger.ended(await first(ledger), outcome())
        assert [work.row.source_id for work in await ledger.pending("fake", 0, 9)] == ["source3"]
        assert waiting(connection) == {"fake", "other"}

    async def test_an_intent_is_durable_once_awaited(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        await ledger.intend(await first(ledger))
        assert seen(tmp_path, CREATES) == [(1, 1, None, None, 0)]
        found = await facts(ledger)
        assert found.job_id is None
        assert found.intent_at == pytest.approx(now(), abs=0.1)

    async def test_an_intent_that_is_sent_again_is_the_same_create_at_a_later_time(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.intend(mine)
        await asyncio.sleep(100)
        await ledger.intend(mine)
        assert seen(tmp_path, CREATES) == [(1, 1, None, None, 0)]
        assert (await facts(ledger)).intent_at == pytest.approx(now(), abs=0.1)

    async def test_a_create_is_durable_once_awaited(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.intend(mine)
        await ledger.created(mine, "job-1")
        assert seen(tmp_path, CREATES) == [(1, 1, "job-1", None, 0)]
        assert (await facts(ledger)).job_id == "job-1"

    async def test_an_outcome_is_durable_once_awaited(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        await ledger.ended(await first(ledger), outcome())
        sql = "SELECT state, bytes, sha256, cues, finished_at FROM rows"
        kept = ("done", CAPTION.bytes, CAPTION.sha256, CAPTION.cues, EPOCH + 1)
        assert seen(tmp_path, sql) == [kept]

    async def test_many_writes_at_once_are_all_durable(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(300))
        works = await ledger.pending("fake", 0, 300)

        async def live(mine: Row) -> None:
            await ledger.intend(mine)
            await ledger.created(mine, f"job-{mine.number}")
            await ledger.ended(mine, outcome())

        await asyncio.gather(*(live(work.row) for work in works))
        assert seen(tmp_path, "SELECT count(*) FROM rows WHERE state = 'done'") == [(300,)]
        sql = "SELECT count(*) FROM creates WHERE job_id = 'job-' || row"
        assert seen(tmp_path, sql) == [(300,)]

    async def test_a_withdrawn_intent_leaves_nothing(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.intend(mine)
        await ledger.withdrawn(mine)
        assert seen(tmp_path, CREATES) == []
        assert await facts(ledger) == Facts()

    async def test_a_create_that_was_accepted_cannot_be_withdrawn(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.intend(mine)
        await ledger.created(mine, "paid")
        await ledger.withdrawn(mine)
        assert (await facts(ledger)).job_id == "paid"

    async def test_an_intent_is_withdrawn_also_where_the_caller_is_cancelled(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.intend(mine)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ledger.withdrawn(mine)
        assert seen(tmp_path, CREATES) == []

    async def test_a_job_that_ended_makes_the_next_create_number_two(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.intend(mine)
        await ledger.created(mine, "job-1")
        await ledger.job_ended(mine, Job(id="job-1", state=JobState.ERRORED, units=2))
        assert await facts(ledger) == Facts(former=("job-1",))
        await ledger.intend(mine)
        assert (await facts(ledger)).job_id is None
        assert (await facts(ledger)).intent_at is not None
        await ledger.created(mine, "job-2")
        assert (await facts(ledger)).job_id == "job-2"
        expected = [(1, 1, "job-1", "errored", 2), (1, 2, "job-2", None, 0)]
        assert seen(tmp_path, CREATES) == expected

    async def test_a_second_intent_that_is_withdrawn_does_not_revive_the_first_job(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.intend(mine)
        await ledger.created(mine, "job-1")
        await ledger.job_ended(mine, Job(id="job-1", state=JobState.ERRORED))
        await ledger.intend(mine)
        await ledger.withdrawn(mine)
        assert seen(tmp_path, CREATES) == [(1, 1, "job-1", "errored", 0)]
        assert await facts(ledger) == Facts(former=("job-1",))

    async def test_an_outcome_tells_how_its_job_ended_and_what_it_cost(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.intend(mine)
        await ledger.created(mine, "job-1")
        job = Job(id="job-1", state=JobState.COMPLETED, units=3)
        await ledger.ended(mine, outcome(job=job))
        assert seen(tmp_path, CREATES) == [(1, 1, "job-1", "completed", 3)]
        assert totals(connection).units_consumed == 3

    async def test_a_job_that_still_runs_is_not_said_to_have_ended(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.intend(mine)
        await ledger.created(mine, "slow")
        await ledger.ended(mine, failed("job_timeout", Job(id="slow", state=JobState.RUNNING)))
        assert put_back(connection, None) == 1
        assert (await facts(ledger)).job_id == "slow"

    @pytest.mark.parametrize("code", ["link_dead", "unavailable", "bad_caption"])
    async def test_a_job_that_completed_is_not_paid_for_again_after_put_back(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, code: str
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.intend(mine)
        await ledger.created(mine, "paid")
        await ledger.ended(mine, failed(code, Job(id="paid", state=JobState.COMPLETED, units=9)))
        put_back(connection, None)
        assert (await facts(ledger)).job_id == "paid"

    async def test_a_job_that_was_not_known_is_looked_for_after_put_back(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.intend(mine)
        await ledger.created(mine, "gone")
        await ledger.ended(mine, failed("not_found", Job(id="gone", state=JobState.MISSING)))
        put_back(connection, None)
        found = await facts(ledger)
        assert found.intent_at is not None
        assert (found.job_id, found.former) == (None, ())

    async def test_what_completed_once_stays_paid_for_whatever_becomes_of_its_job(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.intend(mine)
        await ledger.created(mine, "paid")
        done = Job(id="paid", state=JobState.COMPLETED, units=7)
        await ledger.ended(mine, failed("link_dead", done))
        put_back(connection, None)
        await ledger.ended(mine, failed("not_found", Job(id="paid", state=JobState.MISSING)))
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
        await ledger.intend(mine)
        await ledger.created(mine, "bad")
        await ledger.ended(mine, failed("job_failed", Job(id="bad", state=state)))
        put_back(connection, None)
        assert await facts(ledger) == Facts(former=("bad",))

    async def test_an_unknown_create_stays_unknown_after_put_back(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        await ledger.intend(mine)
        await ledger.ended(mine, failed("outcome_unknown"))
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
            await ledger.ended(work.row, end)
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
        await ledger.ended(await first(ledger), failed("unavailable"))
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
            await ledger.intend(mine)
        connection.execute("ALTER TABLE hidden RENAME TO creates")
        await ledger.intend(mine)
        assert (await facts(ledger)).intent_at is not None

    async def test_a_message_that_cannot_be_kept_spoils_no_later_write(
        self, ledger: SqliteLedger, connection: sqlite3.Connection
    ) -> None:
        """aiohttp gives header bytes that are no UTF-8 as lone surrogates."""
        imported(connection, many(2))
        one, two = (work.row for work in await ledger.pending("fake", 0, 2))
        odd = outcome(RowState.FAILED, failure=Failure("rejected", "request \udcff"))
        await asyncio.gather(ledger.ended(one, odd), return_exceptions=True)
        await ledger.ended(two, outcome())
        assert totals(connection).done == 1


class TestMemory:
    """Small facts that outlive a run."""

    async def test_what_was_noted_is_recalled_at_once_and_by_the_next_run(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        assert ledger.recall("pause.x") is None
        ledger.note("pause.x", "1")
        ledger.note("pause.x", "2")
        ledger.note("rate.y", "5.0")
        assert ledger.recall("pause.x") == "2"
        await ledger.drain()
        assert sorted(seen(tmp_path, "SELECT key, value FROM memory")) == [
            ("pause.x", "2"),
            ("rate.y", "5.0"),
        ]
        later = SqliteLedger(connection, tmp_path, executor=None, now=now)
        assert (later.recall("pause.x"), later.recall("rate.y")) == ("2", "5.0")

    async def test_a_note_is_durable_with_the_next_write(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        imported(connection, many(1))
        mine = await first(ledger)
        ledger.note("k", "v")
        await ledger.intend(mine)
        assert seen(tmp_path, "SELECT value FROM memory") == [("v",)]


def said(connection: sqlite3.Connection, given: Manifest) -> str:
    """The refusal of a manifest; the ledger is as before."""
    before = list(connection.iterdump())
    with pytest.raises(UsageError) as caught:
        take_in(connection, [("m.csv", given)], skip_invalid=False)
    assert list(connection.iterdump()) == before
    assert not connection.in_transaction
    return caught.value.message


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
            await ledger.ended(work.row, end)
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
        await ledger.ended(await first(ledger), outcome())
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE rows SET state = 'done'")
        with closing(read_only(tmp_path)) as reader:
            assert totals(reader).done == 1
            connection.execute("COMMIT")
            assert totals(reader).done == 3

    def test_a_reader_cannot_write(self, connection: sqlite3.Connection, tmp_path: Path) -> None:
        with closing(read_only(tmp_path)) as reader, pytest.raises(sqlite3.OperationalError):
            reader.execute("DELETE FROM rows")


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
        await ledger.intend(mine)
        await ledger.created(mine, "j")
        link = "https://cdn.example/x?Signature=hunter2"
        job = Job(id="j", state=JobState.COMPLETED, link=link, track="t")
        await ledger.job_ended(mine, job)
        await ledger.ended(mine, outcome(job=job))
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
    ledger, started = SqliteLedger(connection, tmp_path, executor=None, now=now), clock()
    await ledger.intend(await first(ledger))
    assert clock() - started < 1e-3
