"""A picture of the terminal while a real run works, as SVG."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import MONOKAI
from rich.text import Text

WIDTH, HEIGHT = 104, 40
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def picture(folder: Path, arguments: list[str], is_moment: Callable[[list[str]], bool]) -> str:
    """Run a command on a terminal; returns what it showed at the last moment of a kind.

    The picture loads nothing from elsewhere.
    """
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        os.chdir(folder)
        environment = {**os.environ, "TERM": "xterm-256color"}
        os.execve(sys.executable, [sys.executable, "-m", "batchcap", *arguments], environment)
    screen = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.ByteStream(screen)
    lines: list[Text] = []
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 65536):
            stream.feed(data)
            if is_moment([line.rstrip() for line in screen.display]):
                lines = _lines(screen)
    os.waitpid(child, 0)
    os.close(terminal)
    return _svg([Text(f"$ batchcap {' '.join(arguments)}", style="bold"), *lines])


def _lines(screen: pyte.Screen) -> list[Text]:
    lines = []
    for row in range(screen.lines):
        line = Text()
        for column in range(screen.columns):
            character = screen.buffer[row][column]
            color = None if character.fg == "default" else _color(character.fg)
            line.append(character.data, Style(color=color, bold=character.bold))
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def _color(name: str) -> str:
    if re.fullmatch(r"[0-9a-f]{6}", name):
        return f"#{name}"
    return {"brown": "yellow"}.get(name, name)


def _svg(lines: list[Text]) -> str:
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        for line in lines:
            console.print(line, no_wrap=True, crop=True)
    svg = console.export_svg(title="batchcap", theme=MONOKAI, unique_id="batchcap")
    return _FONT_FACE.sub("", svg)
