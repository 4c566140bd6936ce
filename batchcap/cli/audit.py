"""`batchcap audit`: compare the ledger with the provider's list of jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from batchcap.app.audit import UNKNOWN, Audit, DoubleCharge
from batchcap.app.audit import audit as compare_with_provider
from batchcap.app.read_only_store import ReadOnlyStore
from batchcap.cli import log
from batchcap.cli.options import Out, RequestOptions, SandboxFlag
from batchcap.cli.runtime import opened_providers, run_async
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.protocols import JobHistory
from batchcap.domain.settings import Settings
from batchcap.domain.text import printable
from batchcap.storage.ledger import Lock, open_reader


def audit(
    *,
    out: Out = Path("captions"),
    sandbox: SandboxFlag = False,
    request_options: RequestOptions = RequestOptions(),  # noqa: B008  # frozen
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object.")] = False,
) -> int:
    """Compare the ledger with the provider: every paid job, any caption paid for twice."""
    log.set_up(verbose=False, log_file=None)
    settings = request_options.settings(out, sandbox=sandbox)
    with closing(open_reader(out)) as ledger:
        result = _audit(ledger, settings, sandbox=sandbox)
    if Lock.holder(out):
        print("a run is working: its latest jobs may be missing here", file=sys.stderr)
    if json:
        shown = {**msgspec.to_builtins(result), "states": result.states()}
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    else:
        print("\n".join(_lines(result)))
    return 1 if result.paid_twice else 3 if result.unchecked else 0


def _audit(ledger: LedgerReader, settings: Settings, *, sandbox: bool) -> Audit:
    names = ledger.providers_with_jobs()

    async def compare() -> Audit:
        store = ReadOnlyStore(ledger)
        async with opened_providers(
            settings, store, names, log.logged, sandbox=sandbox
        ) as providers:
            histories = {
                name: provider
                for name, provider in providers.items()
                if isinstance(provider, JobHistory)
            }
            return await compare_with_provider(ledger, histories)

    return run_async(compare)


def _lines(result: Audit) -> Iterator[str]:
    """Yield every exception on a line of its own, then the totals."""
    for caption in result.paid_twice:
        yield f"paid twice: {printable(caption.key)}: {_jobs_of(caption)}"
    for job in result.jobs:
        if job.state == UNKNOWN:
            yield f"unknown: {printable(job.key)}: the provider does not have job {job.job_id}"
    for create in result.unanswered_creates:
        candidates = f"; it may be {' or '.join(create.jobs)}" if create.jobs else ""
        yield f"unanswered: {printable(create.key)}: a create without a response{candidates}"
    for message in result.unchecked:
        yield f"not checked: {printable(message)}"
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(result.states().items()))
    yield f"{len(result.jobs):,} paid jobs{': ' if states else ''}{states}"
    yield f"{result.units_consumed:,} units consumed ({result.units_in_ledger:,} in the ledger)"
    twice = f"{len(result.paid_twice):,}" if result.paid_twice else "none"
    yield f"{result.captions:,} captions, {twice} of them paid for twice."


def _jobs_of(caption: DoubleCharge) -> str:
    return ", ".join(
        f"{job.job_id} ({job.state}, {job.owner}, {job.units} units)" for job in caption.jobs
    )
