"""`batchcap forget`: take back rows that were not paid for."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Group, Parameter

from batchcap.app.forget import Forgetter, Withdrawal
from batchcap.app.providers import check_origins, open_providers
from batchcap.cli import log
from batchcap.cli.options import CaOption, Out, ProxyOption, RunOptions, SandboxFlag
from batchcap.cli.runtime import provider_environment, run_async
from batchcap.domain.errors import UsageError
from batchcap.domain.forgetting import ForgetScope, Hold
from batchcap.domain.ledger_protocols import Ledger, LedgerReader
from batchcap.domain.settings import Settings
from batchcap.domain.text import counted, printable
from batchcap.reports import results
from batchcap.storage.ledger import Lock, open_ledger, open_reader, require

MAX_LISTED = 20
"""Rows that are named for each reason to stay."""

_ROWS = Group("Rows")
_REASONS = {
    Hold.DONE: "done",
    Hold.PAID: "paid for",
    Hold.RUNNING: "with a job that may be running",
    Hold.UNKNOWN: "with an unknown outcome",
}
_HINTS = {
    Hold.RUNNING: "--cancel cancels running jobs",
    Hold.UNKNOWN: "--cancel looks unknown outcomes up first",
}


@Parameter(name="*")
@dataclass(frozen=True)
class ScopeOptions:
    """Which rows to take back. A row must satisfy all that is given."""

    manifest: Annotated[
        str, Parameter(group=_ROWS, help="Rows of this manifest, named as when it was run.")
    ] = ""
    key: Annotated[str, Parameter(group=_ROWS, help="Rows whose key matches a glob.")] = ""
    language: Annotated[str, Parameter(group=_ROWS, help="Rows in this target language.")] = ""
    state: Annotated[
        Literal["pending", "failed", "skipped", "invalid", "done"] | None,
        Parameter(group=_ROWS, help="Rows in this state."),
    ] = None
    unlisted: Annotated[
        bool,
        Parameter(
            group=_ROWS, negative="", help="Pending and failed rows that their manifest lacks now."
        ),
    ] = False

    def scope(self, ledger: LedgerReader) -> ForgetScope:
        """Return which rows are meant.

        Raises:
            UsageError: Nothing is selected, or the ledger has no row of the manifest.
        """
        if not (self.manifest or self.key or self.language or self.state or self.unlisted):
            raise UsageError(
                "forget needs to know which rows",
                hint="--manifest, --key, --language, --state or --unlisted; all rows: --key '*'",
            )
        if self.manifest and self.manifest not in (names := ledger.manifests()):
            raise UsageError(
                f"--manifest: no row was imported from {printable(self.manifest)}",
                hint=f"There are: {', '.join(map(printable, names[:MAX_LISTED])) or 'none'}",
            )
        return ForgetScope(
            manifest=self.manifest or None,
            key=self.key or None,
            language=self.language or None,
            state=self.state,
            unlisted=self.unlisted,
        )


def forget(  # noqa: PLR0913  # each parameter is an option of the command line
    *,
    out: Out = Path("captions"),
    sandbox: SandboxFlag = False,
    rows: ScopeOptions = ScopeOptions(),  # frozen
    cancel: Annotated[
        bool, Parameter(negative="", help="Also cancel jobs that still run, and then take back.")
    ] = False,
    delete_tracks: Annotated[
        bool,
        Parameter(
            negative="", help="Delete the text tracks that jobs of these rows added to assets."
        ),
    ] = False,
    yes: Annotated[bool, Parameter(negative="", help="Do not ask before deleting.")] = False,
    dry_run: Annotated[bool, Parameter(negative="", help="Only show what would happen.")] = False,
    settle: Annotated[
        str, Parameter(help="How long a create without a response may still arrive.")
    ] = "60s",
    rate: Annotated[
        list[str] | None, Parameter(negative="", help="BUCKET=N/s, N/min or none.")
    ] = None,
    headroom: Annotated[
        float, Parameter(help="Percent of every bucket left to other programs.")
    ] = 0.0,
    proxy: ProxyOption = "",
    ca_file: CaOption = None,
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object.")] = False,
    log_file: Annotated[Path | None, Parameter(help="Log every step into a file.")] = None,
) -> int:
    """Take back rows that were not paid for."""
    log.set_up(verbose=False, log_file=log_file)
    options = RunOptions(
        rate=rate or [], headroom=headroom, settle=settle, proxy=proxy, ca_file=ca_file
    )
    settings = options.settings(out, sandbox=sandbox)
    require(out)
    if dry_run:
        with closing(open_reader(out)) as reader:
            view = _View(reader, rows.scope(reader), json=json)
            return view.show_plan(cancel=cancel, delete_tracks=delete_tracks)
    with Lock(out), closing(open_ledger(out)) as ledger:
        check_origins(ledger, os.environ, settings, sandbox=sandbox)
        scope = rows.scope(ledger)
        view = _View(ledger, scope, json=json)
        if delete_tracks and not yes:
            _confirm(view.count_tracks(), out)
        asked = _ask_providers(
            ledger, scope, settings, view, cancel=cancel, tracks=delete_tracks, sandbox=sandbox
        )
        removed = ledger.forget(scope)
        results.write_results(ledger, out)
        view.show_result(removed, asked)
        return 3 if asked.unavailable else 0


class _View:
    """What the user sees: each row that something was done to, those that stay, and counts."""

    def __init__(self, ledger: LedgerReader, scope: ForgetScope, *, json: bool) -> None:
        self._ledger, self._scope, self._json = ledger, scope, json

    def print(self, line: str) -> None:
        """Print a line about one row."""
        print(printable(line), file=sys.stderr if self._json else sys.stdout)

    def count_tracks(self) -> int:
        """Return for how many rows a job may have added a track."""
        return sum(
            job_id is not None
            for hold in (Hold.DONE, Hold.PAID)
            for _, job_id in self._ledger.held_keys(self._scope, hold)
        )

    def show_plan(self, *, cancel: bool, delete_tracks: bool) -> int:
        """Show what would happen; returns the exit status."""
        counts = self._ledger.count_holds(self._scope)
        free, tracks = counts.pop(Hold.NONE, 0), self.count_tracks() if delete_tracks else 0
        asked = {hold: counts.pop(hold) for hold in _HINTS if cancel and hold in counts}
        self._show_staying(counts)
        if self._json:
            shown = {"would_remove": free, "would_ask": asked, "would_delete_tracks": tracks}
            self._print_json({**shown, "stay": counts})
            return 0
        for hold, count in asked.items():
            how = "cancel the jobs of" if hold is Hold.RUNNING else "look up"
            print(f"would {how} {counted(count, 'row')} {_REASONS[hold]}, then remove them")
        print(f"would remove {counted(free, 'row')}{_staying(counts)}")
        if not (free or asked or counts):
            print("no row is in that selection")
        if delete_tracks:
            print(f"would delete up to {counted(tracks, 'track')}")
        return 0

    def show_result(self, removed: int, asked: Withdrawal) -> None:
        """Show what was done, and what stays."""
        counts = self._ledger.count_holds(self._scope)
        self._show_staying(counts)
        if self._json:
            done = msgspec.to_builtins(asked)
            self._print_json({"removed": removed, **done, "stay": counts})
            return
        for count, noun, done in (
            (asked.cancelled, "job", "cancelled"),
            (asked.tracks_deleted, "track", "deleted"),
            (asked.tracks_kept, "track", "kept"),
        ):
            if count:
                print(f"{counted(count, noun)} {done}")
        print(f"removed {counted(removed, 'row')}{_staying(counts)}")
        if not (removed or counts):
            print("no row is in that selection")
        if removed:
            print("A manifest that lists them brings them back when it is run again.")

    def _show_staying(self, counts: Mapping[Hold, int]) -> None:
        for hold, count in counts.items():
            keys = self._ledger.held_keys(self._scope, hold)
            for key, job_id in itertools.islice(keys, MAX_LISTED):
                self.print(f"stays, {_REASONS[hold]}: {key}{f' (job {job_id})' if job_id else ''}")
            if count > MAX_LISTED:
                self.print(f"stays, {_REASONS[hold]}: ... and {count - MAX_LISTED:,} more")

    def _print_json(self, shown: dict[str, Any]) -> None:
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")


def _staying(counts: Mapping[Hold, int]) -> str:
    """Return `; 3 stay: 2 done, 1 with a running job`, with what to do about them."""
    if not counts:
        return ""
    listed = ", ".join(f"{count:,} {_REASONS[hold]}" for hold, count in counts.items())
    hints = [_HINTS[hold] for hold in counts if hold in _HINTS]
    return f"; {sum(counts.values()):,} stay: {listed}{''.join(f'. {hint}' for hint in hints)}"


def _confirm(count: int, out: Path) -> None:
    """Ask on a terminal whether tracks may be deleted.

    Raises:
        UsageError: No, or there is no terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            "--delete-tracks deletes text tracks from your assets",
            hint="Without a terminal, confirm with --yes. To see what would happen: --dry-run",
        )
    question = (
        f"Delete the text tracks of up to {count:,} captions? The files in {out} stay. [y/N] "
    )
    print(printable(question), end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise UsageError("not confirmed; nothing was changed")


def _ask_providers(
    ledger: Ledger,
    scope: ForgetScope,
    settings: Settings,
    view: _View,
    *,
    cancel: bool,
    tracks: bool,
    sandbox: bool,
) -> Withdrawal:
    """Cancel jobs and delete tracks, as far as that is asked for."""
    needed = {Hold.UNKNOWN, Hold.RUNNING} if cancel else set()
    needed |= {Hold.DONE, Hold.PAID} if tracks else set()
    if not needed & ledger.count_holds(scope).keys():
        return Withdrawal()
    names = ledger.providers_with_jobs()

    async def work() -> Withdrawal:
        async with AsyncExitStack() as stack:
            environment = await stack.enter_async_context(
                provider_environment(settings.out, sandbox=sandbox)
            )
            providers = await stack.enter_async_context(
                open_providers(settings, ledger, names, environment, log.logged, sandbox=sandbox)
            )
            forgetter = Forgetter(
                ledger, providers, scope, view.print, settle=settings.settle, now=time.time
            )
            if cancel:
                await forgetter.cancel()
            if tracks:
                await forgetter.remove_tracks()
            return forgetter.result

    return run_async(work)
