"""The ledger's SQLite file: durable, refused if damaged, created completely or not at all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchcap import manifest
from batchcap.domain.errors import FatalError, UsageError
from batchcap.domain.forgetting import ForgetScope, Hold
from batchcap.domain.models import Failure, Job, JobState, Outcome, Row, RowState
from batchcap.storage.ledger import (
    SqliteLedger,
    importer,
    new_ledger,
    open_ledger,
    open_reader,
    read_only,
    require,
    schema,
)
from batchcap.storage.ledger.schema import VERSION, file, folder, temp_path
from batchcap.storage.ledger.writer import _OUTCOME
from tests.harness.clock import EPOCH, now
from tests.harness.rows import COLUMNS, row

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with closing(open_ledger(tmp_path, create=True, now=now)) as opened:
        yield opened


@pytest.fixture
def connection(ledger: SqliteLedger, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another connection to the ledger's file, as a run opens it."""
    with closing(schema.connect(tmp_path, create=False)) as opened:
        yield opened


def many(count: int) -> list[Row]:
    return [row(number) for number in range(1, count + 1)]


def filled(out: Path, count: int) -> None:
    with closing(open_ledger(out, create=True)) as ledger:
        ledger.import_rows([("m.csv", many(count))], skip_invalid=False)


def count(out: Path) -> int:
    with closing(open_reader(out)) as reader:
        return reader.totals().total


def failed() -> Outcome:
    failure = Failure("not_found", "why")
    return Outcome(state=RowState.FAILED, started_at=EPOCH, finished_at=EPOCH + 1, failure=failure)


