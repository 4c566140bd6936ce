"""`--on-end`: a real command at the end of a run."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from batchcap.cli import on_end
from batchcap.cli.on_end import ending_with, parse_command
from batchcap.cli.verify import verify
from batchcap.domain.errors import FatalError, UsageError

SUMMARY = {"total": 3, "done": 2, "failed": 1, "skipped": 0, "invalid": 0, "pending": 0, "bytes": 9}


def run_command(command: str, out: Path, status: int = 0, *, quiet: bool = False) -> None:
    with ending_with(command, out, quiet=quiet) as ending:
        ending.record(status, SUMMARY)


def sh(script: str) -> str:
    return shlex.join(["sh", "-c", script])


def test_on_end_gives_the_summary_on_stdin(tmp_path: Path) -> None:
    run_command(sh(f"cat > {tmp_path}/got"), tmp_path)
    assert json.loads((tmp_path / "got").read_text()) == SUMMARY


@pytest.mark.parametrize(
    ("status", "state"),
    [(0, "done"), (1, "failed"), (3, "stopped"), (129, "interrupted"), (130, "interrupted")],
)
def test_on_end_gives_the_state_in_the_environment(
    tmp_path: Path, status: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_command(sh("env > got"), Path("a b"), status)
    variables = dict(line.split("=", 1) for line in (tmp_path / "got").read_text().splitlines())
    given = {name: value for name, value in variables.items() if name.startswith("BATCHCAP_")}
    assert given == {
        "BATCHCAP_STATE": state,
        "BATCHCAP_EXIT_STATUS": str(status),
        "BATCHCAP_DIR": str(tmp_path / "a b"),
        "BATCHCAP_RESULTS": str(tmp_path / "a b" / "results.jsonl"),
        "BATCHCAP_TOTAL": "3",
        "BATCHCAP_DONE": "2",
        "BATCHCAP_FAILED": "1",
        "BATCHCAP_SKIPPED": "0",
        "BATCHCAP_INVALID": "0",
        "BATCHCAP_PENDING": "0",
        "BATCHCAP_BYTES": "9",
    }


def test_on_end_hides_the_secrets_of_every_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = ["MUX_TOKEN_ID", "MUX_TOKEN_SECRET", "MUX_WEBHOOK_SECRET", "MUX_SIGNING_KEY"]
    secrets += ["MUX_PRIVATE_KEY", "HEYGEN_API_KEY", "HEYGEN_WEBHOOK_SECRET"]
    for name in secrets:
        monkeypatch.setenv(name, "sesame")
    monkeypatch.setenv("SLACK_URL", "https://hooks.example")
    run_command(sh(f"env > {tmp_path}/got"), tmp_path)
    got = (tmp_path / "got").read_text()
    assert "sesame" not in got
    assert "SLACK_URL=https://hooks.example" in got


def test_on_end_uses_no_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = "import sys; open('got', 'w').write(repr(sys.argv[1:]))"
    command = f"{shlex.join([sys.executable, '-c', program])} '$HOME' '*' 'a b' a\\ b > x"
    run_command(command, tmp_path)
    assert (tmp_path / "got").read_text() == repr(["$HOME", "*", "a b", "a b", ">", "x"])


def test_on_end_prints_to_standard_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_command(sh("echo hello; echo there >&2"), tmp_path)
    assert capfd.readouterr() == ("", "hello\nthere\n")


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 7", "sh exited with status 7"),
        ("kill -9 $$", "sh was ended by signal 9"),
        ("exec sleep 30", "sh took longer than 0 s, and was ended"),
        ("trap '' TERM; sleep 30; sleep 30", "sh took longer than 0 s, and was ended"),
    ],
)
def test_on_end_that_fails_is_a_warning(
    tmp_path: Path,
    script: str,
    problem: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(on_end, "TIME_LIMIT", 0.2)
    monkeypatch.setattr(on_end, "_SILENCE", 0.1)
    monkeypatch.setattr(on_end, "_KILL_AFTER", 0.1)
    run_command(sh(script), tmp_path)
    *waiting, last = capsys.readouterr().err.splitlines()
    assert last == f"warning: --on-end: {problem}"
    assert [line.partition(",")[0] for line in waiting] == (
        ["waiting for the command of --on-end"] if "took" in problem else []
    )


def test_on_end_that_fails_after_a_quiet_run_is_silent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command("false", tmp_path, quiet=True)
    assert capsys.readouterr().err == ""


def test_on_end_that_is_no_program_of_this_machine_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x00\x01")
    program.chmod(0o755)
    run_command(str(program), tmp_path)
    assert capsys.readouterr().err == f"warning: --on-end: {program}: Exec format error\n"


def test_on_end_that_reads_no_stdin_is_no_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ending_with("true", tmp_path, quiet=False) as ending:
        ending.record(0, {"errors": "x" * 1_000_000})
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_on_end_is_ended_by_a_signal_with_all_that_it_started(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    """The command starts another process, which writes its id."""
    started = tmp_path / "started"

    def interrupt() -> None:
        while not (started.exists() and started.read_text().endswith("\n")):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    run_command(sh(f"sleep 30 & echo $! > {started}; wait"), tmp_path)
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert capsys.readouterr().err == "warning: --on-end: sh was ended\n"
    child = int(started.read_text())
    for _ in range(500):
        if not _runs(child):
            return
        time.sleep(0.01)
    pytest.fail("the process that the command started still runs")


def test_on_end_interrupted_while_it_starts_is_not_left_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    run_command(sh("exec sleep 30"), tmp_path)
    assert capsys.readouterr().err == "warning: --on-end: sh was ended\n"
    assert [process.returncode for process in started] == [-signal.SIGTERM]


def _runs(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_on_end_is_not_run_if_nothing_was_started(tmp_path: Path) -> None:
    command = sh(f"touch {tmp_path}/got")
    with pytest.raises(UsageError), ending_with(command, tmp_path, quiet=False):
        raise UsageError("wrong")
    with ending_with(command, tmp_path, quiet=False):
        pass
    assert not (tmp_path / "got").exists()


def test_on_end_is_run_although_the_run_raises(tmp_path: Path) -> None:
    command = sh(f"cat > {tmp_path}/got")
    with pytest.raises(FatalError), ending_with(command, tmp_path, quiet=False) as ending:
        ending.record(3, {})
        raise FatalError("the disk is lost")
    assert (tmp_path / "got").read_text() == "{}\n"


def test_verify_without_repair_takes_no_command() -> None:
    with pytest.raises(UsageError, match="--repair"):
        verify(on_end="true")


@pytest.mark.parametrize("text", ["no-such-program x", "'open", " ", "./missing", "/etc/passwd"])
def test_parse_command_refuses_what_cannot_be_run(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--on-end: "):
        parse_command(text)
