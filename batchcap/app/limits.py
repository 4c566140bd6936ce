"""Holds a run to the user's limits of units and time: before the start, and while it works."""

from __future__ import annotations

import time
from collections.abc import Callable

from batchcap.app.forecast import Expectation, expect, job_lengths
from batchcap.domain.errors import UsageError
from batchcap.domain.ledger_protocols import Ledger, LedgerReader
from batchcap.domain.models import Row
from batchcap.domain.settings import Limits, Settings
from batchcap.engine import UnitBudget
from batchcap.providers import PROVIDERS
from batchcap.reports.local_time import local_time


def passed_limits(expected: Expectation, limits: Limits, now: float) -> list[tuple[str, str]]:
    """Return each option whose limit the run would pass, with what to expect instead."""
    passed = []
    if limits.deadline is not None:
        seconds = expected.forecast.seconds.likely
        if expected.creates:  # creating stops a typical job before the deadline
            seconds = max(seconds, expected.lengths.quantile(0.5))
        if expected.rows and now + seconds > limits.deadline:
            text = f"the run would end about {local_time(now + seconds)}, after the deadline"
            passed.append((f"--deadline {local_time(limits.deadline)}", text))
    units, most = expected.units, limits.max_units
    if units is not None and most is not None and units.low > most:
        text = f"the run would cost about {units.low:,.6g} units, {expected.units_reason}"
        passed.append((f"--max-units {most:,.6g}", text))
    return passed


def choose_rows(ledger: Ledger, settings: Settings) -> int | None:
    """Choose the rows that the user selected; return how many, None if all pending rows are.

    Raises:
        UsageError: A filter has a column that no pending row has.
    """
    return None if settings.selection.is_everything else ledger.choose(settings.selection)


def check_limits(
    ledger: LedgerReader,
    settings: Settings,
    *,
    sandbox: bool,
    now: Callable[[], float] = time.time,
) -> None:
    """Check that a run of the chosen rows keeps the limits, by a forecast if there are any.

    Raises:
        UsageError: A limit would be passed.
    """
    if not settings.limits.is_set:
        return
    expected = expect(ledger, settings, sandbox=sandbox)
    if passed := passed_limits(expected, settings.limits, now()):
        raise UsageError(
            "\n".join(f"{option}: {text}" for option, text in passed),
            hint="Take fewer rows with --limit or --filter, or raise the limit. "
            "batchcap plan MANIFEST shows what to expect.",
        )


def create_until(ledger: LedgerReader, settings: Settings, *, sandbox: bool) -> float | None:
    """Return when to stop creating jobs (unix seconds), so that a typical one ends in time."""
    if settings.limits.deadline is None:
        return None
    typical = [
        job_lengths(ledger, name, sandbox=sandbox)[0].quantile(0.5)
        for name, spec in PROVIDERS.items()
        if spec.creates_jobs
    ]
    return settings.limits.deadline - max(typical, default=0.0)


def unit_budget(limits: Limits) -> UnitBudget | None:
    """Return the units that the jobs of a run may cost together, None if there is no limit."""
    if limits.max_units is None:
        return None

    def expected(row: Row) -> float | None:
        return None if limits.unit_cost is None else limits.unit_cost.of(row.meta)

    return UnitBudget(limits.max_units, expected)
