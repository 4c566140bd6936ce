"""`--on-end CMD`: a command of the user that runs when a run has ended, however it ended.

The command is split into words as a shell does, without a shell: no variables, no pipes. It
gets the summary as JSON on standard input, and the most of it in its environment, which holds
no secret of a provider. It cannot change how the run ended: what goes wrong with it is a
warning. What it prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from batchcap.app.providers import without_secrets
from batchcap.domain.errors import UsageError
from batchcap.domain.text import printable
from batchcap.reports.results import RESULTS

TIME_LIMIT = 60.0  # seconds
_SILENCE = 2.0  # seconds after which the user is told what is waited for
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_KILL_AFTER = 2.0  # seconds from SIGTERM to SIGKILL

OnEnd = Annotated[
    str,
    Parameter(
        group="Output and log",
        help="A command to run when the run has ended, with the summary on its stdin.",
    ),
]

_STATES = {0: "done", 1: "failed", 3: "stopped"}
_COUNTS = ("total", "done", "failed", "skipped", "invalid", "pending")
_OTHERS = {"elapsed_seconds": "ELAPSED_SECONDS", "bytes": "BYTES", "units_consumed": "UNITS"}
_NAMES = ("STATE", "EXIT_STATUS", "DIR", "RESULTS", *map(str.upper, _COUNTS), *_OTHERS.values())
ON_END_VARIABLES = frozenset(f"BATCHCAP_{name}" for name in _NAMES)
"""What the command finds in its environment."""


class Ending:
    """How a run has ended: `exit_status` is None until then.

    `summary` is the object that `--json` prints, or empty if the ledger could not be read.
    """

    def __init__(self) -> None:
        self.exit_status: int | None = None
        self.summary: Mapping[str, Any] = {}

    def record(self, exit_status: int, summary: Mapping[str, Any]) -> None:
        """Record that the run has ended."""
        self.exit_status, self.summary = exit_status, summary

    def variables(self, out: Path) -> dict[str, str]:
        """Return what the command finds in its environment."""
        status = self.exit_status or 0
        values = {
            "STATE": _STATES.get(status, "interrupted"),
            "EXIT_STATUS": str(status),
            "DIR": str(out.absolute()),
            "RESULTS": str(out.absolute() / RESULTS),
        }
        for name, variable in {name: name.upper() for name in _COUNTS}.items() | _OTHERS.items():
            if name in self.summary:
                values[variable] = str(self.summary[name])
        return {f"BATCHCAP_{name}": value for name, value in values.items()}


@contextmanager
def ending_with(command: str, out: Path, *, quiet: bool) -> Iterator[Ending]:
    """Run the command when the block ends, if a run has ended in it.

    Raises:
        UsageError: The command does not exist; nothing was started.
    """
    arguments = parse_command(command)
    ending = Ending()
    try:
        yield ending
    finally:
        if arguments and ending.exit_status is not None:
            problem = _run(arguments, ending, out, quiet=quiet)
            if problem and not quiet:
                print(f"warning: --on-end: {printable(problem)}", file=sys.stderr)


def parse_command(text: str) -> list[str]:
    """Split a command into its words; none for "".

    Raises:
        UsageError: It cannot be split, or there is no such program.
    """
    try:
        arguments = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--on-end: {error} in {text[:80]!r}") from None
    if text and not arguments:
        raise UsageError("--on-end: the command is empty")
    if arguments and shutil.which(arguments[0]) is None:
        hint = "It is no shell's: for one, like this: --on-end \"sh -c 'command | other'\""
        raise UsageError(f"--on-end: there is no program {arguments[0]!r}", hint=hint)
    return arguments


class _Interruption:
    """Raises `KeyboardInterrupt` for a signal, but no earlier than it is released.

    Otherwise a signal in the moment in which the command starts would leave it behind.
    """

    def __init__(self) -> None:
        self._is_held, self._is_received = True, False

    def receive(self, _number: int, _frame: object) -> None:
        """Handle a signal."""
        self._is_received = True
        if not self._is_held:
            raise KeyboardInterrupt

    def release(self) -> None:
        """Raise it now if a signal came, and from now on at once."""
        self._is_held = False
        if self._is_received:
            raise KeyboardInterrupt


def _run(arguments: list[str], ending: Ending, out: Path, *, quiet: bool) -> str:
    """Run the command; returns what went wrong, or ""."""
    environment = without_secrets(os.environ)
    environment |= ending.variables(out)
    document = json.dumps(ending.summary, separators=(",", ":")) + "\n"
    try:
        with _interruption() as interruption:
            status = _status(arguments, environment, document, interruption, quiet=quiet)
    except OSError as error:
        return f"{arguments[0]}: {error.strerror or error}"
    except subprocess.TimeoutExpired:
        return f"{arguments[0]} took longer than {TIME_LIMIT:.0f} s, and was ended"
    except KeyboardInterrupt:
        return f"{arguments[0]} was ended"
    if status < 0:
        return f"{arguments[0]} was ended by signal {-status}"
    return f"{arguments[0]} exited with status {status}" if status else ""


def _status(
    arguments: list[str],
    environment: Mapping[str, str],
    document: str,
    interruption: _Interruption,
    *,
    quiet: bool,
) -> int:
    """Run the command with a document on its stdin; returns its exit status.

    It has a session of its own, so that it can be ended with all that it started.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    with subprocess.Popen(  # noqa: S603  # the user's own command
        arguments, stdin=subprocess.PIPE, stdout=2, env=environment, start_new_session=True
    ) as process:
        try:
            interruption.release()
            _wait(process, document, quiet=quiet)
        except BaseException:
            _end(process)
            raise
    return process.returncode


def _wait(process: subprocess.Popen[bytes], document: str, *, quiet: bool) -> None:
    """Give the command its input and wait for its end, not in silence for long.

    Raises:
        subprocess.TimeoutExpired: It takes too long.
    """
    try:
        process.communicate(document.encode(), _SILENCE)
    except subprocess.TimeoutExpired:
        if not quiet:
            print(
                f"waiting for the command of --on-end, {TIME_LIMIT:.0f} s at most; Ctrl-C ends it",
                file=sys.stderr,
            )
        process.communicate(timeout=TIME_LIMIT - _SILENCE)


@contextmanager
def _interruption() -> Iterator[_Interruption]:
    """Handle the signals that end a run; one that is ignored, as by nohup, stays ignored."""
    interruption = _Interruption()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interruption.receive)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and what it started: SIGTERM, and SIGKILL soon after."""
    for number, patience in ((signal.SIGTERM, _KILL_AFTER), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
