"""`batchcap rebuild MANIFEST...`: a new ledger in place of a lost or damaged one."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from batchcap.app.providers import check_origins
from batchcap.app.rebuild import RebuildResult, adopt_files, find_jobs
from batchcap.cli import log
from batchcap.cli.command_lines import command_line
from batchcap.cli.configuration.environment import environment
from batchcap.cli.manifests import open_manifests
from batchcap.cli.options import ManifestOptions, Out, OutputOptions, RunOptions, SandboxFlag
from batchcap.cli.runtime import opened_providers, run_async
from batchcap.domain.errors import UsageError
from batchcap.domain.ledger_protocols import NewLedger
from batchcap.domain.models import Totals
from batchcap.domain.settings import Settings
from batchcap.domain.text import printable
from batchcap.reports import results
from batchcap.storage.ledger import Lock, backup_path, file, open_ledger, replacement

MAX_LISTED = 20
"""Skipped files that are listed by name."""


def rebuild(
    *manifests: Annotated[str, Parameter(help="The manifests of the run.")],
    out: Out = Path("captions"),
    sandbox: SandboxFlag = False,
    manifest_options: ManifestOptions = ManifestOptions(),  # noqa: B008  # frozen
    run_options: RunOptions = RunOptions(),  # noqa: B008  # frozen
    output_options: OutputOptions = OutputOptions(),  # noqa: B008  # frozen
) -> int:
    """Make a new ledger from manifests, files and provider, in place of a lost one.

    If anything fails, the old ledger stays as it is.
    """
    if not manifests:
        raise UsageError("rebuild needs the manifest", hint="batchcap rebuild videos.csv")
    settings = run_options.settings(out, sandbox=sandbox)
    log.set_up(output_options.verbose, output_options.log_file)
    result = RebuildResult()
    with Lock(out):
        backup = backup_path(out) if file(out).exists() else None
        with replacement(out) as ledger:
            check_origins(ledger, environment(), settings, sandbox=sandbox)
            opened = open_manifests(manifests, manifest_options)
            ledger.import_rows(opened, skip_invalid=manifest_options.skip_invalid)
            _find_jobs(ledger, settings, result, output_options, sandbox=sandbox)
            adopt_files(ledger, out, result)
        with closing(open_ledger(out)) as ledger:
            results.write_results(ledger, out)
            counts = ledger.totals()
    if not output_options.quiet:
        _print_details(result, backup)
    if output_options.json:
        shown = {"kept": str(backup) if backup else None, **msgspec.to_builtins(result)}
        shown |= msgspec.to_builtins(counts)
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    else:
        print(_last_line(result, counts, out, sandbox=sandbox))
    return 3 if result.unchecked else 0


def _find_jobs(
    ledger: NewLedger,
    settings: Settings,
    result: RebuildResult,
    options: OutputOptions,
    *,
    sandbox: bool,
) -> None:
    """Find the jobs at the providers that an earlier ledger knew."""
    started = time.time()
    ledger.mark_creates_unknown(started)
    names = ledger.providers_with_jobs()
    if not names:
        return
    if settings.settle and not options.quiet:
        print(
            f"waiting {settings.settle:.0f} s for creates still in flight (--settle)",
            file=sys.stderr,
        )

    async def ask_providers() -> None:
        async with opened_providers(
            settings, ledger, names, log.logged, sandbox=sandbox
        ) as providers:
            await find_jobs(ledger, providers, started + settings.settle, time.time, result)

    run_async(ask_providers)


def _print_details(result: RebuildResult, backup: Path | None) -> None:
    """Print on stderr which files were not used, and where the old ledger is."""
    for problem in result.bad_files[:MAX_LISTED]:
        print(f"skipped: {printable(problem)}", file=sys.stderr)
    if result.bad_file_count > MAX_LISTED:
        print(f"skipped: ... and {result.bad_file_count - MAX_LISTED:,} more", file=sys.stderr)
    if backup is not None:
        print(f"the old ledger is kept as {backup}", file=sys.stderr)


def _last_line(result: RebuildResult, counts: Totals, out: Path, *, sandbox: bool) -> str:
    text = f"{counts.done:,} of {counts.total:,} captions are complete"
    for count, label in (
        (result.jobs, "jobs found"),
        (counts.pending, "pending"),
        (counts.invalid, "invalid"),
        (result.unchecked, "not checked"),
    ):
        text += f", {count:,} {label}" if count else ""
    if counts.pending:
        return f"{text}. To continue: {command_line('resume', out, sandbox=sandbox)}"
    return f"{text}."
