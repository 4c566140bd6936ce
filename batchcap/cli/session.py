"""What `run` and `resume` have in common: work on a ledger, then say how it went."""

from __future__ import annotations

import os
import shlex
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import orjson
from rich.console import Console

from batchcap import assembly, log, report
from batchcap.cli.options import ScreenOptions
from batchcap.cli.signals import Signals
from batchcap.errors import BatchcapError, FatalError
from batchcap.events import Event, LaneStopped, Warned
from batchcap.ledger import totals, waiting
from batchcap.progress import Progress
from batchcap.sandbox.child import sandbox_process
from batchcap.settings import Settings
from batchcap.stopping import Stop
from batchcap.tally import Tally


class Session:
    """One run of the engine over an open ledger, with its display and its reports."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        settings: Settings,
        screen: ScreenOptions,
        *,
        sandbox: bool,
    ) -> None:
        self._connection, self._settings = connection, settings
        self._screen, self._sandbox = screen, sandbox
        self._tally = Tally()
        self._stop = Stop()
        self._signals = Signals(self._stop, quiet=screen.quiet)
        self._started = time.monotonic()

    def run(self) -> int:
        """Work until the end; returns the exit status.

        Raises `UsageError` and `FatalError` for what is found before anything starts.
        """
        try:
            fatal = anyio.run(self._work)
        except BaseExceptionGroup as group:
            raise _cause(group) from None
        report.write_results(self._connection, self._settings.out)
        return self._report(fatal)

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
            environment: Mapping[str, str] = os.environ
            if self._sandbox and waiting(self._connection):
                state = self._settings.out / ".batchcap" / "sandbox.sqlite"
                environment = await stack.enter_async_context(sandbox_process(state))
            if not (self._screen.quiet or self._screen.no_progress):
                progress = Progress(self._tally, totals(self._connection), Console(stderr=True))
                await stack.enter_async_context(progress.shown())
            return await assembly.work(
                self._settings,
                self._connection,
                environment,
                log.observers(self._tally, log.logged, self._talk),
                sandbox=self._sandbox,
                stop=self._stop,
            )

    def _talk(self, event: Event) -> None:
        """What a person must see at once, beside the progress display."""
        if isinstance(event, LaneStopped):
            print(f"error: {event.message}\nhint: {event.hint}", file=sys.stderr)
        elif isinstance(event, Warned) and not self._screen.quiet and not self._screen.verbose:
            print(f"warning: {event.message}", file=sys.stderr)

    def _report(self, fatal: list[FatalError]) -> int:
        elapsed = time.monotonic() - self._started
        out = self._settings.out
        summary = report.summarize(self._connection, out, self._tally, elapsed)
        if self._screen.json:
            sys.stdout.write(orjson.dumps(summary.as_json()).decode() + "\n")
        else:
            print(report.last_line(summary, self._command(), self._command("--retry-failed")))
        if fatal:
            return 3
        if self._signals.received is not None and summary.totals.pending:
            return 128 + self._signals.received
        return 1 if summary.totals.failed or summary.totals.invalid else 0

    def _command(self, *more: str) -> str:
        """The command that goes on from here."""
        words = ["batchcap", "resume"]
        words += [] if self._settings.out == Path("captions") else ["-o", str(self._settings.out)]
        words += ["--sandbox"] if self._sandbox else []
        return shlex.join([*words, *more])


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Our own error inside a task group's wrapping, where there is one."""
    ours = group.subgroup(BatchcapError)
    cause: BaseException = ours or group
    while isinstance(cause, BaseExceptionGroup) and ours:
        cause = cause.exceptions[0]
    return cause
