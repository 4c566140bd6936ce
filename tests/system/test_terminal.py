"""The progress display on a real terminal."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pyte
import pytest

from tests.system.conftest import COMMAND, Shell


def watch(
    shell: Shell, *arguments: str, interrupt_after: str = "", on_text: tuple[str, str] = ("", "")
) -> tuple[int, str]:
    """Run on a terminal of its own; press Ctrl-C when `interrupt_after` appears.

    When the first text of `on_text` appears, the second one is typed.

    Returns the exit status and what the terminal showed.
    """
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(shell.folder)
        os.execve(COMMAND[0], [*COMMAND, *arguments], {**shell.environment, "TERM": "xterm"})
    output = b""
    awaited, typed = (text.encode() for text in on_text)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                output += os.read(terminal, 65536)
            except OSError:
                break
        if interrupt_after and interrupt_after.encode() in output:
            interrupt_after = ""
            os.write(terminal, b"\x03")
        if awaited and awaited in output:
            awaited = b""
            os.write(terminal, typed)
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), output.decode(errors="replace")


TWENTY = ("--rate", "mux.write=20/s", "--rate", "mux.read=none")
"""Twenty jobs a second."""

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


def start(shell: Shell, *arguments: str, width: int = 80) -> tuple[int, int]:
    """Start a command on a terminal of its own; returns the process and the terminal."""
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        os.chdir(shell.folder)
        os.execve(COMMAND[0], [*COMMAND, *arguments], {**shell.environment, "TERM": "xterm"})
    return child, terminal


def read_until(terminal: int, text: str) -> str:
    """Read what a terminal shows until a text appears."""
    output, deadline = b"", time.monotonic() + 60
    while text.encode() not in output:
        assert time.monotonic() < deadline, output
        if select.select([terminal], [], [], 0.2)[0]:
            output += os.read(terminal, 65536)
    return output.decode(errors="replace")


def finish(child: int, terminal: int) -> int:
    """Return the exit status of a process once it has ended."""
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def draw(shell: Shell, *arguments: str, width: int) -> tuple[int, list[list[str]], list[str]]:
    """Run a command on a terminal that is drawn.

    Returns the exit status, the screens that the user saw, and the last one.
    """
    child, terminal = start(shell, *arguments, width=width)
    screen = pyte.Screen(width, 40)
    stream, frames = pyte.ByteStream(screen), []
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 65536):
            stream.feed(data)
            frames.append([line.rstrip() for line in screen.display])
    assert not screen.cursor.hidden
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), frames, frames[-1]


def test_run_on_terminal_shows_progress_and_last_line(shell: Shell) -> None:
    rows = "".join(f"film-{n},es;de,en\n" for n in range(300))
    name = shell.manifest("asset_id,to_language_code,from_language\n" + rows)
    status, output = watch(shell, "run", name, "--sandbox")
    assert status == 0, output
    assert "at provider" in output
    assert "requests/s: " in output
    assert output.rstrip().endswith("(captions/results.jsonl).")


def test_run_ctrl_c_on_terminal_stops_and_names_resume(shell: Shell) -> None:
    rows = "".join(f"film-{n},es;de,en\n" for n in range(500))
    name = shell.manifest("asset_id,to_language_code,from_language\n" + rows)
    status, output = watch(shell, "run", name, "--sandbox", interrupt_after="at provider")
    assert status == 128 + signal.SIGINT, output
    assert "To continue: batchcap resume --sandbox" in output
    assert "Traceback" not in output
    status, output = watch(shell, "resume", "--sandbox")
    assert status == 0, output
    assert "1,000 of 1,000 captions" in output


@pytest.mark.parametrize("width", [120, 80, 40])
def test_run_on_terminal_draws_within_its_width(shell: Shell, width: int) -> None:
    rows = "".join(f"film-{n},es\n" for n in range(40)) + "asset-fails-1,es\n"
    name = shell.manifest("asset_id,to_language_code\n" + rows)
    arguments = ("run", name, "--sandbox", *TWENTY)
    status, frames, screen = draw(shell, *arguments, width=width)
    assert status == 1
    tables = [frame for frame in frames if any(line.startswith("mux ") for line in frame)]
    header = "wait" if width < 60 else "at provider"
    assert any(header in line for frame in tables for line in frame)
    # A table that was wider than the terminal would leave parts of itself behind.
    assert not [line for line in screen if line.startswith("mux ")], screen
    assert not any("requests/s" in line for line in screen)
    joined = "".join(line.ljust(width) for line in screen)
    assert "40 of 41 captions in" in joined


def test_run_stopped_by_ctrl_z_shows_the_cursor_and_goes_on(shell: Shell) -> None:
    rows = "".join(f"film-{n},es\n" for n in range(60))
    name = shell.manifest("asset_id,to_language_code\n" + rows)
    arguments = ["run", name, "--sandbox", *TWENTY]
    child, terminal = start(shell, *arguments)
    output = read_until(terminal, "at provider")
    os.write(terminal, b"\x1a")
    assert os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
    output += read_until(terminal, SHOW_CURSOR)
    assert output.rfind(SHOW_CURSOR) > output.rfind(HIDE_CURSOR)
    os.kill(child, signal.SIGCONT)
    output = read_until(terminal, "60 of 60 captions")
    assert HIDE_CURSOR in output
    assert output.rfind(SHOW_CURSOR) > output.rfind(HIDE_CURSOR)
    assert finish(child, terminal) == 0


def test_run_on_terminal_that_hangs_up_stops_in_order(shell: Shell) -> None:
    rows = "".join(f"film-{n},es\n" for n in range(60))
    name = shell.manifest("asset_id,to_language_code\n" + rows)
    child, terminal = start(shell, "run", name, "--sandbox", "--rate", "mux.write=5/s")
    read_until(terminal, "at provider")
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGHUP
    assert len(shell.results()) == 60
    resumed = shell.run("resume", "--sandbox")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(shell.run("audit", "--sandbox", "--json").stdout)["paid_twice"] == []


def test_run_under_nohup_ignores_a_hangup(shell: Shell) -> None:
    rows = "".join(f"film-{n},es\n" for n in range(40))
    name = shell.manifest("asset_id,to_language_code\n" + rows)
    arguments = ["run", name, "--sandbox", *TWENTY, "--no-progress"]
    process = subprocess.Popen(
        ["nohup", *COMMAND, *arguments],
        cwd=shell.folder,
        env=shell.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    while b"to do: " not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGHUP)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"40 of 40 captions" in stdout


def test_status_watch_follows_a_run_to_its_end(shell: Shell) -> None:
    rows = "".join(f"film-{n},es\n" for n in range(140))
    name = shell.manifest("asset_id,to_language_code\n" + rows)
    arguments = ["run", name, "--sandbox", *TWENTY, "-q"]
    process = subprocess.Popen([*COMMAND, *arguments], cwd=shell.folder, env=shell.environment)
    while shell.run("status").returncode:  # no ledger yet
        time.sleep(0.1)
    status, output = watch(shell, "status", "--watch")
    assert process.wait(timeout=60) == status == 0
    assert "jobs open at the provider: " in output
    assert " left, until " in output
    assert [line.strip() for line in output.splitlines()].count("140 of 140 captions done") == 1


def test_run_without_terminal_prints_no_escape_codes(shell: Shell) -> None:
    result = shell.run("run", shell.manifest("video_translate_id\none\n"), "--sandbox")
    assert "\x1b" not in result.stdout + result.stderr
