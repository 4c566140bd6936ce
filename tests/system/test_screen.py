"""What a person sees on a real terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import time

from tests.system.conftest import COMMAND, Shell


def watch(shell: Shell, *arguments: str, interrupt_after: str = "") -> tuple[int, str]:
    """Run on a terminal of its own; with a text, press Ctrl-C once it has been seen."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(shell.folder)
        os.execve(COMMAND[0], [*COMMAND, *arguments], {**shell.environment, "TERM": "xterm"})
    seen = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:
                break
        if interrupt_after and interrupt_after.encode() in seen:
            interrupt_after = ""
            os.write(terminal, b"\x03")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), seen.decode(errors="replace")


def test_a_terminal_shows_progress_and_the_last_line(shell: Shell) -> None:
    rows = "".join(f"film-{n},es;de,en\n" for n in range(300))
    name = shell.manifest("asset_id,to_language_code,from_language\n" + rows)
    status, seen = watch(shell, "run", name, "--sandbox")
    assert status == 0, seen
    assert "active" in seen
    assert "/600" in seen
    assert seen.rstrip().endswith("(captions/results.jsonl).")


def test_ctrl_c_stops_in_order_and_says_how_to_go_on(shell: Shell) -> None:
    rows = "".join(f"film-{n},es;de,en\n" for n in range(500))
    name = shell.manifest("asset_id,to_language_code,from_language\n" + rows)
    status, seen = watch(shell, "run", name, "--sandbox", interrupt_after="active")
    assert status == 128 + signal.SIGINT, seen
    assert "batchcap resume --sandbox goes on" in seen
    assert "Traceback" not in seen
    status, seen = watch(shell, "resume", "--sandbox")
    assert status == 0, seen
    assert "1,000 of 1,000 captions" in seen


def test_no_progress_where_there_is_no_terminal(shell: Shell) -> None:
    ran = shell.run("run", shell.manifest("video_translate_id\none\n"), "--sandbox")
    assert "\x1b" not in ran.stdout + ran.stderr