class TestFile:
    """The file, its version and its safety."""

    def test_connection_is_durable(self, connection: sqlite3.Connection) -> None:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)

    async def test_recording_with_threads_has_a_durable_connection_of_its_own(
        self, ledger: SqliteLedger
    ) -> None:
        async with ledger.recording(threads=True):
            assert ledger._recording is not ledger._connection
            assert ledger._recording.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert ledger._recording.execute("PRAGMA synchronous").fetchone() == (2,)

    def test_open_ledger_again_returns_its_rows(self, tmp_path: Path) -> None:
        filled(tmp_path, 3)
        with closing(open_ledger(tmp_path)) as again:
            assert again.totals().pending == 3

    def test_outcome_writes_no_unique_index(self, connection: sqlite3.Connection) -> None:
        steps = connection.execute(f"EXPLAIN {_OUTCOME}", (None,) * 13).fetchall()
        written = [root for _, operation, _, root, *_ in steps if operation == "OpenWrite"]
        names = "SELECT name FROM sqlite_master WHERE rootpage = ?"
        names_written = [connection.execute(names, (root,)).fetchone()[0] for root in written]
        assert sorted(names_written) == ["ended", "pending", "rows"]

    def test_queries_about_one_row_scan_no_table(self, ledger: SqliteLedger) -> None:
        queries: list[str] = []
        ledger._connection.set_trace_callback(queries.append)
        ledger.owns_path("a.vtt")
        ledger.has_task(row(1))
        ledger.captions_of("mux", "a")
        list(ledger.source_ids("mux"))
        ledger.providers_with_pending()
        ledger._connection.set_trace_callback(None)
        explain = ledger._connection.execute
        plans = [explain(f"EXPLAIN QUERY PLAN {sql}").fetchall() for sql in queries]
        assert len(plans) == 5
        assert not [step for plan in plans for *_, step in plan if step.startswith("SCAN rows")]

    def test_open_without_create_makes_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="there is no ledger in"):
            open_ledger(tmp_path)
        with pytest.raises(UsageError, match="there is no ledger in"):
            open_reader(tmp_path)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("version", [VERSION + 1, 99])
    @pytest.mark.parametrize("read", [False, True])
    def test_open_of_another_version_is_refused_and_changes_nothing(
        self, tmp_path: Path, version: int, read: bool
    ) -> None:
        filled(tmp_path, 1)
        with closing(sqlite3.connect(file(tmp_path))) as raw:
            raw.execute(f"PRAGMA user_version = {version}")
        with pytest.raises(FatalError, match=f"of version {version}, this batchcap reads"):
            _ = open_reader(tmp_path) if read else open_ledger(tmp_path)
        with closing(sqlite3.connect(file(tmp_path))) as raw:
            assert raw.execute("PRAGMA user_version").fetchone() == (version,)

    @pytest.mark.parametrize("read", [False, True])
    @pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" * 9])
    def test_open_of_a_damaged_file_is_refused_and_changes_nothing(
        self, tmp_path: Path, content: bytes, read: bool
    ) -> None:
        folder(tmp_path).mkdir()
        file(tmp_path).write_bytes(content)
        with pytest.raises(FatalError, match="cannot be used"):
            _ = open_reader(tmp_path) if read else open_ledger(tmp_path, create=True)
        assert file(tmp_path).read_bytes() == content

    def test_open_in_a_folder_that_cannot_be_made_is_fatal(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_text("a file")
        with pytest.raises(FatalError, match="cannot make"):
            open_ledger(tmp_path / "out", create=True)

    def test_reader_cannot_write(self, ledger: SqliteLedger, tmp_path: Path) -> None:
        with (
            closing(read_only.connect(tmp_path)) as reader,
            pytest.raises(sqlite3.OperationalError, match="readonly"),
        ):
            reader.execute("DELETE FROM rows")

    async def test_ledger_has_no_place_for_links_and_secrets(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        ledger.import_rows([("m.csv", many(1))], skip_invalid=False)
        (pending,) = await ledger.pending("fake", 0, 1)
        await ledger.record_intent(pending.row)
        await ledger.record_job(pending.row, "j")
        link = "https://cdn.example/x?Signature=hunter2"
        job = Job(id="j", state=JobState.COMPLETED, link=link, track="t")
        await ledger.record_job_ended(pending.row, job)
        outcome = Outcome(state=RowState.SKIPPED, started_at=EPOCH, finished_at=EPOCH + 1, job=job)
        await ledger.record_outcome(pending.row, outcome)
        assert "hunter2" not in "\n".join(connection.iterdump())
        for path in folder(tmp_path).iterdir():
            assert b"hunter2" not in path.read_bytes()
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        columns = {
            name
            for (table,) in tables.fetchall()
            for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")
        }
        assert not {"link", "url", "token", "secret", "headers"} & columns


class TestFaults:
    """Errors of SQLite, and reading while another connection writes."""

    @pytest.mark.parametrize("threads", [False, True])
    async def test_recording_error_of_sqlite_is_fatal_and_the_next_write_works(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, *, threads: bool
    ) -> None:
        ledger.import_rows([("m.csv", many(1))], skip_invalid=False)
        async with ledger.recording(threads=threads):
            (pending,) = await ledger.pending("fake", 0, 1)
            connection.execute("ALTER TABLE creates RENAME TO hidden")
            with pytest.raises(FatalError, match="cannot be used"):
                await ledger.record_intent(pending.row)
            with pytest.raises(FatalError, match="cannot be used"):
                await ledger.pending("fake", 0, 1)
            connection.execute("ALTER TABLE hidden RENAME TO creates")
            await ledger.record_intent(pending.row)
            (again,) = await ledger.pending("fake", 0, 1)
        assert again.history.intent_at is not None

    @pytest.mark.parametrize("method", ["totals", "results", "requeue_failed", "set_fingerprint"])
    def test_method_error_of_sqlite_is_fatal(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, method: str
    ) -> None:
        for table in ("rows", "seen"):
            connection.execute(f"ALTER TABLE {table} RENAME TO hidden_{table}")
        with pytest.raises(FatalError, match="cannot be used"):
            match method:
                case "totals":
                    ledger.totals()
                case "results":
                    list(ledger.results())
                case "requeue_failed":
                    ledger.requeue_failed(None)
                case _:
                    ledger.set_fingerprint("results", "1")

    async def test_reader_sees_committed_rows_during_a_transaction(
        self, ledger: SqliteLedger, connection: sqlite3.Connection, tmp_path: Path
    ) -> None:
        ledger.import_rows([("m.csv", many(3))], skip_invalid=False)
        (pending,) = await ledger.pending("fake", 0, 1)
        await ledger.record_outcome(pending.row, failed())
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE rows SET state = 'done'")
        with closing(open_reader(tmp_path)) as reader:
            assert (reader.totals().failed, reader.totals().done) == (1, 0)
            connection.execute("COMMIT")
            assert reader.totals().done == 3

    def test_reader_beside_the_run_leaves_the_locks_of_the_process(self, tmp_path: Path) -> None:
        filled(tmp_path, 1)
        with closing(open_ledger(tmp_path)), closing(open_reader(tmp_path)) as reader:
            open_reader(tmp_path).close()
            script = (
                "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1]);"
                "connection.execute('UPDATE rows SET bytes = 1'); connection.commit();"
                "connection.close()"
            )
            command = [sys.executable, "-c", script, str(file(tmp_path))]
            subprocess.run(command, check=True)
            log = file(tmp_path).with_name("ledger.sqlite-wal")
            assert log.exists()  # the other process did not take itself for the last one
            assert next(reader.results())["bytes"] == 1


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


_NO_COLUMNS = "".join(
    f"ALTER TABLE rows DROP COLUMN {name};" for name in ("quality", "converted_from")
)
"""Takes back what version 5 added."""


class TestVersions:
    """A ledger of an older batchcap."""

    def test_open_of_version_1_migrates_it(self, tmp_path: Path) -> None:
        folder(tmp_path).mkdir()
        with closing(sqlite3.connect(file(tmp_path))) as old:
            old.executescript(VERSION_1)
        with closing(open_reader(tmp_path)) as reader:
            before = list(reader.results())
            assert reader.totals().total == 3
        with closing(open_ledger(tmp_path)) as ledger:
            assert list(ledger.results()) == before
            same = row(1, key="k1", provider="mux", source_id="a", target="es", path="A.vtt")
            other = row(9, path="a.VTT", origin="m.csv:9")
            imported = ledger.import_rows([("n.csv", [same, other])], skip_invalid=True)
            assert (imported.known, imported.problems) == (
                1,
                ["m.csv:9: name: 'a.VTT' is the file of m.csv:2 already"],
            )
        open_ledger(tmp_path / "new", create=True).close()
        assert self.layout(tmp_path) == self.layout(tmp_path / "new")

    def test_open_of_version_2_migrates_it(self, tmp_path: Path) -> None:
        open_ledger(tmp_path, create=True).close()
        latest = self.layout(tmp_path)
        with closing(sqlite3.connect(file(tmp_path))) as old:
            old.executescript(
                "DROP TABLE forgotten; DROP TABLE minutes; DROP INDEX ended;"
                f"{_NO_COLUMNS} PRAGMA user_version = 2;"
            )
        with closing(open_reader(tmp_path)) as reader:
            assert reader.count_holds(ForgetScope(key="*")) == {}
            assert list(reader.held_keys(ForgetScope(key="*"), Hold.DONE)) == []
        open_ledger(tmp_path).close()
        assert self.layout(tmp_path) == latest

    def test_open_of_version_3_migrates_it(self, tmp_path: Path) -> None:
        open_ledger(tmp_path, create=True).close()
        latest = self.layout(tmp_path)
        with closing(sqlite3.connect(file(tmp_path))) as old:
            old.executescript(
                f"DROP TABLE minutes; DROP INDEX ended; {_NO_COLUMNS}PRAGMA user_version = 3;"
            )
        with closing(open_reader(tmp_path)) as reader:
            assert list(reader.minutes()) == []
        open_ledger(tmp_path).close()
        assert self.layout(tmp_path) == latest

    def test_open_of_version_4_migrates_it(self, tmp_path: Path) -> None:
        with closing(open_ledger(tmp_path, create=True)) as ledger:
            ledger.import_rows([("m.csv", [row(1)])], skip_invalid=False)
        latest = self.layout(tmp_path)
        with closing(sqlite3.connect(file(tmp_path))) as old:
            old.executescript(f"{_NO_COLUMNS} PRAGMA user_version = 4;")
        with closing(open_reader(tmp_path)) as reader:
            assert [result["quality"] for result in reader.results()] == [None]
            assert reader.results_of([1])[1]["quality"] is None
            assert reader.findings() == {}
        open_ledger(tmp_path).close()
        assert self.layout(tmp_path) == latest

    def layout(self, out: Path) -> list[Any]:
        """The version, the names of the tables, and the indexes."""
        with closing(sqlite3.connect(file(out))) as raw:
            sql = "CASE type WHEN 'index' THEN sql END"
            indexes = f"SELECT name, {sql} FROM sqlite_master ORDER BY name"
            version = raw.execute("PRAGMA user_version").fetchall()
            return [*version, *raw.execute(indexes).fetchall()]


class TestImport:
    """The import of manifest rows."""

    @pytest.mark.parametrize("skip_invalid", [False, True])
    @pytest.mark.parametrize("before", [0, 1, 150])
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
    def test_import_in_batches_equals_one_row_by_row(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        odd: str,
        before: int,
        *,
        skip_invalid: bool,
    ) -> None:
        """This includes a new ledger, whose indexes are created after its rows."""
        lines = [f"{n:032x},{n:032x},es\n" for n in range(0xA00, 0xA00 + 250)]
        head = "asset_id,track_id,to_language_code\n"
        rows = [f"{7:032x},{7:032x},es\n", *lines[:120], odd, *lines[120:], lines[0]]
        (tmp_path / "old.csv").write_text(head + "".join(lines[:before]))
        (tmp_path / "new.csv").write_text(head + "".join(rows))
        names = ["old.csv", "new.csv"] if before else ["new.csv"]

        def imported_into(out: Path) -> tuple[list[object], list[Any]]:
            reports: list[object] = []
            with closing(open_ledger(out, create=True)) as ledger:
                for name in names:
                    path = str(tmp_path / name)
                    records = manifest.read(path, manifest.ManifestOptions(), COLUMNS)
                    try:
                        reports += [
                            ledger.import_rows([(name, records)], skip_invalid=skip_invalid)
                        ]
                    except UsageError as error:
                        reports += [error.message]
                rows = ledger._connection.execute("SELECT * FROM rows ORDER BY number")
                return reports, [row[1:] for row in rows]  # numbers may have gaps

        monkeypatch.setattr(importer, "_BATCH", 100)
        in_batches = imported_into(tmp_path / "batches")
        monkeypatch.setattr(importer, "_BATCH", 1)
        monkeypatch.setattr(importer._Importer, "_drop_indexes", lambda _: None)
        assert imported_into(tmp_path / "single") == in_batches

    def test_import_that_was_killed_leaves_nothing(self, tmp_path: Path) -> None:
        code = (
            "import os, sys; from pathlib import Path\n"
            "from batchcap.storage.ledger import open_ledger\n"
            "from tests.harness.rows import row\n"
            "def rows():\n"
            "    yield from (row(n) for n in range(1, 5000))\n"
            "    os.kill(os.getpid(), 9)\n"
            "ledger = open_ledger(Path(sys.argv[1]), create=True)\n"
            "ledger.import_rows([('m', rows())], skip_invalid=True)\n"
        )
        result = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, check=False)
        assert result.returncode == -9
        assert count(tmp_path) == 0
        filled(tmp_path, 3)
        assert count(tmp_path) == 3


class TestNewLedger:
    """A new ledger is complete or absent."""

    def test_new_ledger_is_visible_only_once_it_is_complete(self, tmp_path: Path) -> None:
        with new_ledger(tmp_path) as ledger:
            ledger.import_rows([("m.csv", many(3))], skip_invalid=False)
            require(tmp_path)
            with pytest.raises(UsageError, match="is being made from its manifest"):
                open_reader(tmp_path)
        assert count(tmp_path) == 3
        with closing(schema.connect(tmp_path, create=False)) as again:
            assert again.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_new_ledger_with_a_refused_import_leaves_nothing(self, tmp_path: Path) -> None:
        clash = [row(1), row(2, key=row(1).key)]
        with pytest.raises(UsageError), new_ledger(tmp_path) as ledger:
            ledger.import_rows([("m.csv", clash)], skip_invalid=False)
        assert list(folder(tmp_path).iterdir()) == []
        with pytest.raises(UsageError, match="there is no ledger"):
            require(tmp_path)

    def test_new_ledger_on_a_full_disk_leaves_nothing(self, tmp_path: Path) -> None:
        refused = pytest.raises(FatalError, match="cannot make a new ledger in")
        with refused as caught, new_ledger(tmp_path) as ledger:
            ledger._connection.execute("PRAGMA max_page_count = 20")
            ledger.import_rows([("m.csv", many(5000))], skip_invalid=False)
        assert "full" in caught.value.message
        assert "the same command again" in caught.value.hint
        assert list(folder(tmp_path).iterdir()) == []

    def test_new_ledger_that_was_killed_leaves_no_ledger(self, tmp_path: Path) -> None:
        code = (
            "import os, sys; from pathlib import Path\n"
            "from batchcap.storage.ledger import new_ledger\n"
            "from tests.harness.rows import row\n"
            "def rows():\n"
            "    yield from (row(n) for n in range(1, 50_000))\n"
            "    ledger.set_fingerprint('m', 'mark'); os.kill(os.getpid(), 9)\n"
            "with new_ledger(Path(sys.argv[1])) as ledger:\n"
            "    ledger.import_rows([('m', rows())], skip_invalid=True)\n"
        )
        result = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, check=False)
        assert result.returncode == -9
        assert temp_path(tmp_path).exists()
        assert not file(tmp_path).exists()
        with new_ledger(tmp_path) as ledger:
            assert ledger.totals().total == 0
            assert ledger.fingerprint("m") is None
            ledger.import_rows([("m.csv", many(2))], skip_invalid=False)
        assert [path.name for path in folder(tmp_path).iterdir()] == ["ledger.sqlite"]
        assert count(tmp_path) == 2

    def test_new_ledger_ignores_the_log_of_a_lost_one(self, tmp_path: Path) -> None:
        with closing(open_ledger(tmp_path, create=True)) as ledger:
            ledger.import_rows([("m.csv", many(3))], skip_invalid=False)
            wal = file(tmp_path).with_name("ledger.sqlite-wal").read_bytes()
        file(tmp_path).unlink()
        file(tmp_path).with_name("ledger.sqlite-wal").write_bytes(wal)
        with new_ledger(tmp_path) as ledger:
            ledger.import_rows([("m.csv", many(1))], skip_invalid=False)
        assert count(tmp_path) == 1
