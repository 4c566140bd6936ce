"""`batchcap audit`: ledger against provider."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from batchcap.cli.options import Out, SandboxFlag, WorkOptions

if TYPE_CHECKING:
    from batchcap.auditing import Audit, Twice
    from batchcap.settings import Settings


def audit(
    *,
    out: Out = Path("captions"),
    sandbox: SandboxFlag = False,
    rate: Annotated[
        list[str] | None, Parameter(negative="", help="BUCKET=N/s, N/min or none.")
    ] = None,
    headroom: Annotated[
        float, Parameter(help="Percent of every bucket left to other programs.")
    ] = 0.0,
    json: Annotated[bool, Parameter(negative="", help="As one JSON object.")] = False,
) -> int:
    """Compare the ledger with the provider: every job paid for, any caption paid for twice.

    Only asks. Exit status 1 where a caption is paid twice, 3 where the provider
    cannot be asked.
    """
    from batchcap import log
    from batchcap.ledger import Lock, damaged, read_only

    log.set_up(verbose=False, log_file=None)
    settings = WorkOptions(rate=rate or [], headroom=headroom).settings(out, sandbox=sandbox)
    try:
        with closing(read_only(out)) as connection:
            found = _audited(connection, settings, sandbox=sandbox)
    except sqlite3.Error as error:
        raise damaged(out, error) from None
    if Lock.holder(out):
        print("a run is at work: what it did meanwhile may be missing here", file=sys.stderr)
    if json:
        import msgspec

        shown = {**msgspec.to_builtins(found), "states": found.states()}
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    else:
        print("\n".join(_lines(found)))
    return 1 if found.paid_twice else 3 if found.unasked else 0


def _audited(connection: sqlite3.Connection, settings: Settings, *, sandbox: bool) -> Audit:
    from batchcap import assembly, auditing, log
    from batchcap.cli.session import ran, surroundings
    from batchcap.interfaces import Books
    from batchcap.ledger import Recollection, paying

    names = paying(connection)

    async def asked() -> Audit:
        async with AsyncExitStack() as stack:
            environment = await stack.enter_async_context(
                surroundings(settings.out, sandbox=sandbox and bool(names))
            )
            memory = Recollection(connection)
            providers = await stack.enter_async_context(
                assembly.asking(settings, memory, names, environment, log.logged, sandbox=sandbox)
            )
            books = {name: one for name, one in providers.items() if isinstance(one, Books)}
            return await auditing.audit(connection, books)

    return ran(asked)


def _lines(found: Audit) -> Iterator[str]:
    """What a person wants to know: the exceptions one by one, then the counts."""
    from batchcap.auditing import UNKNOWN
    from batchcap.log import printable

    for twice in found.paid_twice:
        yield f"paid twice: {printable(twice.key)}: {_twins(twice)}"
    for job in found.jobs:
        if job.state == UNKNOWN:
            yield f"unknown: {printable(job.key)}: the provider has no job {job.job_id} (any more)"
    for one in found.unanswered:
        there = f"; it may be {' or '.join(one.jobs)}" if one.jobs else ""
        yield f"unanswered: {printable(one.key)}: a create without an answer{there}"
    for message in found.unasked:
        yield f"not asked: {printable(message)}"
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(found.states().items()))
    yield f"{len(found.jobs):,} jobs paid for{': ' if states else ''}{states}"
    yield f"{found.units_consumed:,} units consumed ({found.units_in_ledger:,} by the ledger)"
    number = f"{len(found.paid_twice):,}" if found.paid_twice else "none"
    yield f"{found.captions:,} captions, {number} of them paid twice."


def _twins(twice: Twice) -> str:
    return ", ".join(
        f"{job.job_id} ({job.state}, {job.whose}, {job.units} units)" for job in twice.jobs
    )
