"""`batchcap plan --check`: reads the account, with a progress line on stderr."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from batchcap.app.account_check import CheckResult, check_account
from batchcap.app.providers import open_providers
from batchcap.cli import log
from batchcap.cli.options import OutputOptions
from batchcap.cli.runtime import provider_environment, run_async
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
        async with AsyncExitStack() as stack:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="batchcap-plan-"))
            out = settings.out if file(settings.out).exists() else Path(place)
            environment = await stack.enter_async_context(
                provider_environment(out, sandbox=sandbox and bool(names))
            )
            providers = await stack.enter_async_context(
                open_providers(settings, ledger, names, environment, on_event, sandbox=sandbox)
            )
            return await check_account(ledger, providers, on_progress)

    try:
        return run_async(check)
    finally:
        line.end()
