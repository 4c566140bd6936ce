"""`batchcap plan --check`: reads the account, with a progress line on stderr."""

from __future__ import annotations

import tempfile
from pathlib import Path

from batchcap.app.account_check import CheckResult, check_account
from batchcap.cli import log
from batchcap.cli.options import OutputOptions
from batchcap.cli.runtime import opened_providers, run_async
from batchcap.cli.status_line import StatusLine
from batchcap.domain.events import Event, Warned
from batchcap.domain.ledger_protocols import Ledger
from batchcap.domain.settings import Settings
from batchcap.storage.ledger import file


def check_before_run(
    ledger: Ledger, settings: Settings, output: OutputOptions, *, sandbox: bool
) -> CheckResult:
    """Ask the providers about the pending rows of a scratch ledger.

    Raises:
        FatalError: A credential is missing or refused.
    """
    names = ledger.providers_with_pending()
    total = sum(ledger.pending_by_manifest().values())
    line = StatusLine(quiet=output.quiet or output.no_progress)

    def on_progress(result: CheckResult) -> None:
        if line.is_due:
            line.update(f"{result.checked:,} of {total:,} captions checked in the account")

    def on_event(event: Event) -> None:
        log.logged(event)
        if isinstance(event, Warned):
            line.print(f"warning: {event.message}")

    async def check() -> CheckResult:
        with tempfile.TemporaryDirectory(prefix="batchcap-plan-") as folder:
            place = settings.out if file(settings.out).exists() else Path(folder)
            async with opened_providers(
                settings, ledger, names, on_event, sandbox=sandbox, place=place
            ) as providers:
                return await check_account(ledger, providers, on_progress)

    try:
        return run_async(check)
    finally:
        line.end()
