"""`--on-end` of a run, a repair, a stop and an interruption."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.system.conftest import UNLIMITED, Shell, set_options

IS_FREE = (
    "import fcntl; fcntl.flock(open('captions/.batchcap/lock'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
)
SCRIPT = f"""
cat > got
{shlex.join([sys.executable, "-S", "-c", IS_FREE])} && echo "$BATCHCAP_STATE" >> states
"""
SAVE = ["--on-end", shlex.join(["sh", "-c", SCRIPT])]
"""Saves the summary and, if the folder is free for another command, the state."""


def states(shell: Shell) -> list[str]:
    """Return the states that the commands have written so far."""
    path = shell.folder / "states"
    return path.read_text().split() if path.exists() else []


def summary(shell: Shell) -> dict[str, Any]:
    got: dict[str, Any] = json.loads((shell.folder / "got").read_text())
    return got


def test_run_resume_and_repair_end_with_the_command(shell: Shell) -> None:
    name = shell.manifest("video_translate_id\none\nmissing-two\n")
    ran = shell.run("run", name, "--sandbox", "--json", *SAVE)
    assert (ran.returncode, states(shell)) == (1, ["failed"]), ran.stderr
    assert json.loads(ran.stdout) == summary(shell)
    assert shell.run("resume", "--sandbox", *SAVE).returncode == 1
    assert summary(shell)["requests"]["heygen"] == 0
    Path(shell.folder / "captions/heygen/one.vtt").unlink()
    repaired = shell.run("verify", "--repair", "--sandbox", "--json", *SAVE)
    assert (repaired.returncode, states(shell)) == (0, ["failed", "failed", "done"])
    assert json.loads(repaired.stdout) == summary(shell)
    assert summary(shell)["repaired"] == 1
    again = shell.run("verify", "--repair", "--sandbox", "--on-end", "false")
    assert (again.returncode, again.stderr) == (
        0,
        "warning: --on-end: false exited with status 1\n",
    )


def test_run_that_is_refused_does_not_run_the_command(shell: Shell) -> None:
    name = shell.manifest("video_translate_id\none\n")
    missing = shell.run("run", name, "--sandbox", "--on-end", "no-such-program now")
    assert missing.returncode == 2
    assert "--on-end: there is no program 'no-such-program'" in missing.stderr
    assert not (shell.folder / "captions").exists()
    assert shell.run("run", "missing.csv", "--sandbox", *SAVE).returncode == 2
    assert states(shell) == []


def test_interrupted_run_ends_with_the_command(shell: Shell, sandbox: Mapping[str, str]) -> None:
    set_options(sandbox, job_seconds=1000)
    name = shell.manifest("asset_id,to_language_code,from_language\na,es,en\n")
    process = shell.start("run", name, *UNLIMITED, "-v", *SAVE)
    assert process.stderr
    for line in process.stderr:
        if "created" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, states(shell)) == (130, ["interrupted"]), errors
    assert summary(shell)["pending"] == 1
    [result] = shell.results()
    assert (result["state"], bool(result["job_id"])) == ("pending", True)


def test_stopped_run_ends_with_the_command(shell: Shell, sandbox: Mapping[str, str]) -> None:
    shell.environment["HEYGEN_API_KEY"] = "wrong"
    name = shell.manifest("video_translate_id\none\n")
    ran = shell.run("run", name, *UNLIMITED, *SAVE)
    assert (ran.returncode, states(shell)) == (3, ["stopped"]), ran.stderr
    del shell.environment["HEYGEN_API_KEY"]
    assert shell.run("resume", *UNLIMITED, *SAVE).returncode == 3
    assert (states(shell), summary(shell)["pending"]) == (["stopped"] * 2, 1)
