"""Outputs that break, and Ctrl-C at the start: no traceback, an exit status of the contract."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import batchcap
from tests.system.conftest import COMMAND, UNLIMITED, Shell, request_log

MANIFEST = "video_translate_id\none\ntwo\n"
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")


@needs_full
def test_report_of_many_rows_to_a_full_disk_prints_no_traceback(shell: Shell) -> None:
    rows = "".join(f"v{number:04}\n" for number in range(300))
    shell.manifest(f"video_translate_id\n{rows}")
    assert shell.run("run", "m.csv", "--sandbox", "-q").returncode == 0
    full = shell.run("report", "-o", "/dev/full")
    assert full.returncode == 3
    assert "cannot write /dev/full" in full.stderr
    assert "Traceback" not in full.stderr


def piped(shell: Shell, redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with redirected outputs; the exit status is batchcap's own."""
    script = f'set -o pipefail; "$@" {redirection}'
    return subprocess.run(
        ["bash", "-c", script, "bash", *COMMAND, *arguments],
        cwd=shell.folder,
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("redirection", ["| true", "2>&1 | true", "2>&1 | head -1", ">&-", "2>&-"])
@pytest.mark.parametrize("arguments", [["--help"], ["run", "m.csv", *UNLIMITED, "-v"]], ids=str)
def test_command_whose_reader_has_gone_ends_as_without_it(
    shell: Shell, sandbox: Mapping[str, str], redirection: str, arguments: list[str]
) -> None:
    shell.manifest(MANIFEST)
    ended = piped(shell, redirection, *arguments)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    if arguments[0] == "run":
        assert [result["state"] for result in shell.results()] == ["done"] * 2


@needs_full
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["report"], ["status"]], ids=str)
def test_command_with_a_full_output_stops_with_one_error(
    shell: Shell, sandbox: Mapping[str, str], arguments: list[str]
) -> None:
    assert shell.run("run", shell.manifest(MANIFEST), *UNLIMITED).returncode == 0
    ended = piped(shell, "> /dev/full", *arguments)
    assert ended.returncode == 3
    assert ended.stderr.startswith("error: cannot write standard output: No space left on device")
    assert len(ended.stderr.splitlines()) == 2


@needs_full
@pytest.mark.parametrize("redirection", ["2> /dev/full", ""])
def test_run_with_a_full_log_saves_every_caption(
    shell: Shell, sandbox: Mapping[str, str], redirection: str
) -> None:
    log = ["--log-file", "/dev/full", "--no-progress"]
    ended = piped(shell, redirection, "run", shell.manifest(MANIFEST), *UNLIMITED, *log)
    assert ended.returncode == 0, ended.stderr
    assert [result["state"] for result in shell.results()] == ["done"] * 2
    expected = "" if redirection else "the log file cannot be written: No space left on device"
    assert ended.stderr.count("the log file cannot be written") == bool(expected)
    assert expected in ended.stderr
    assert "Traceback" not in ended.stderr


def test_run_name_that_the_disk_refuses_fails_its_row_and_is_fetched_later(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    header = "asset_id,to_language_code,from_language\n"
    first = shell.manifest(header + "first,es,en\n")
    assert shell.run("run", first, *UNLIMITED, "-o", "first").returncode == 0
    path = shell.results("first")[0]["path"]
    paths = [path.replace("first", name) for name in ("one", "two")]
    folder = shell.folder / "captions" / paths[0]
    folder.mkdir(parents=True)
    second = shell.manifest(header + "one,es,en\ntwo,es,en\n")
    process = shell.run("run", second, *UNLIMITED)
    assert process.returncode == 1, process.stderr
    created = len(request_log(sandbox)["creates"])
    assert created == 3
    results = {result["path"]: result for result in shell.results()}
    assert results[paths[0]]["error"]["code"] == "cannot_store"
    assert results[paths[1]]["state"] == "done"
    folder.rmdir()
    assert shell.run("resume", "--retry-failed", *UNLIMITED).returncode == 0
    assert len(request_log(sandbox)["creates"]) == created
    assert folder.is_file()


def test_run_file_in_place_of_a_folder_fails_the_rows_below_it_only(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    name = shell.manifest("video_translate_id,name\none,films/one\ntwo,two\n")
    folder = shell.folder / "captions/films"
    folder.parent.mkdir()
    folder.write_text("mine")
    process = shell.run("run", name, *UNLIMITED)
    assert process.returncode == 1, process.stderr
    failed, done = shell.results()
    assert (failed["error"]["code"], done["state"]) == ("cannot_store", "done")
    assert "remove the file that is where a folder is needed" in failed["error"]["message"]
    assert folder.read_text() == "mine"
    folder.unlink()
    assert shell.run("resume", "--retry-failed", *UNLIMITED).returncode == 0
    assert [result["state"] for result in shell.results()] == ["done", "done"]


@needs_full
def test_usage_error_with_a_full_stderr_keeps_its_status(shell: Shell) -> None:
    assert piped(shell, "2> /dev/full", "run", "missing.csv").returncode == 2


@needs_full
def test_report_to_a_full_disk_stops(shell: Shell, sandbox: Mapping[str, str]) -> None:
    assert shell.run("run", shell.manifest(MANIFEST), *UNLIMITED).returncode == 0
    ended = shell.run("report", "-o", "/dev/full")
    assert ended.returncode == 3
    assert ended.stderr.startswith("error: cannot write /dev/full: No space left on device\n")


@pytest.mark.parametrize("delay", [0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3])
def test_command_interrupted_at_its_start_ends_without_a_traceback(
    shell: Shell, delay: float
) -> None:
    """The signal comes some time after Python itself has started, which takes 20 ms or more."""
    interrupted = (
        "import os, signal, sys, threading\n"
        "interrupt = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        f"threading.Timer({delay}, interrupt).start()\n"
        "from batchcap.__main__ import main\n"
        "sys.exit(main())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", interrupted, "run", shell.manifest(MANIFEST), "--sandbox"],
        cwd=shell.folder,
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr


def test_command_interrupted_after_its_end_keeps_its_status(shell: Shell) -> None:
    """Python resets its handlers while it shuts down, unless a signal is ignored."""
    interrupted = (
        "import atexit, os, signal, sys\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        "from batchcap.__main__ import main\n"
        "sys.exit(main())\n"
    )
    command = [sys.executable, "-c", interrupted, "--version"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_command_imports_nothing_slow_before_it_handles_a_signal() -> None:
    """Ctrl-C before that prints Python's traceback, as it does while Python itself starts."""
    imports = (
        f"import sys; sys.path.insert(0, {str(Path(batchcap.__file__).parent.parent)!r})\n"
        "import batchcap.__main__\n"
        "print(*sys.modules)\n"
    )
    command = [sys.executable, "-I", "-S", "-c", imports]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    modules = set(ended.stdout.split())
    own = {name for name in modules if name.startswith("batchcap")}
    assert own == {"batchcap", "batchcap.__main__"}
    assert not modules & {"asyncio", "contextlib", "importlib", "pathlib", "re", "typing"}
