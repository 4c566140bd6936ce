"""Runs that are killed and resumed: no row is lost, and no caption is created twice."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from batchcap.storage.ledger import Lock
from tests.system.conftest import UNLIMITED, Shell, request_log, set_options

QUICK = [*UNLIMITED, "--settle", "0.3s", "--no-progress"]


def check(shell: Shell, environment: Mapping[str, str], out: str, prefix: str) -> None:
    """Check what must hold after every finished run, counted at the server."""
    results = shell.results(out)
    creates = [
        create for create in request_log(environment)["creates"] if prefix in create["asset_id"]
    ]
    paid = Counter(
        (create["asset_id"], create["language"])
        for create in creates
        if create["status"] not in {"errored", "cancelled"}
    )
    assert not [caption for caption, count in paid.items() if count > 1]
    folder = shell.folder / out
    with sqlite3.connect(folder / ".batchcap" / "ledger.sqlite") as ledger:
        recorded = {job for (job,) in ledger.execute("SELECT job_id FROM creates")}
    assert {create["job_id"] for create in creates} <= recorded
    files = {str(path.relative_to(folder)) for path in folder.rglob("*.vtt")}
    assert files == {result["path"] for result in results if result["state"] == "done"}
    for result in results:
        if result["state"] == "done":
            data = (folder / result["path"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == result["sha256"]
    assert not list(folder.rglob("*.part"))


def manifest(shell: Shell, prefix: str, films: int, videos: int) -> str:
    lines = [f"{prefix}-film-{n},es;de,en," for n in range(films)]
    lines += [f",,,{prefix}-video-{n}" for n in range(videos)]
    header = "asset_id,to_language_code,from_language,video_translate_id"
    return shell.manifest("\n".join([header, *lines]) + "\n", f"{prefix}.csv")


PARTS = 4
"""Tests among which the failpoints are divided, because they can run side by side."""


@pytest.mark.parametrize("lowest", range(1, PARTS + 1))
def test_run_killed_at_every_failpoint_loses_and_doubles_nothing(
    shell: Shell, sandbox: Mapping[str, str], lowest: int
) -> None:
    set_options(sandbox, job_seconds=0.01, job_seconds_max=0.02, heygen_running=0)
    for number in itertools.count(lowest, PARTS):
        prefix = f"crash{number}x"
        name = manifest(shell, prefix, films=1, videos=1)
        shell.environment["BATCHCAP_CRASH_AT"] = str(number)
        first = shell.run("run", name, "-o", prefix, *QUICK)
        del shell.environment["BATCHCAP_CRASH_AT"]
        if first.returncode == 0:
            break
        assert first.returncode == -signal.SIGKILL, first.stderr
        again = shell.run("resume", "-o", prefix, *QUICK)
        assert again.returncode == 0, again.stderr
        assert len(shell.results(prefix)) == 3
        check(shell, sandbox, prefix, prefix)
    assert number > 20


def test_run_killed_after_rename_keeps_the_file(shell: Shell, sandbox: Mapping[str, str]) -> None:
    name = shell.manifest("video_translate_id\none\n")
    shell.environment["BATCHCAP_CRASH_AT"] = "3"  # written, synced, renamed
    assert shell.run("run", name, *QUICK).returncode == -signal.SIGKILL
    assert (shell.folder / "captions/heygen/one.vtt").exists()
    del shell.environment["BATCHCAP_CRASH_AT"]
    before = request_log(sandbox)["requests"]["downloads"]
    assert shell.run("resume", *QUICK).returncode == 0
    assert request_log(sandbox)["requests"]["downloads"] == before
    assert shell.results()[0]["state"] == "done"


def modification_times(folder: Path) -> dict[Path, int]:
    """Return the modification time of every file in a folder, except SQLite's shared memory."""
    paths = [path for path in folder.rglob("*") if path.suffix != ".sqlite-shm"]
    return {path: path.stat().st_mtime_ns for path in paths if path.is_file()}


