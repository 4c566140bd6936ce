"""What `run` and `resume` have in common: work on a ledger, then say how it went."""

from __future__ import annotations

import gc
import json
import os
import shlex
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio

from batchcap import assembly, log, report
from batchcap.cli.options import ScreenOptions
from batchcap.cli.signals import Signals
from batchcap.descriptors import fitted
from batchcap.errors import BatchcapError, FatalError
from batchcap.events import Event, LaneStopped, Paused, Warned
from batchcap.ledger import folder, seen, totals, waiting
from batchcap.log import LONG, printable
from batchcap.settings import Settings, uvloop_wanted
from batchcap.stopping import Stop
from batchcap.tally import Tally

if TYPE_CHECKING:
    from batchcap.progress import Progress

T = TypeVar("T")

_TALK = {LaneStopped, Warned, Paused}

_YOUNG = 50_000
"""Objects made and not freed, after which the collector looks at the young ones."""


class Session:
    """One run of the engine over an open ledger, with its display and its reports.

    With `repairs`, only rows that were done once are worked on.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        settings: Settings,
        screen: ScreenOptions,
        *,
        sandbox: bool,
        repairs: bool = False,
    ) -> None:
        self._connection = connection
        self._settings, self._warning = fitted(settings)
        self._screen, self._sandbox, self._repairs = screen, sandbox, repairs
        self._tally = Tally()
        self._told_until: dict[str, float] = {}
        self._stop = Stop()
        self._signals = Signals(self._stop, quiet=screen.quiet)
        self._started = time.monotonic()
        self._progress: Progress | None = None

    def run(self) -> int:
        """Work until the end; returns the exit status.

        Raises `UsageError` and `FatalError` for what is found before anything starts.
        """
        if waiting(self._connection):
            self._prepare()
        fatal = ran(self._work)
        try:
            report.write_results(self._connection, self._settings.out)
        except FatalError as error:
            fatal.append(error)
            self._talk(LaneStopped("results", error.message, error.hint))
        return self._report(fatal)

    def _prepare(self) -> None:
        """What takes a while in a large ledger, and so is not done in the loop."""
        seen.forget_results(self._connection)
        if not (self._screen.quiet or self._screen.no_progress):
            from rich.console import Console

            from batchcap.progress import Progress

            before = totals(self._connection)
            self._progress = Progress(self._tally, before, Console(stderr=True))

    async def _work(self) -> list[FatalError]:
        """Work, with the signals watched from the first moment to the last."""
        fatal: list[FatalError] = []
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as work:
                await group.start(self._signals.watch, work)
                fatal = await self._shown()
            group.cancel_scope.cancel()
        return fatal

    async def _shown(self) -> list[FatalError]:
        async with AsyncExitStack() as stack:
            sandbox = self._sandbox and bool(waiting(self._connection))
            environment = await stack.enter_async_context(
                surroundings(self._settings.out, sandbox=sandbox)
            )
            if self._progress:
                await stack.enter_async_context(self._progress.shown())
            if self._warning:
                self._talk(Warned(self._warning))

            async def announce(endpoints: Mapping[str, str]) -> None:
                if self._sandbox:
                    await _sent_here(environment, endpoints)
                elif not self._screen.quiet:
                    for name, url in endpoints.items():
                        print(f"webhooks of {name}: {url}", file=sys.stderr)

            return await assembly.work(
                self._settings,
                self._connection,
                environment,
                log.observers(self._tally, log.logged, self._talk),
                sandbox=self._sandbox,
                stop=self._stop,
                repairs=self._repairs,
                announce=announce,
            )

    def _talk(self, event: Event) -> None:
        """What a person must see at once, beside the progress display."""
        if type(event) not in _TALK:
            return
        if isinstance(event, LaneStopped):
            print(f"error: {printable(event.message)}", file=sys.stderr)
            print(f"hint: {printable(event.hint)}", file=sys.stderr)
        elif isinstance(event, Warned) and not self._screen.quiet and not self._screen.verbose:
            print(f"warning: {printable(event.message)}", file=sys.stderr)
        elif isinstance(event, Paused) and not self._screen.quiet and not self._screen.verbose:
            self._talk_of_pause(event)

    def _talk_of_pause(self, event: Paused) -> None:
        """A long wait is told once, not with each answer that repeats it."""
        until = time.monotonic() + event.seconds
        if event.seconds >= LONG and until > self._told_until.get(event.bucket, 0.0) + LONG:
            self._told_until[event.bucket] = until
            wait = report.duration(event.seconds)
            print(
                f"warning: {event.bucket}: the provider asks to wait for {wait}; "
                "Ctrl-C stops the run, and resume keeps to it",
                file=sys.stderr,
            )

    def _report(self, fatal: list[FatalError]) -> int:
        elapsed = time.monotonic() - self._started
        out = self._settings.out
        summary = report.summarize(self._connection, out, self._tally, elapsed)
        if self._screen.json:
            # In ASCII: the folder's name may hold anything, bytes that are no text too.
            sys.stdout.write(json.dumps(summary.as_json(), separators=(",", ":")) + "\n")
        else:
            words = report.last_line(summary, self._command(), self._command("--retry-failed"))
            print(printable(words))
        if fatal:
            return 3
        if self._signals.received is not None and summary.totals.pending:
            return 128 + self._signals.received
        return 1 if summary.totals.failed or summary.totals.invalid else 0

    def _command(self, *more: str) -> str:
        """The command that goes on from here."""
        return command("resume", self._settings.out, *more, sandbox=self._sandbox)


async def _sent_here(environment: Mapping[str, str], endpoints: Mapping[str, str]) -> None:
    """Have the simulators send their webhooks to the run's endpoints."""
    from batchcap.sandbox.child_process import ChildFailedError, send_webhooks

    try:
        await send_webhooks(environment, endpoints)
    except ChildFailedError as error:
        hint = "With --sandbox, listen on loopback, like this: --listen 127.0.0.1:0"
        raise FatalError(str(error), hint=hint) from None


