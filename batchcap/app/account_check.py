"""Asks providers, before a run, what it would find for each row that has no job yet.

The answers go into the ledger, which is a copy that is thrown away, so that the plan counts
only what is left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from batchcap.domain.errors import BatchcapError, RowError, RowSkipped, Unavailable
from batchcap.domain.ledger_protocols import Ledger
from batchcap.domain.models import Failure, Job, JobState, Outcome, Row, RowState
from batchcap.domain.protocols import AccountCheck, Finding, Provider

EXISTS, TO_CREATE, RUNNING = "exists", "to_create", "not_ready"
"""What was found, beside the error codes of results.jsonl."""

_PAGE = 1000
_MAX_EXAMPLES = 3


class CheckResult(msgspec.Struct):
    """What was found, by kind: how many rows, and the first few as "key: message"."""

    counts: dict[str, int] = {}
    examples: dict[str, list[str]] = {}

    @property
    def checked(self) -> int:
        """The rows that were asked about."""
        return sum(self.counts.values())

    def add(self, row: Row, kind: str, message: str) -> None:
        """Count a row."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < _MAX_EXAMPLES:
            examples.append(f"{row.key}: {message}" if message else row.key)


async def check_account(
    ledger: Ledger,
    providers: Mapping[str, Provider],
    on_progress: Callable[[CheckResult], None],
) -> CheckResult:
    """Check the pending rows that have no job, by GETs alone, and record what was found.

    A row that would fail or be skipped is recorded as that, one whose caption exists as having
    a completed job. Memory grows with the rows, by some 1 kB each.

    Raises:
        FatalError: A provider refuses the credentials.
    """
    result = CheckResult()
    for name, provider in providers.items():
        if not isinstance(provider, AccountCheck):
            continue
        findings: list[tuple[Row, Finding]] = []
        rows = await _rows_without_job(ledger, name)
        await provider.check_rows(rows, partial(_note, result, findings, on_progress))
        for row, finding in findings:
            await _record(ledger, row, finding)
    await ledger.drain()
    return result


async def _rows_without_job(ledger: Ledger, provider: str) -> list[Row]:
    rows: list[Row] = []
    after = 0
    while page := await ledger.pending(provider, after, _PAGE):
        after = page[-1].row.number
        rows += (
            pending.row
            for pending in page
            if pending.history.intent_at is None and not pending.history.was_completed
        )
    return rows


def _note(
    result: CheckResult,
    findings: list[tuple[Row, Finding]],
    on_progress: Callable[[CheckResult], None],
    row: Row,
    finding: Finding,
) -> None:
    """Count what was found for a row. A `protocols.OnChecked` but for the first three."""
    result.add(row, *_kind(finding))
    findings.append((row, finding))
    on_progress(result)


def _kind(finding: Finding) -> tuple[str, str]:
    """Return the kind of a finding and its message."""
    match finding:
        case None:
            return TO_CREATE, ""
        case Job(state=JobState.RUNNING):
            return RUNNING, ""
        case Job():
            return EXISTS, ""
        case RowError():
            return finding.code, finding.message
        case Unavailable():
            return "unavailable", finding.message
        case _:
            return EXISTS, finding.message


async def _record(ledger: Ledger, row: Row, finding: Finding) -> None:
    """Record a finding as if a run had come to it."""
    match finding:
        case Job(state=JobState.COMPLETED) if row.target:
            await ledger.record_intent(row)
            await ledger.record_job(row, finding.id or f"track {finding.track}")
        case RowError() | RowSkipped():
            await ledger.record_outcome(row, _ended(finding))
        case _:
            pass


def _ended(error: BatchcapError) -> Outcome:
    """Return how a row ends with an error; the times of a plan do not matter."""
    failure = None
    if isinstance(error, RowError):
        failure = Failure(error.code, error.message, error.retryable)
    state = RowState.FAILED if failure else RowState.SKIPPED
    return Outcome(state=state, started_at=0.0, finished_at=0.0, failure=failure)
