"""`batchcap forget`, through the installed command."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.system.conftest import Shell
from tests.system.test_terminal import watch

HEADER = "asset_id,to_language_code,from_language\n"
FORGET = ["forget", "--sandbox", "--settle", "0s"]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows that are done, failed, and with running jobs."""
    shell = Shell(tmp_path_factory.mktemp("forget"))
    a_csv = "film,es;ja,en\nfilm-fails,es,en\nfilm-missing,es,en\n"
    shell.manifest(HEADER + a_csv, "a.csv")
    shell.manifest(HEADER + "other-stuck,es;ja,en\n", "b.csv")
    assert shell.run("run", "a.csv", "-q", "--sandbox").returncode == 1
    stuck = shell.run("run", "b.csv", "-q", "--sandbox", "--job-timeout", "0.2s")
    assert stuck.returncode == 1
    return shell.folder


@pytest.fixture
def folder(template: Path, shell: Shell) -> Shell:
    """A shell in a copy of it, with the sandbox's state."""
    shutil.copytree(template, shell.folder, dirs_exist_ok=True)
    return shell


def keys(shell: Shell) -> list[str]:
    return [result["key"] for result in shell.results()]


def named(text: str, word: str) -> list[str]:
    """Return the keys on the lines that begin with a word."""
    lines = [line for line in text.splitlines() if line.startswith(word)]
    return sorted(":".join(line.partition(": ")[2].split()[0].split(":")[:3]) for line in lines)


def sandbox_jobs(shell: Shell) -> dict[str, bool]:
    """Return for each job of the sandbox whether it was cancelled."""
    with closing(sqlite3.connect(shell.folder / "captions/.batchcap/sandbox.sqlite")) as state:
        jobs = [json.loads(body) for (body,) in state.execute("select body from jobs")]
    return {job["id"]: job["cancelled"] is not None for job in jobs}


def deleted_tracks(shell: Shell) -> list[str]:
    """Return the tracks that were deleted at the sandbox."""
    with closing(sqlite3.connect(shell.folder / "captions/.batchcap/sandbox.sqlite")) as state:
        query = "select body from variables where name = 'deleted_tracks'"
        tracks: list[str] = json.loads(state.execute(query).fetchone()[0])
        return tracks


