"""`batchcap plan MANIFEST...`: what a run would do, before anything is requested or paid."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from batchcap.app.plan import Planner
from batchcap.cli import log
from batchcap.cli.account_check import check_before_run
from batchcap.cli.choice_options import ChoiceOptions
from batchcap.cli.configuration.environment import environment
from batchcap.cli.manifests import open_manifests
from batchcap.cli.options import (
    ManifestOptions,
    Out,
    OutputOptions,
    RunOptions,
    SandboxFlag,
)
from batchcap.domain.errors import UsageError
from batchcap.domain.settings import Settings
from batchcap.domain.text import printable
from batchcap.reports import plan as report
from batchcap.storage.ledger import scratch_ledger

PLANNED, REFUSED = 0, 2


def plan(
    *manifests: Annotated[
        str, Parameter(help="CSV, JSON, JSONL or .xlsx; - reads standard input.")
    ],
    out: Out = Path("captions"),
    sandbox: SandboxFlag = False,
    check: Annotated[
        bool,
        Parameter(
            negative="",
            help="Read the account: what exists already, what is missing or not ready. "
            "Needs the keys; only reads.",
        ),
    ] = False,
    manifest_options: ManifestOptions = ManifestOptions(),  # noqa: B008  # frozen
    run_options: RunOptions = RunOptions(),  # noqa: B008  # frozen
    choice_options: ChoiceOptions = ChoiceOptions(),  # noqa: B008  # frozen
    output_options: OutputOptions = OutputOptions(),  # noqa: B008  # frozen
) -> int:
    """Show what a run would do, what it would cost, and when it would end."""
    if not manifests:
        raise UsageError("plan needs a manifest", hint="Like this: batchcap plan videos.csv")
    settings = choice_options.applied(run_options.settings(out, sandbox=sandbox))
    log.set_up(output_options.verbose, output_options.log_file)
    return show_plan(
        manifests, manifest_options, settings, output_options, sandbox=sandbox, check=check
    )


def show_plan(
    manifests: Sequence[str],
    options: ManifestOptions,
    settings: Settings,
    output: OutputOptions,
    *,
    sandbox: bool,
    check: bool = False,
) -> int:
    """Print the plan of a run; returns the exit status: 2 if the run would be refused.

    With `check`, the account is read first.

    Raises:
        UsageError: A manifest cannot be read.
        FatalError: A credential is missing or refused, or there is no temporary ledger.
    """
    names, notes = list(dict.fromkeys(manifests)), list[str]()
    with scratch_ledger(settings.out) as ledger:
        planner = Planner(
            ledger,
            settings,
            environment(),
            time.time(),
            sandbox=sandbox,
            skip_invalid=options.skip_invalid,
        )
        gc.disable()  # as in an import: rows make no reference cycles
        try:
            planner.read(open_manifests(names, options, notes.append))
        finally:
            gc.enable()
        account = check_before_run(ledger, settings, output, sandbox=sandbox) if check else None
        plan = planner.plan(notes, account)
        refused = next(planner.problems(), None) is not None
        if output.json:
            sys.stdout.writelines(report.as_json(plan, planner.problems()))
        else:
            _print(plan, planner)
    return REFUSED if refused else PLANNED


def _print(plan: report.Plan, planner: Planner) -> None:
    """Print a plan for a person: problems first, on stderr, since they come first."""
    problems = list(planner.problem_lines())
    for line in problems:
        print(printable(line), file=sys.stderr)
    if problems:
        print("error: a run would be refused; invalid rows are not in this plan", file=sys.stderr)
    for line in report.as_lines(plan):
        print(printable(line))
    for note in plan.notes:
        print(f"note: {printable(note)}")
