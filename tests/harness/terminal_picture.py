"""A picture of the terminal while a real run works, as SVG."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import MONOKAI
from rich.text import Text

WIDTH, HEIGHT = 104, 40
_LINE_CLIP = re.compile(r' clip-path="url\(#[^)]*-line-\d+\)"')
"""It cuts underscores off in fonts with deep descenders."""
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def picture(folder: Path, arguments: list[str], more: list[str], *, at_row: str, done: int) -> str:
    """Run a command on a terminal; returns what it showed when a row of its table had `done`.

    `more` arguments are not in the picture. It loads nothing from elsewhere.
    """
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        os.chdir(folder)
        environment = {**os.environ, "TERM": "xterm-256color"}
        command = [sys.executable, "-m", "batchcap", *arguments, *more]
        os.execve(command[0], command, environment)
    screen = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.ByteStream(screen)
    lines: list[Text] = []
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 65536):
            stream.feed(data)
            if not lines and _done(screen, at_row) >= done:
                lines = _lines(screen)
    os.waitpid(child, 0)
    os.close(terminal)
    return _svg([Text(f"$ batchcap {' '.join(arguments)}", style="bold"), *lines])


def _done(screen: pyte.Screen, name: str) -> int:
    """Return the count of a row's last column but one, if the whole table is on the screen."""
    rows = [line.split() for line in screen.display if line.startswith(f"{name} ")]
    if not rows or not any(line.startswith("requests/s") for line in screen.display):
        return 0
    return int(rows[0][-2].replace(",", ""))


def _lines(screen: pyte.Screen) -> list[Text]:
    lines = [_line(screen, row) for row in range(screen.lines)]
    while lines and not lines[-1].plain:
        lines.pop()
    return lines


def _line(screen: pyte.Screen, row: int) -> Text:
    characters = [screen.buffer[row][column] for column in range(screen.columns)]
    line = Text()
    for (color, bold), same in itertools.groupby(characters, lambda c: (c.fg, c.bold)):
        text = "".join(character.data for character in same)
        line.append(text, Style(color=None if color == "default" else _color(color), bold=bold))
    line.rstrip()
    return line


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
    return _LINE_CLIP.sub("", _FONT_FACE.sub("", svg))