def test_forget_takes_rows_back_and_names_what_stays(folder: Shell) -> None:
    planned = folder.run("forget", "--key", "*", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert planned.stdout.splitlines()[-1] == (
        "would remove 2 rows; 4 stay: 2 done, 2 with a job that may be running. "
        "--cancel cancels running jobs"
    )
    with_cancel = folder.run("forget", "--key", "*", "--cancel", "--dry-run")
    assert with_cancel.stdout.splitlines()[-2:] == [
        "would cancel the jobs of 2 rows with a job that may be running, then remove them",
        "would remove 2 rows; 2 stay: 2 done",
    ]
    nothing = folder.run(*FORGET, "--language", "Japanese")
    assert nothing.stdout.splitlines() == ["removed 0 rows", "no row is in that selection"]
    assert len(keys(folder)) == 6
    forgotten = folder.run(*FORGET, "--key", "*")
    assert forgotten.returncode == 0, forgotten.stderr
    assert "removed 2 rows; 4 stay: 2 done, 2 with a job that may be running" in forgotten.stdout
    stays = ["mux:film:es", "mux:film:ja", "mux:other-stuck:es", "mux:other-stuck:ja"]
    assert named(forgotten.stdout, "stays") == sorted(keys(folder)) == stays
    assert not any(sandbox_jobs(folder).values())
    cancelled = folder.run(*FORGET, "--manifest", "b.csv", "--cancel")
    assert cancelled.returncode == 0, cancelled.stderr
    assert named(cancelled.stdout, "cancelled") == stays[2:]
    assert "2 jobs cancelled\nremoved 2 rows\n" in cancelled.stdout
    assert keys(folder) == stays[:2]
    assert sum(sandbox_jobs(folder).values()) == 2


def test_forget_delete_tracks_deletes_and_keeps_the_files(folder: Shell) -> None:
    arguments = ["--language", "es", "--state", "done", "--delete-tracks"]
    refused = folder.run(*FORGET, *arguments)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    shown = folder.run(*FORGET, *arguments, "--dry-run", "--json")
    assert json.loads(shown.stdout) == {
        "would_remove": 0,
        "would_ask": {},
        "would_delete_tracks": 1,
        "stay": {"done": 1},
    }
    assert deleted_tracks(folder) == []
    deleted = folder.run(*FORGET, *arguments, "--yes")
    assert deleted.returncode == 0, deleted.stderr
    (track,) = deleted_tracks(folder)
    assert f"deleted: mux:film:es: {track} of film\n" in deleted.stdout
    assert "1 track deleted\nremoved 0 rows; 1 stay: 1 done\n" in deleted.stdout
    assert folder.run("verify").returncode == 0
    again = folder.run(*FORGET, *arguments, "--yes", "--json")
    assert json.loads(again.stdout)["tracks_deleted"] == 0
    assert f"gone: mux:film:es: {track}: it was gone already" in again.stderr


def test_forget_delete_tracks_alone_keeps_rows_that_were_not_paid_for(folder: Shell) -> None:
    arguments = [*FORGET, "--key", "*", "--delete-tracks", "--yes"]
    before = keys(folder)
    planned = folder.run(*arguments, "--dry-run")
    assert "would remove 0 rows; 6 stay: " in planned.stdout
    deleted = folder.run(*arguments)
    assert deleted.returncode == 0, deleted.stderr
    assert "tracks deleted\nremoved 0 rows; 6 stay: " in deleted.stdout
    assert keys(folder) == before


@pytest.mark.parametrize(("answer", "status"), [("n", 2), ("y", 0)])
def test_forget_delete_tracks_on_terminal_asks(folder: Shell, answer: str, status: int) -> None:
    arguments = [*FORGET, "--key", "mux:film:*", "--delete-tracks"]
    exit_status, output = watch(folder, *arguments, on_text=("[y/N]", f"{answer}\n"))
    assert "Delete the text tracks of up to 2 captions?" in output
    assert exit_status == status, output
    assert len(deleted_tracks(folder)) == (2 if status == 0 else 0)


def test_forget_killed_after_a_cancel_and_before_its_record_loses_nothing(folder: Shell) -> None:
    folder.environment["BATCHCAP_CRASH_AT"] = "1"  # the response to the first cancel was read
    arguments = [*FORGET, "--manifest", "b.csv", "--cancel"]
    assert folder.run(*arguments).returncode == -signal.SIGKILL
    del folder.environment["BATCHCAP_CRASH_AT"]
    again = folder.run(*arguments)
    assert again.returncode == 0, again.stderr
    assert "removed 2 rows" in again.stdout
    assert sum(sandbox_jobs(folder).values()) == 2
    assert len(keys(folder)) == 4
    assert folder.run("resume", "-q", "--sandbox").returncode == 1
    assert len(sandbox_jobs(folder)) == 5


def test_forget_while_a_run_works_is_refused(shell: Shell) -> None:
    name = shell.manifest(HEADER + "film-stuck,es,en\n")
    run = shell.start("run", name, "--sandbox")
    while not (shell.folder / "captions/.batchcap/ledger.sqlite").exists():
        assert run.poll() is None
    refused = shell.run(*FORGET, "--key", "*")
    assert refused.returncode == 3
    assert "is held by process" in refused.stderr
    assert shell.run("forget", "--key", "*", "--dry-run").returncode == 0
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)


def test_forget_wrong_options_change_nothing(folder: Shell) -> None:
    for arguments, message in (
        ([], "forget needs to know which rows"),
        (["--manifest", "c.csv"], "There are: a.csv, b.csv"),
        (["--state", "odd"], "--state"),
        (["--key", "*", "-o", "none"], "there is no ledger in none"),
    ):
        refused = folder.run(*FORGET, *arguments)
        assert refused.returncode == 2, refused.stderr
        assert message in refused.stderr
    refused = folder.run("forget", "--key", "*")
    assert refused.returncode == 2
    assert "this folder holds a rehearsal" in refused.stderr
    assert len(keys(folder)) == 6
