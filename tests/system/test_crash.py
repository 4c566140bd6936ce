"""Killed at every boundary, one after the other, and resumed: nothing is lost or doubled."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import signal
import sqlite3
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from tests.system.conftest import Shell, sidecar_of
from tests.system.test_command import request_log

RATES = ["--rate", "mux.write=none", "--rate", "mux.read=none", "--rate", "heygen=none"]
QUICK = [*RATES, "--settle", "0.3s", "--no-progress"]


def clean(environment: Mapping[str, str], **options: Any) -> None:
    """Change the sandbox's options while it runs."""
    url = environment["MUX_BASE_URL"].removesuffix("/mux") + "/sandbox/options"
    body = json.dumps(options).encode()
    urllib.request.urlopen(urllib.request.Request(url, data=body, method="POST")).close()


def check(shell: Shell, environment: Mapping[str, str], out: str, prefix: str) -> None:
    """Every invariant of a run that came to its end, counted at the server."""
    results = shell.results(out)
    creates = [one for one in request_log(environment)["creates"] if prefix in one["asset_id"]]
    paid = Counter(
        (one["asset_id"], one["language"])
        for one in creates
        if one["status"] not in {"errored", "cancelled"}
    )
    assert not [caption for caption, count in paid.items() if count > 1]
    folder = shell.folder / out
    with sqlite3.connect(folder / ".batchcap" / "ledger.sqlite") as ledger:
        known = {job for (job,) in ledger.execute("SELECT job_id FROM creates")}
    assert {one["job_id"] for one in creates} <= known
    files = {str(path.relative_to(folder)) for path in folder.rglob("*.vtt")}
    assert files == {one["path"] for one in results if one["state"] == "done"}
    for one in results:
        if one["state"] == "done":
            data = (folder / one["path"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == one["sha256"]
    assert not list(folder.rglob("*.part"))


def manifest(shell: Shell, prefix: str, films: int, videos: int) -> str:
    lines = [f"{prefix}-film-{n},es;de,en," for n in range(films)]
    lines += [f",,,{prefix}-video-{n}" for n in range(videos)]
    header = "asset_id,to_language_code,from_language,video_translate_id"
    return shell.manifest("\n".join([header, *lines]) + "\n", f"{prefix}.csv")


@pytest.mark.timeout(400)  # some thirty lives, one after the other
def test_a_crash_at_every_boundary_loses_and_doubles_nothing(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    clean(sandbox, job_seconds=0.01, job_seconds_max=0.02, heygen_running=0)
    for number in itertools.count(1):
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


def test_a_file_that_was_renamed_before_the_kill_is_not_fetched_again(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    name = shell.manifest("video_translate_id\none\n")
    shell.environment["BATCHCAP_CRASH_AT"] = "3"  # written, synced, renamed
    assert shell.run("run", name, *QUICK).returncode == -signal.SIGKILL
    assert (shell.folder / "captions/heygen/one.vtt").exists()
    del shell.environment["BATCHCAP_CRASH_AT"]
    before = request_log(sandbox)["requests"]["downloads"]
    assert shell.run("resume", *QUICK).returncode == 0
    assert request_log(sandbox)["requests"]["downloads"] == before
    assert shell.results()[0]["state"] == "done"


def test_a_run_whose_writing_process_is_killed_stops_and_is_resumed(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    clean(sandbox, job_seconds=0.5)
    arguments = ["run", manifest(shell, "lone", films=100, videos=100), "-o", "lone", *QUICK]
    process = shell.start(*arguments)
    writing = sidecar_of(process)
    files = shell.folder / "lone"
    while not list(files.rglob("*.vtt")):
        time.sleep(0.01)
    os.kill(writing, signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "error: the process that writes the files and the ledger is gone" in said
    assert "Traceback" not in said
    assert shell.run(*arguments).returncode == 0
    assert {one["state"] for one in shell.results("lone")} == {"done"}
    check(shell, sandbox, "lone", "lone")


def test_a_signal_to_the_whole_group_stops_in_order(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    clean(sandbox, job_seconds=0.5)
    arguments = ["run", manifest(shell, "group", films=100, videos=100), "-o", "group", *QUICK]
    process = shell.start(*arguments)
    writing = sidecar_of(process)
    for pid in (writing, process.pid):
        os.kill(pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, said
    with pytest.raises(ProcessLookupError):
        os.kill(writing, 0)
    assert shell.run(*arguments).returncode == 0
    check(shell, sandbox, "group", "group")


def storm(shell: Shell, sandbox: Mapping[str, str], kills: int, seed: int) -> None:
    """Kill the command at random moments, then let it come to its end."""
    chance = random.Random(seed)
    faults = {"lost_create": 0.02, "server_error": 0.02, "cut_body": 0.02, "expired_link": 0.02}
    clean(sandbox, faults=faults, job_seconds=0.3)
    name = manifest(shell, f"storm{seed}x", films=150, videos=150)
    arguments = ["run", name, "-o", "storm", *QUICK]
    killed = 0
    for _ in range(kills):
        process = shell.start(*arguments)
        time.sleep(0.3 + chance.random() * 1.2)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    clean(sandbox, faults={})
    ended = shell.run(*arguments)
    assert ended.returncode == 0, ended.stderr
    assert killed
    assert {one["state"] for one in shell.results("storm")} == {"done"}
    check(shell, sandbox, "storm", f"storm{seed}x")


def test_a_storm_of_kills_loses_and_doubles_nothing(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    storm(shell, sandbox, kills=20, seed=7)


@pytest.mark.nightly
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(int(os.environ.get("BATCHCAP_STORMS", "500"))))
def test_ten_thousand_kills(shell: Shell, sandbox: Mapping[str, str], seed: int) -> None:
    storm(shell, sandbox, kills=20, seed=100 + seed)
