"""What became of the source captions of a run, for its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from batchcap.app.sources import missing_sources, offers_sources
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import Totals
from batchcap.domain.settings import Settings
from batchcap.reports.metrics import Metrics


def source_counts(
    ledger: LedgerReader, settings: Settings, metrics: Metrics
) -> dict[str, int] | None:
    """Return how many were downloaded and how many are missing; None if they are not wanted."""
    if not settings.fetch_sources:
        return None
    missing = missing_sources(ledger, settings)
    return {"downloaded": metrics.sources, "missing": sum(missing.values())}


def source_lines(totals: Totals, counts: Mapping[str, int] | None) -> Iterator[str]:
    """Yield the counts as a line, with the command for what is missing."""
    if counts is None:
        return
    text = f"source captions: {counts['downloaded']:,} downloaded"
    text += f", {counts['missing']:,} missing" if counts["missing"] else ", none is missing"
    if without := [name for name in totals.by_provider if not offers_sources(name)]:
        text += f"; {' and '.join(without)} offers none"
    yield f"{text}. To try again: batchcap resume --fetch-sources" if counts["missing"] else text