@asynccontextmanager
async def surroundings(out: Path, *, sandbox: bool) -> AsyncIterator[Mapping[str, str]]:
    """The environment to work in; with `sandbox`, that of simulators which run meanwhile."""
    if not sandbox:
        yield os.environ
        return
    from batchcap.sandbox.child_process import ChildFailedError, sandbox_process

    try:
        async with sandbox_process(folder(out) / "sandbox.sqlite") as environment:
            yield environment
    except ChildFailedError as error:
        raise FatalError(
            str(error), hint="Its own words are above; try it alone: batchcap sandbox"
        ) from None


def command(verb: str, out: Path, *more: str, sandbox: bool) -> str:
    """A command for this folder, to be typed as it is."""
    words = ["batchcap", verb]
    words += [] if out == Path("captions") else ["-o", str(out)]
    words += ["--sandbox"] if sandbox else []
    return shlex.join([*words, *more])


def ran(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` to its end; raises our own error as itself, whatever it was wrapped in.

    On uvloop where it is installed (`pip install 'batchcap[fast]'`).
    """
    fast = uvloop_wanted(os.environ) and find_spec("uvloop") is not None
    _spare_collector()
    try:
        return anyio.run(work, backend_options={"use_uvloop": fast})
    except BaseExceptionGroup as group:
        raise _cause(group) from None


def _spare_collector() -> None:
    """Let the collector of cycles look less often, and never at what was imported.

    A run leaves few cycles; by default a sixth of its CPU goes into looking for them,
    and a full look through all modules holds the loop up for 40 ms.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 100)


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Our own error inside a task group's wrapping, where there is one."""
    ours = group.subgroup(BatchcapError)
    cause: BaseException = ours or group
    while isinstance(cause, BaseExceptionGroup) and ours:
        cause = cause.exceptions[0]
    return cause
