"""Verify and repair on the virtual clock: what is reported, what is repaired, and that no
repair ever creates a job."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from batchcap.app.run import run
from batchcap.app.verify import FileProblem, Verdict, check_files, check_folder, check_tasks
from batchcap.domain.models import Row
from batchcap.reports.metrics import Metrics
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.sandbox.mux.assets import find_asset
from batchcap.storage.ledger import open_ledger, open_reader
from tests.harness.clock import now
from tests.harness.rows import heygen_row, mux_row
from tests.harness.runs import ledger_sql, run_rows, unlimited_settings

pytestmark = pytest.mark.anyio

PURGED = 31 * 86400.0


def verify(out: Path, *, repair: bool = False) -> dict[str, str]:
    """Verify all files; returns the kind of problem by key."""
    problems: list[FileProblem] = []
    with closing(open_ledger(out)) as ledger:
        requeue = ledger.requeue_damaged if repair else None
        check_files(ledger, out, Verdict(), problems.append, requeue=requeue)
    return {problem.key: problem.kind for problem in problems}


async def work(sandbox: Sandbox, out: Path, *, repairs: bool, **changes: Any) -> dict[str, str]:
    """Process the ledger's rows; returns their states, or the error codes of failed rows."""
    with closing(open_ledger(out, repairs=repairs, now=now)) as ledger:
        await run(
            unlimited_settings(out, **changes),
            ledger,
            sandbox.environment(),
            Metrics(),
            sandbox=True,
            now=now,
            threads=False,
        )
        return {
            result["key"]: result["error"]["code"] if result["error"] else result["state"]
            for result in ledger.results()
        }


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.vtt")}


def damage(out: Path, rows: list[Row]) -> dict[str, str]:
    """Damage each file in another way; returns the kind of problem by key."""
    ways = {
        "size": lambda file: file.write_bytes(file.read_bytes()[:100]),
        "sha256": lambda file: file.write_bytes(file.read_bytes()[:-2] + b"?\n"),
        "missing": lambda file: file.unlink(),
        "unreadable": lambda file: (file.unlink(), file.symlink_to(out / "elsewhere")),
    }
    (out / "elsewhere").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nplanted\n")
    for row, way in zip(rows, ways.values(), strict=False):
        way(out / row.path)  # type: ignore[no-untyped-call]  # lambdas in a table
    return {row.key: kind for row, kind in zip(rows, ways, strict=False)}


@pytest.mark.parametrize("track", [{"from_language": "en"}, {"track_id": "film-en"}])
async def test_repair_every_damage_is_reported_and_repaired_without_a_create(
    tmp_path: Path, track: dict[str, str]
) -> None:
    rows = [mux_row("film", tag, **track) for tag in ("es", "ja", "de")]
    rows += [heygen_row("clip"), mux_row("other-has-es", "es", from_language="en")]
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path, rows)
        good, created = contents(tmp_path), len(sandbox.request_log.creates)
        assert verify(tmp_path) == {}
        wrong = damage(tmp_path, rows)
        (tmp_path / rows[4].path).write_text("<html></html>")
        assert verify(tmp_path, repair=True) == {**wrong, rows[4].key: "size"}
        assert set((await work(sandbox, tmp_path, repairs=True)).values()) == {"done"}
        assert len(sandbox.request_log.creates) == created
    assert verify(tmp_path) == {}
    assert contents(tmp_path) == good


async def test_repair_deleted_job_uses_the_track_only(tmp_path: Path) -> None:
    downloaded = mux_row("film", "es", track_id="film-en")
    lost = mux_row("film", "ja", track_id="film-en", upload_to_mux=False)
    sandbox_asset = find_asset("old-has-es")
    assert sandbox_asset is not None
    taken = mux_row("old-has-es", "es", track_id=sandbox_asset.tracks[0].id)
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path, [downloaded, lost, taken])
        created = sandbox.request_log.count("mux.create")
        await anyio.sleep(PURGED)
        for row in (downloaded, lost, taken):
            (tmp_path / row.path).unlink()
        assert len(verify(tmp_path, repair=True)) == 3
        states = await work(sandbox, tmp_path, repairs=True, retry_jobs=3)
        assert states == {downloaded.key: "done", lost.key: "not_found", taken.key: "done"}
        assert sandbox.request_log.count("mux.create") == created


async def test_repair_leaves_pending_rows_alone(tmp_path: Path) -> None:
    done, pending = mux_row("film", "es"), mux_row("film", "ja")
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path, [done])
        with closing(open_ledger(tmp_path)) as ledger:
            ledger.import_rows([("more", [pending])], skip_invalid=False)
        (tmp_path / done.path).unlink()
        verify(tmp_path, repair=True)
        states = await work(sandbox, tmp_path, repairs=True)
        assert states == {done.key: "done", pending.key: "pending"}
        assert len(sandbox.request_log.creates) == 1


async def test_resume_after_interrupted_repair_creates_nothing(tmp_path: Path) -> None:
    row = mux_row("film-has-es", "es", from_language="en")
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path, [row])
        with closing(open_ledger(tmp_path)) as ledger:
            ledger.requeue_damaged([1])
        ledger_sql(tmp_path, "UPDATE rows SET source_id = 'film'")  # without that track
        assert await work(sandbox, tmp_path, repairs=False) == {row.key: "not_found"}
        assert sandbox.request_log.creates == []


async def test_repair_after_killed_run_does_not_adopt_a_wrong_file(tmp_path: Path) -> None:
    row = heygen_row("clip")
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path, [row])
        good = contents(tmp_path)
        ledger_sql(tmp_path, "INSERT OR REPLACE INTO memory VALUES ('run.open', '1.0')")
        damage(tmp_path, [heygen_row("x"), row][1:])
        file = tmp_path / row.path
        file.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nanother caption, whole\n")
        verify(tmp_path, repair=True)
        assert await work(sandbox, tmp_path, repairs=True) == {row.key: "done"}
    assert contents(tmp_path) == good


async def test_verify_extra_and_temporary_files_are_reported_and_kept(tmp_path: Path) -> None:
    row = heygen_row("clip")
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, tmp_path, [row])
    (tmp_path / "heygen" / "mine\x1b.txt").touch()
    (tmp_path / "heygen" / f".{'0' * 16}.part").touch()
    verdict = Verdict()
    with closing(open_reader(tmp_path)) as ledger:
        check_folder(ledger, tmp_path, verdict)
        check_tasks(ledger, [row, heygen_row("new")], verdict, lambda _: None, skip_invalid=False)
        assert ledger.totals().done == 1
    assert verdict.extra_files == ["heygen/mine\\x1b.txt"]
    assert verdict.temp_files == [f"heygen/.{'0' * 16}.part"]
    assert [problem.key for problem in verdict.problems] == ["heygen:new"]


async def test_verify_file_behind_a_linked_folder_is_not_read(tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    row = heygen_row("clip")
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, out, [row])
    (out / "heygen").rename(outside)
    (out / "heygen").symlink_to(outside)
    assert verify(out) == {row.key: "unreadable"}
