"""`batchcap verify --rebuild MANIFEST...`: a lost or damaged ledger made anew."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path

import msgspec

from batchcap import assembly, log, report
from batchcap.cli.options import ManifestOptions, ScreenOptions
from batchcap.cli.run import sources
from batchcap.cli.session import command, ran, surroundings
from batchcap.errors import UsageError
from batchcap.ledger import (
    Lock,
    SqliteLedger,
    Totals,
    connect,
    doubt,
    file,
    kept_as,
    paying,
    replaced,
    take_in,
    totals,
)
from batchcap.log import printable
from batchcap.rebuilding import Rebuilt, look_up, take_files
from batchcap.settings import Settings

_SHOWN = 20


def rebuilt(
    manifests: Sequence[str],
    settings: Settings,
    reading: ManifestOptions,
    screen: ScreenOptions,
    *,
    sandbox: bool,
) -> int:
    """Rebuild, and say what came of it; returns the exit status.

    3 where the provider could not be asked about every caption. Where anything is
    raised, the old ledger is as it was.
    """
    if not manifests:
        raise UsageError(
            "--rebuild needs the manifest", hint="batchcap verify --rebuild videos.csv"
        )
    out, found = settings.out, Rebuilt()
    with Lock(out):
        aside = kept_as(out) if file(out).exists() else None
        with replaced(out) as connection:
            take_in(connection, sources(manifests, reading), skip_invalid=reading.skip_invalid)
            _settle(connection, settings, screen, found, sandbox=sandbox)
            take_files(connection, out, found)
        with closing(connect(out, create=False)) as connection:
            report.write_results(connection, out)
            standing = totals(connection)
    _tell(found, aside, quiet=screen.quiet)
    if screen.json:
        shown = {"kept": str(aside) if aside else None, **msgspec.to_builtins(found)}
        shown |= msgspec.to_builtins(standing)
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    else:
        print(_last_line(found, standing, out, sandbox=sandbox))
    return 3 if found.unasked else 0


def _settle(
    connection: sqlite3.Connection,
    settings: Settings,
    screen: ScreenOptions,
    found: Rebuilt,
    *,
    sandbox: bool,
) -> None:
    """Look at the providers what an earlier ledger had them make."""
    begun = time.time()
    doubt(connection, begun)
    names = paying(connection)
    if not names:
        return
    if settings.settle and not screen.quiet:
        told = f"waiting {settings.settle:.0f} s: a create that just left may arrive (--settle)"
        print(told, file=sys.stderr)

    async def asked() -> None:
        ledger = SqliteLedger(connection, settings.out, now=time.time)
        async with AsyncExitStack() as stack:
            environment = await stack.enter_async_context(
                surroundings(settings.out, sandbox=sandbox)
            )
            providers = await stack.enter_async_context(
                assembly.asking(settings, ledger, names, environment, log.logged, sandbox=sandbox)
            )
            await look_up(ledger, providers, begun + settings.settle, time.time, found)

    ran(asked)


def _tell(found: Rebuilt, aside: Path | None, *, quiet: bool) -> None:
    if quiet:
        return
    for flaw in found.flawed[:_SHOWN]:
        print(f"not taken: {printable(flaw)}", file=sys.stderr)
    if found.flawed_files > _SHOWN:
        print(f"not taken: ... and {found.flawed_files - _SHOWN:,} more", file=sys.stderr)
    if aside is not None:
        print(f"the old ledger is kept as {aside}", file=sys.stderr)


def _last_line(found: Rebuilt, standing: Totals, out: Path, *, sandbox: bool) -> str:
    words = f"{standing.done:,} of {standing.total:,} captions are there"
    for count, what in (
        (found.jobs, "jobs found"),
        (standing.pending, "pending"),
        (standing.invalid, "invalid"),
        (found.unasked, "could not be asked after"),
    ):
        words += f", {count:,} {what}" if count else ""
    resume = command("resume", out, sandbox=sandbox)
    return f"{words}." + (f" {resume} goes on." if standing.pending else "")
