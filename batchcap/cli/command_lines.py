"""Commands to type, as messages show them, for the folder that the user works in.

Most of batchcap does not know that folder, and writes `batchcap resume` into its hints. The
command line completes them before it prints.
"""

from __future__ import annotations

import re
import shlex
from contextvars import ContextVar
from pathlib import Path

DEFAULT_FOLDER = Path("captions")

CONFIGURATION: ContextVar[tuple[str, ...]] = ContextVar("configuration", default=())
"""--config and --profile as the user gave them, for the commands that continue this one."""

_COMMAND = re.compile(
    r"\bbatchcap (run|resume|plan|status|report|verify|rebuild|forget|audit)\b"
    r"(?! (?:-o|--out|--dir|--sandbox)\b)"
)
_AGAIN = {"rebuild", "forget", "audit", "plan", "login", "doctor", "mux", "heygen"}
"""Commands that ask providers as a run does, but that `batchcap resume` does not continue; the
last two are those of `batchcap manifest`."""

_WITHOUT_SANDBOX = {"status", "report"}
"""Commands that need no provider."""


def command_line(command: str, out: Path, *more: str, sandbox: bool) -> str:
    """Return a command for the folder `out`, ready to be typed."""
    arguments = ["batchcap", command]
    if out != DEFAULT_FOLDER:
        arguments += ["--dir" if command == "report" else "-o", str(out)]
    arguments += ["--sandbox"] if sandbox and command not in _WITHOUT_SANDBOX else []
    return shlex.join([*arguments, *CONFIGURATION.get(), *more])


def hint_for(command: str, hint: str) -> str:
    """Return a hint of a run as it is right for another command."""
    return hint.replace("batchcap resume", "the same command again") if command in _AGAIN else hint


def complete_commands(text: str, out: Path, *, sandbox: bool) -> str:
    """Name the folder and `--sandbox` in each command of a message that names neither."""
    return _COMMAND.sub(lambda match: command_line(match[1], out, sandbox=sandbox), text)
