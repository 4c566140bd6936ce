"""What a run says before it asks a provider for anything."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from batchcap.app.forecast import Expectation, expect
from batchcap.app.sources import missing_sources
from batchcap.cli.manifests import printable_name
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.settings import Settings
from batchcap.domain.text import counted
from batchcap.providers import PROVIDERS
from batchcap.reports.local_time import local_time
from batchcap.reports.results import duration

_SIMULATED_ROWS = 200
"""Rows of a provider that are simulated for the time: a run must not begin late for it."""


def announcement(
    ledger: LedgerReader, settings: Settings, manifests: Sequence[str] | None, *, sandbox: bool
) -> Iterator[str]:
    """Yield what a run is about to do, in a line; in another one, whose rows beside `manifests`."""
    expected = expect(
        ledger, settings, sandbox=sandbox, most_rows=_SIMULATED_ROWS, with_sources=False
    )
    yield from _sources(ledger, settings)
    if not expected.rows:
        return
    seconds = expected.forecast.seconds.likely
    yield (
        f"to do: {counted(expected.rows, 'caption')}, {_jobs(expected)}; it takes about "
        f"{duration(seconds)}, until {local_time(time.time() + seconds)}"
    )
    if manifests is None:
        return
    names = {printable_name(name) for name in manifests}
    earlier = {
        name: count for name, count in ledger.pending_by_manifest().items() if name not in names
    }
    if earlier:
        listed = ", ".join(f"{name} {count:,}" for name, count in earlier.items())
        rows = counted(sum(earlier.values()), "pending row")
        yield f"that includes {rows} of earlier manifests: {listed}"


def _sources(ledger: LedgerReader, settings: Settings) -> Iterator[str]:
    if sources := sum(missing_sources(ledger, settings).values()):
        yield f"source captions to fetch: {sources:,} (--fetch-sources)"


def _jobs(expected: Expectation) -> str:
    if not expected.creates:
        return "without a new job"
    text = f"with {counted(expected.creates, 'new job')}"
    for work in expected.workloads:
        rule = PROVIDERS[work.provider].track_rule
        if work.published and rule is not None:
            text += f"; {counted(work.published, 'job')} will publish: each {rule.published}"
    return text
