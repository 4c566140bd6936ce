"""`batchcap forget`: take back rows that were not paid for."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from batchcap.app.forget import Forgetter, Withdrawal
from batchcap.app.providers import check_origins
from batchcap.cli import log
from batchcap.cli.configuration.environment import environment
from batchcap.cli.forget_view import MAX_LISTED, ForgetView
from batchcap.cli.options import Out, RequestOptions, SandboxFlag
from batchcap.cli.runtime import opened_providers, run_async
from batchcap.domain.errors import UsageError
from batchcap.domain.forgetting import ForgetScope, Hold
from batchcap.domain.ledger_protocols import Ledger, LedgerReader
from batchcap.domain.settings import Settings
from batchcap.domain.text import counted, printable
from batchcap.reports import results
from batchcap.storage.ledger import Lock, open_ledger, open_reader, require

_ROWS = Group("Rows")


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
    request_options: RequestOptions = RequestOptions(),  # noqa: B008  # frozen
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object.")] = False,
    log_file: Annotated[Path | None, Parameter(help="Log every step into a file.")] = None,
) -> int:
    """Take back rows that were not paid for."""
    log.set_up(verbose=False, log_file=log_file)
    settings = request_options.settings(out, sandbox=sandbox, settle=settle)
    require(out)
    if dry_run:
        with closing(open_reader(out)) as reader:
            view = ForgetView(reader, rows.scope(reader), json=json)
            keeps_rows = _keeps_rows(cancel, delete_tracks)
            return view.show_plan(cancel=cancel, tracks=delete_tracks, keeps_rows=keeps_rows)
    with Lock(out), closing(open_ledger(out)) as ledger:
        check_origins(ledger, environment(), settings, sandbox=sandbox)
        scope = rows.scope(ledger)
        view = ForgetView(ledger, scope, json=json)
        if delete_tracks and not yes:
            _confirm(view.count_tracks(), out)
        asked = _ask_providers(
            ledger, scope, settings, view, cancel=cancel, tracks=delete_tracks, sandbox=sandbox
        )
        removed = 0 if _keeps_rows(cancel, delete_tracks) else ledger.forget(scope)
        results.write_results(ledger, out)
        view.show_result(removed, asked)
        return 3 if asked.unavailable else 0


def _keeps_rows(cancel: bool, delete_tracks: bool) -> bool:  # two options
    """Return whether only tracks are to be deleted."""
    return delete_tracks and not cancel


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
    captions = counted(count, "caption")
    question = f"Delete the text tracks of up to {captions}? The files in {out} stay. [y/N] "
    print(printable(question), end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise UsageError("not confirmed; nothing was changed")


def _ask_providers(
    ledger: Ledger,
    scope: ForgetScope,
    settings: Settings,
    view: ForgetView,
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
        async with opened_providers(
            settings, ledger, names, log.logged, sandbox=sandbox
        ) as providers:
            forgetter = Forgetter(
                ledger, providers, scope, view.print, settle=settings.settle, now=time.time
            )
            if cancel:
                await forgetter.cancel()
            if tracks:
                await forgetter.remove_tracks()
            return forgetter.result

    return run_async(work)
