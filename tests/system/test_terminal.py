"""The progress display on a real terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import time

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


def test_run_without_terminal_prints_no_escape_codes(shell: Shell) -> None:
    result = shell.run("run", shell.manifest("video_translate_id\none\n"), "--sandbox")
    assert "\x1b" not in result.stdout + result.stderr