def start_and_wait_for_files(shell: Shell, out: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a run, and return while its threads are writing files."""
    process = shell.start(*arguments)
    while len(list((shell.folder / out).rglob("*.vtt"))) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    return process


def test_run_killed_writes_nothing_after_its_death(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    set_options(sandbox, job_seconds=0.5)
    arguments = ["run", manifest(shell, "dead", films=100, videos=100), "-o", "dead", *QUICK]
    process = start_and_wait_for_files(shell, "dead", *arguments)
    process.kill()
    process.communicate(timeout=60)
    at_death = modification_times(shell.folder / "dead")
    assert Lock.holder(shell.folder / "dead") is None
    time.sleep(0.5)
    assert modification_times(shell.folder / "dead") == at_death
    assert shell.run(*arguments).returncode == 0
    check(shell, sandbox, "dead", "dead")


def test_run_second_signal_leaves_complete_files(shell: Shell, sandbox: Mapping[str, str]) -> None:
    set_options(sandbox, job_seconds=0.5)
    arguments = ["run", manifest(shell, "twice", films=100, videos=100), "-o", "twice", *QUICK]
    process = start_and_wait_for_files(shell, "twice", *arguments)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert not list((shell.folder / "twice").rglob("*.part"))
    for path in (shell.folder / "twice").rglob("*.vtt"):
        assert path.read_bytes().startswith(b"WEBVTT")
    at_end = modification_times(shell.folder / "twice")
    time.sleep(0.3)
    assert modification_times(shell.folder / "twice") == at_end
    assert shell.run(*arguments).returncode == 0
    check(shell, sandbox, "twice", "twice")


def test_run_interrupted_resumes_without_fetching_a_source_twice(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    lines = [f"source-film-generated-es-{n},en,es\n" for n in range(24)]  # without a job
    name = shell.manifest("asset_id,from_language,to_language_code\n" + "".join(lines))
    arguments = ["run", name, "-o", "source", "--fetch-sources", *QUICK, "--rate=mux.read=15/s"]
    process = start_and_wait_for_files(shell, "source", *arguments)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    resumed = shell.run("resume", "-o", "source", "--fetch-sources", *QUICK)
    assert resumed.returncode == 0, resumed.stderr
    assert " (--fetch-sources)\n" in resumed.stderr
    assert " downloaded, none is missing\n" in resumed.stderr
    assert len(list((shell.folder / "source/.batchcap/sources/mux").glob("*.vtt"))) == 24
    assert request_log(sandbox)["requests"]["downloads"] == 48
    assert not list((shell.folder / "source").rglob("*.part"))


def storm_manifest(shell: Shell, prefix: str) -> str:
    """Write a manifest with regional siblings, of which one is a track and one only a file."""
    lines = [f"{prefix}-film-{n},es;de,en,,true" for n in range(150)]
    lines += [f"{prefix}-film-{n},es-MX,en,,false" for n in range(20)]
    lines += [f",,,{prefix}-video-{n}," for n in range(150)]
    header = "asset_id,to_language_code,from_language,video_translate_id,upload_to_mux"
    return shell.manifest("\n".join([header, *lines]) + "\n", f"{prefix}.csv")


def kill_at_random(shell: Shell, rng: random.Random, kills: int, *arguments: str) -> int:
    """Start the command and kill it, repeatedly; returns how often the kill came before its end."""
    killed = 0
    for _ in range(kills):
        process = shell.start(*arguments)
        time.sleep(0.3 + rng.random() * 1.2)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    return killed


def storm(shell: Shell, sandbox: Mapping[str, str], kills: int, seed: int) -> None:
    """Kill the command at random moments, then let it finish.

    A units limit refuses half of the creates until half of the kills have happened.
    """
    rng, prefix = random.Random(seed), f"storm{seed}x"
    faults = {"lost_create": 0.02, "server_error": 0.02, "cut_body": 0.02, "expired_link": 0.02}
    set_options(sandbox, faults=faults, job_seconds=0.3, create_limit=160)
    arguments = ["run", storm_manifest(shell, prefix), "-o", "storm", *QUICK]
    killed = kill_at_random(shell, rng, kills // 2, *arguments)
    limited = shell.run(*arguments)
    assert limited.returncode == 3, limited.stderr
    check(shell, sandbox, "storm", prefix)
    check_limited(shell, sandbox, prefix, limit=160)
    set_options(sandbox, create_limit=None)
    killed += kill_at_random(shell, rng, kills - kills // 2, *arguments)
    set_options(sandbox, faults={})
    ended = shell.run(*arguments)
    assert ended.returncode == 0, ended.stderr
    assert killed
    assert {result["state"] for result in shell.results("storm")} == {"done"}
    check(shell, sandbox, "storm", prefix)


def check_limited(shell: Shell, sandbox: Mapping[str, str], prefix: str, limit: int) -> None:
    """Check that all that was paid for is done, and that the rest is pending and says why."""
    results = shell.results("storm")
    pending = [result for result in results if result["state"] != "done"]
    assert {(result["state"], result["error"]["code"]) for result in pending} == {
        ("pending", "units_exhausted")
    }
    creates = request_log(sandbox)["creates"]
    assert len([create for create in creates if prefix in create["asset_id"]]) == limit
    assert len(pending) == 2 * 150 + 20 - limit


def test_run_killed_20_times_loses_and_doubles_nothing(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    storm(shell, sandbox, kills=20, seed=7)


@pytest.mark.nightly
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(int(os.environ.get("BATCHCAP_STORMS", "500"))))
def test_run_killed_ten_thousand_times_loses_and_doubles_nothing(
    shell: Shell, sandbox: Mapping[str, str], seed: int
) -> None:
    storm(shell, sandbox, kills=20, seed=100 + seed)
