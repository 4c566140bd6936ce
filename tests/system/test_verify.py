"""`verify`, `verify --repair` and `rebuild` by the command, counted at the server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.harness.runs import ledger_sql
from tests.system.conftest import UNLIMITED, Shell, request_log

MANIFEST = "asset_id,to_language_code,from_language,video_translate_id\n" + "".join(
    f"film-{n},es;ja,en,\n,,,clip-{n}\n" for n in range(4)
)


def run_all(shell: Shell) -> str:
    name = shell.manifest(MANIFEST)
    result = shell.run("run", name, "-q", *UNLIMITED)
    assert result.returncode == 0, result.stderr
    return name


def damage(folder: Path) -> None:
    """Truncate, change, delete and replace files by HTML; leave a temporary and an extra file."""
    cut, changed, deleted, html = (folder / f"mux/film-{n}.es.vtt" for n in range(4))
    cut.write_bytes(cut.read_bytes()[:200])
    changed.write_bytes(changed.read_bytes()[:-2] + b"?\n")
    deleted.unlink()
    html.write_text("<html><title>Sign in</title></html>")
    (folder / "mux/.0123456789abcdef.part").write_text("WEBVTT")
    (folder / "mine.txt").write_text("mine")


def test_verify_damaged_files_are_reported_and_repaired_without_a_create(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    name = run_all(shell)
    good = shell.run("verify", name)
    assert (good.returncode, good.stdout) == (0, "12 of 12 files are good.\n"), good.stderr
    folder = shell.folder / "captions"
    damage(folder)
    before = request_log(sandbox)
    verified = shell.run("verify")
    assert verified.returncode == 1
    lines = verified.stdout.splitlines()
    assert lines[0].startswith("mux:film-0:es  mux/film-0.es.vtt: 200 bytes instead of ")
    assert "sha256" in lines[1]
    assert lines[2] == "mux:film-2:es  mux/film-2.es.vtt: the file is missing"
    assert lines[3].endswith("an HTML page, not WebVTT")
    assert lines[4].startswith("8 of 12 files are good: ")
    assert lines[4].endswith("To download what is wrong: batchcap verify --repair")
    assert "mine.txt" in verified.stderr
    assert request_log(sandbox)["requests"] == before["requests"]
    repaired = shell.run("verify", "--repair", "--json", *UNLIMITED)
    assert repaired.returncode == 0, repaired.stderr
    shown = json.loads(repaired.stdout)
    assert (shown["done"], shown["repaired"], shown["not_repaired"]) == (12, 4, 0)
    assert request_log(sandbox)["creates"] == before["creates"]
    assert not list(folder.rglob("*.part"))
    assert (folder / "mine.txt").read_text() == "mine"
    checked = json.loads(shell.run("verify", "--json").stdout)
    assert (checked["good"], checked["wrong"], checked["extra_files"]) == (12, 0, ["mine.txt"])


def test_verify_manifest_reports_tasks_missing_from_the_ledger(shell: Shell) -> None:
    name = shell.manifest("video_translate_id\none\n")
    assert shell.run("run", name, "-q", "--sandbox").returncode == 0
    more = shell.manifest("video_translate_id\none\ntwo\n", "more.csv")
    verified = shell.run("verify", more, "--sandbox")
    assert verified.returncode == 1
    assert verified.stdout.splitlines() == [
        "heygen:two  heygen/two.vtt: not in the ledger (more.csv:3)",
        "1 of 1 files are good; 1 not in the ledger. To get those: batchcap run --sandbox more.csv",
    ]
    assert shell.run("rebuild").returncode == 2


def test_verify_pending_rows_are_counted_and_not_wrong(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    name = shell.manifest("video_translate_id\none\ntwo\n")
    assert shell.run("run", name, "-q", "--limit", "1", *UNLIMITED).returncode == 0
    verified = shell.run("verify")
    line = "1 of 1 files are good; 1 pending. To continue: batchcap resume\n"
    assert (verified.returncode, verified.stdout) == (0, line), verified.stderr
    ledger_sql(shell.folder / "captions", "DELETE FROM rows WHERE state = 'done'")
    (shell.folder / "captions/heygen/one.vtt").unlink()
    none = shell.run("verify")
    line = "no file to check; 1 pending. To continue: batchcap resume\n"
    assert (none.returncode, none.stdout) == (0, line), none.stderr
    assert json.loads(shell.run("verify", "--json").stdout)["pending"] == 1


def test_verify_repair_ends_with_what_was_repaired(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    """Rows that failed before, and have no file to repair, do not count."""
    name = shell.manifest("video_translate_id\none\ntwo\nid-failed\n")
    assert shell.run("run", name, "-q", *UNLIMITED).returncode == 1
    folder = shell.folder / "captions/heygen"
    (folder / "one.vtt").unlink()
    repaired = shell.run("verify", "--repair", *UNLIMITED)
    assert repaired.returncode == 0, repaired.stderr
    assert repaired.stdout.splitlines()[-1] == "1 file repaired."
    (folder / "one.vtt").unlink()
    (folder / "two.vtt").unlink()
    (folder / "two.vtt").mkdir()
    partly = shell.run("verify", "--repair", *UNLIMITED)
    assert partly.returncode == 1, partly.stderr
    line = "1 file repaired, 1 not. To try again: batchcap resume --retry-failed --retryable"
    assert partly.stdout.splitlines()[-1] == line


def test_rebuild_lost_ledger_sends_no_post(shell: Shell, sandbox: Mapping[str, str]) -> None:
    name = run_all(shell)
    folder = shell.folder / "captions"
    (folder / "mux/film-0.es.vtt").write_text("<html>")
    (folder / "mux/film-1.ja.vtt").unlink()
    (folder / ".batchcap/ledger.sqlite").write_bytes(b"not a database" * 1000)
    refused = shell.run("resume")
    assert refused.returncode == 3
    assert "batchcap rebuild" in refused.stderr
    before = request_log(sandbox)
    process = shell.run("rebuild", name, "--settle", "0", *UNLIMITED)
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines() == [
        "10 of 12 captions are complete, 8 jobs found, 2 pending. To continue: batchcap resume"
    ]
    assert (folder / ".batchcap/ledger.sqlite.bad-1").exists()
    after = request_log(sandbox)
    assert after["requests"]["mux.write"] == before["requests"]["mux.write"]
    listed = [routes["routes"].get("mux.jobs", {}).get("200", 0) for routes in (before, after)]
    assert listed[1] - listed[0] == 4, "each asset is listed once"
    assert {result["state"] for result in shell.results()} == {"done", "pending"}
    resumed = shell.run("resume", "--json", *UNLIMITED)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["done"] == 12
    assert request_log(sandbox)["creates"] == before["creates"]
    assert shell.run("audit", "--rate", "mux.read=none").returncode == 0


def test_run_in_a_folder_whose_ledger_is_lost_is_refused(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    name = shell.manifest("asset_id,to_language_code\nfilm,es\n")
    assert shell.run("run", name, *UNLIMITED).returncode == 0
    shutil.rmtree(shell.folder / "captions/.batchcap")
    again = shell.run("run", name, *UNLIMITED)
    assert again.returncode == 2
    assert "its ledger is gone; a new run would pay for its captions again" in again.stderr
    assert "batchcap rebuild" in again.stderr
    assert request_log(sandbox)["requests"]["mux.write"] == 1


def test_rebuild_sandbox_ledger_finds_its_jobs(shell: Shell) -> None:
    name = shell.manifest("asset_id,to_language_code,from_language\nfilm,es;ja,en\n")
    assert shell.run("run", name, "-q", "--sandbox").returncode == 0
    ledger = shell.folder / "captions/.batchcap/ledger.sqlite"
    content = ledger.read_bytes()
    other = shell.run("rebuild", name, "--settle", "0")
    assert other.returncode in {2, 3}, "the flag is missing"
    assert ledger.read_bytes() == content
    ledger.unlink()
    process = shell.run("rebuild", name, "--settle", "0", "--sandbox", "--json")
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout)
    assert (result["jobs"], result["done"], result["kept"]) == (2, 2, None)
    audited = json.loads(shell.run("audit", "--sandbox", "--json").stdout)
    assert audited["states"] == {"completed": 2}
