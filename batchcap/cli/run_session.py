"""Runs the engine on a ledger, then reports: shared by `run`, `resume` and `verify --repair`."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import anyio

from batchcap.app.fd_limits import fit_to_fd_limit
from batchcap.app.limits import choose_rows
from batchcap.app.outlook import run_tracker
from batchcap.app.run import run as run_rows
from batchcap.app.sources import providers_to_ask
from batchcap.cli import log
from batchcap.cli.announcement import announcement
from batchcap.cli.command_lines import command_line, complete_commands
from batchcap.cli.endpoints import Endpoints
from batchcap.cli.log_fields import LONG_PAUSE
from batchcap.cli.on_end import Ending
from batchcap.cli.options import OutputOptions
from batchcap.cli.quality_summary import finding_counts, finding_lines
from batchcap.cli.run_view import RunView
from batchcap.cli.runtime import provider_environment, run_async
from batchcap.cli.signals import Signals
from batchcap.cli.source_summary import source_counts, source_lines
from batchcap.domain.errors import FatalError
from batchcap.domain.events import Event, LaneStopped, Paused, Recovered, Warned
from batchcap.domain.ledger_protocols import Ledger
from batchcap.domain.models import RowState, Totals
from batchcap.domain.settings import Settings
from batchcap.domain.shutdown import ShutdownToken
from batchcap.domain.text import counted, printable
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import documented_rates
from batchcap.reports import results
from batchcap.reports.failure_table import failure_lines
from batchcap.reports.metrics import Metrics
from batchcap.sandbox.child_process import ChildFailedError, send_webhooks

_PRINTED = {LaneStopped, Warned, Recovered, Paused}


class RunSession:
    """One run of the engine over an open ledger, with its display and its reports.

    With `web`, a live page is served there while it works.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        options: OutputOptions,
        ending: Ending,
        endpoints: Endpoints,
        *,
        sandbox: bool,
        repairs: bool = False,
    ) -> None:
        self._ledger, self._repairs = ledger, repairs
        self._ending = ending
        self._settings, self._warning = fit_to_fd_limit(settings)
        self._options, self._sandbox = options, sandbox
        self._metrics = Metrics()
        self._chosen: int | None = None  # pending rows, None: all
        self._pause_printed_until: dict[str, float] = {}
        self._stop = ShutdownToken()
        self._signals = Signals(self._stop, quiet=options.quiet)
        self._started = time.monotonic()
        self._endpoints = endpoints

    def choose(self, manifests: Sequence[str] | None = None) -> None:
        """Choose the rows to work on, and say what will happen.

        With `manifests`, pending rows of other ones are named.

        Raises:
            UsageError: A filter has a column that no row has.
        """
        self._chosen = choose_rows(self._ledger, self._settings)
        if not self._settings.selection.is_everything and not self._chosen:
            print("no pending row was chosen by --limit and --filter", file=sys.stderr)
        if not self._options.quiet:
            for line in announcement(
                self._ledger, self._settings, manifests, sandbox=self._sandbox
            ):
                print(printable(line), file=sys.stderr)

    def run(self) -> int:
        """Work until the end; returns the exit status, which `ending` has too.

        Raises:
            UsageError: A setting is wrong; nothing was started.
            FatalError: The run cannot start, or the ledger cannot be used any more.
        """
        try:
            status, summary = self._run()
        except FatalError:
            self._ending.record(3, {})
            with contextlib.suppress(FatalError):  # the ledger itself may be the reason
                self._ending.record(3, self._summary().as_json())
            raise
        self._ending.record(status, summary)
        return status

    def _run(self) -> tuple[int, Mapping[str, Any]]:
        self._prepare()
        fatal = run_async(self._work)
        if self._settings.also and not fatal and self._signals.received is None:
            self._convert()
        try:
            results.write_results(self._ledger, self._settings.out)
        except FatalError as error:
            fatal.append(error)
            self._print_event(LaneStopped("results", error.message, error.hint))
        return self._report(fatal)

    def _convert(self) -> None:
        """Make the conversions of --also, and say what they could not hold."""
        from batchcap.app.conversions import convert_captions

        result = convert_captions(
            self._ledger,
            self._settings.out,
            self._settings.also,
            lambda reason: self._print_event(Warned(reason)),
        )
        if self._options.quiet:
            return
        print(f"{counted(result.made, 'conversion')} made", file=sys.stderr)
        for (format_, what), count in sorted(result.dropped.items()):
            print(f"note: {format_} cannot hold {what}: {counted(count, 'file')}", file=sys.stderr)

    def _prepare(self) -> None:
        """Do what takes long with a large ledger, before the event loop starts."""
        tracker = None
        if providers_to_ask(self._ledger, self._settings):
            tracker = run_tracker(self._ledger, self._settings, time.time, sandbox=self._sandbox)
        self._view = RunView(tracker, self._endpoints, self._options)

    async def _work(self) -> list[FatalError]:
        """Work, with signals handled from the first moment to the last."""
        fatal: list[FatalError] = []
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as work:
                await group.start(self._signals.watch, work)
                fatal = await self._run_with_display()
            group.cancel_scope.cancel()
        return fatal

    async def _run_with_display(self) -> list[FatalError]:
        async with AsyncExitStack() as stack:
            sandbox = self._sandbox and bool(providers_to_ask(self._ledger, self._settings))
            environment = await stack.enter_async_context(
                provider_environment(self._settings.out, sandbox=sandbox)
            )
            await stack.enter_async_context(self._view.shown(self._settings.out, self._ledger))
            if self._warning:
                self._print_event(Warned(self._warning))

            async def on_listening(endpoints: Mapping[str, str]) -> None:
                if self._sandbox:
                    await _register_webhooks(environment, endpoints)
                elif not self._options.quiet:
                    for name, url in endpoints.items():
                        print(f"webhooks of {name}: {url}", file=sys.stderr)

            return await run_rows(
                self._settings,
                self._ledger,
                environment,
                log.observers(self._metrics, self._view, log.logged, self._print_event),
                sandbox=self._sandbox,
                stop=self._stop,
                on_listening=on_listening,
            )

    def _print_event(self, event: Event) -> None:
        """Print what the user must see at once, above the progress display. An `Observer`."""
        if type(event) not in _PRINTED:
            return
        if isinstance(event, LaneStopped):
            hint = complete_commands(event.hint, self._settings.out, sandbox=self._sandbox)
            print(f"error: {printable(event.message)}", file=sys.stderr)
            print(f"hint: {printable(hint)}", file=sys.stderr)
        elif self._options.quiet or self._options.verbose:
            return  # silenced, or printed by the log already
        elif isinstance(event, Warned):
            print(f"warning: {printable(event.message)}", file=sys.stderr)
        elif isinstance(event, Recovered):
            print(f"{printable(event.where)} is responding again", file=sys.stderr)
        elif isinstance(event, Paused):
            self._print_pause(event)

    def _print_pause(self, event: Paused) -> None:
        """Print a long pause once, not for each response that repeats it."""
        until = time.monotonic() + event.seconds
        printed_until = self._pause_printed_until.get(event.bucket, 0.0)
        if event.seconds >= LONG_PAUSE and until > printed_until + LONG_PAUSE:
            self._pause_printed_until[event.bucket] = until
            wait = results.duration(event.seconds)
            print(
                f"warning: {event.bucket}: the provider asks to wait for {wait}; "
                "Ctrl-C stops the run, and resume waits for the rest",
                file=sys.stderr,
            )

    def _report(self, fatal: list[FatalError]) -> tuple[int, Mapping[str, Any]]:
        """Print how the run ended; returns the exit status and the summary."""
        summary = self._summary()
        sources = source_counts(self._ledger, self._settings, self._metrics)
        findings = finding_counts(self._ledger, self._settings)
        groups = self._ledger.failures() if self._has_failed(summary.totals) else []
        if not self._options.quiet:
            for line in failure_lines(groups):
                text = complete_commands(line, self._settings.out, sandbox=self._sandbox)
                print(printable(text), file=sys.stderr)
            for line in source_lines(summary.totals, sources):
                text = complete_commands(line, self._settings.out, sandbox=self._sandbox)
                print(printable(text), file=sys.stderr)
            for line in finding_lines(findings, self._settings.out):
                print(printable(line), file=sys.stderr)
        shown = {**summary.as_json(), **(self._repair_counts() if self._repairs else {})}
        if sources is not None:
            shown["source_captions"] = sources
        if findings is not None:
            shown["quality"] = {kind: count.findings for kind, count in findings.items()}
        if self._options.json:
            # In ASCII, because the folder's name may hold bytes that are not text.
            sys.stdout.write(json.dumps(shown, separators=(",", ":")) + "\n")
        else:
            can_retry = any(group.retryable for group in groups)
            print(printable(self._last_line(summary, can_retry=can_retry)))
        return self._exit_status(fatal, summary.totals), shown

    def _summary(self) -> results.Summary:
        elapsed = time.monotonic() - self._started
        buckets = [*documented_rates(PROVIDERS.values()), "downloads"]
        return results.summarize(self._ledger, self._settings.out, self._metrics, elapsed, buckets)

    def _exit_status(self, fatal: list[FatalError], totals: Totals) -> int:
        if fatal:
            return 3
        if self._signals.received is not None and self._has_rows_left(totals):
            return 128 + self._signals.received
        return 1 if self._has_failed(totals) else 0

    def _last_line(self, summary: results.Summary, *, can_retry: bool) -> str:
        retry = self._command("resume", "--retry-failed", "--retryable") if can_retry else ""
        if not self._repairs:
            return results.last_line(summary, self._command("resume"), retry)
        repair = self._command("verify", "--repair")
        if not self._has_rows_left(summary.totals):
            repair = ""
        return results.repair_line(**self._repair_counts(), repair=repair, retry=retry)

    def _repair_counts(self) -> dict[str, int]:
        """Return the number of files that were repaired and of those that were not."""
        ended = self._metrics.ended
        repaired = sum(count for (_, state), count in ended.items() if state is RowState.DONE)
        return {"repaired": repaired, "not_repaired": ended.total() - repaired}

    def _has_rows_left(self, totals: Totals) -> bool:
        if self._repairs:
            return bool(self._ledger.providers_with_pending())
        if self._chosen is None:
            return totals.pending > 0
        return sum(self._metrics.ended.values()) < self._chosen

    def _has_failed(self, totals: Totals) -> bool:
        """Return whether a row failed: any of the ledger, or any that was chosen or repaired."""
        if self._chosen is None and not self._repairs:
            return totals.failed + totals.invalid > 0
        return any(self._metrics.errors.values())

    def _command(self, name: str, *more: str) -> str:
        return command_line(name, self._settings.out, *more, sandbox=self._sandbox)


async def _register_webhooks(environment: Mapping[str, str], endpoints: Mapping[str, str]) -> None:
    """Make the sandbox send its webhooks to the endpoints of this run."""
    try:
        await send_webhooks(environment, endpoints)
    except ChildFailedError as error:
        hint = "With --sandbox, listen on loopback, like this: --listen 127.0.0.1:0"
        raise FatalError(str(error), hint=hint) from None
