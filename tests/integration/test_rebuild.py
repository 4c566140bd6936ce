"""A rebuilt ledger: what it takes from files and provider, and what it leaves open."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchcap.app.rebuild import RebuildResult, adopt_files, find_jobs
from batchcap.domain.errors import Unavailable, UsageError
from batchcap.domain.models import Job, Row, RowHistory
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.storage.ledger import backup_path, open_ledger, open_reader, replacement
from batchcap.storage.ledger.schema import file
from tests.harness.clock import now
from tests.harness.provider import running_provider
from tests.harness.rows import heygen_row, mux_row
from tests.harness.runs import run_rows

pytestmark = pytest.mark.anyio


class UnavailableProvider:
    """A provider that never responds."""

    async def find_existing_job(self, row: Row, history: RowHistory, since: float) -> Job | None:
        raise Unavailable("no response")


async def rebuild(
    out: Path, rows: list[Row], provider: Any
) -> tuple[RebuildResult, dict[str, Any]]:
    """Rebuild without the command; returns its result, and the results of rows by key."""
    result = RebuildResult()
    with replacement(out, now=now) as new:
        new.import_rows([("m.csv", rows)], skip_invalid=False)
        new.mark_creates_unknown(now())
        await find_jobs(new, {"mux": provider}, now() + 60, now, result)
        adopt_files(new, out, result)
    with closing(open_reader(out)) as ledger:
        return result, {row["key"]: row for row in ledger.results()}


async def test_rebuild_finds_files_and_jobs_and_the_rest_is_created_once(tmp_path: Path) -> None:
    rows = [mux_row("film", tag, track_id="film-en") for tag in ("es", "ja")]
    rows += [heygen_row("clip"), mux_row("new", "es", track_id="new-en")]
    async with Sandbox(SandboxOptions()) as sandbox:
        before = (await run_rows(sandbox, tmp_path, rows[:3])).by_key
        (tmp_path / rows[1].path).write_text("<html>")
        file(tmp_path).unlink()
        async with running_provider(sandbox, "mux") as here:
            result, after = await rebuild(tmp_path, rows, here.provider)
        assert (result.jobs, result.adopted, result.bad_file_count) == (2, 2, 1)
        assert sandbox.request_log.count("mux.create") == 2
        for row in (rows[0], rows[2]):
            for field in ("state", "bytes", "sha256", "cues", "job_id"):
                assert after[row.key][field] == before[row.key][field]
        assert after[rows[1].key]["state"] == after[rows[3].key]["state"] == "pending"
        again = await run_rows(sandbox, tmp_path)
        assert set(again.states().values()) == {"done"}
        assert sandbox.request_log.count("mux.create") == 3


async def test_rebuild_unchecked_row_is_looked_up_before_a_create(
    tmp_path: Path,
) -> None:
    row = mux_row("film", track_id="film-en")
    async with Sandbox(SandboxOptions(duplicates="allow")) as sandbox:
        await run_rows(sandbox, tmp_path, [row])
        (tmp_path / row.path).unlink()
        result, after = await rebuild(tmp_path, [row], UnavailableProvider())
        assert result.unchecked == 1
        assert after[row.key]["state"] == "pending"
        assert (await run_rows(sandbox, tmp_path)).states() == {row.key: "done"}
        assert len(sandbox.request_log.creates) == 1


async def test_rebuild_refused_manifest_keeps_the_old_ledger(tmp_path: Path) -> None:
    twins = [heygen_row("one"), mux_row("one")]
    twins[1] = Row(
        key=twins[0].key, provider="mux", source_id="a", language="es", target="es", path="x.vtt"
    )
    open_ledger(tmp_path, create=True).close()
    before = file(tmp_path).read_bytes()
    with pytest.raises(UsageError), replacement(tmp_path) as ledger:
        ledger.import_rows([("m.csv", twins)], skip_invalid=False)
    assert file(tmp_path).read_bytes() == before
    assert backup_path(tmp_path).name == "ledger.sqlite.bad-1"


async def test_rebuild_keeps_each_old_ledger_and_its_stored_values(tmp_path: Path) -> None:
    with closing(open_ledger(tmp_path, create=True)) as ledger:
        ledger.set("origin.mux", "sandbox")
        await ledger.drain()
    for number in (1, 2):
        with replacement(tmp_path) as ledger:
            assert ledger.get("origin.mux") == "sandbox"
            assert ledger.values() == {"origin.mux": "sandbox"}
        assert file(tmp_path).with_name(f"ledger.sqlite.bad-{number}").exists()
    file(tmp_path).write_bytes(b"no database at all" * 1000)
    with replacement(tmp_path) as ledger:
        assert ledger.values() == {}
    open_reader(tmp_path).close()
