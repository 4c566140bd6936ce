"""What was found in captions, for the end of a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import FindingCount
from batchcap.domain.settings import Settings

MAX_KINDS = 5


def finding_counts(ledger: LedgerReader, settings: Settings) -> dict[str, FindingCount] | None:
    """Return the findings in the captions of the ledger by kind; None if none are looked for."""
    return None if settings.quality is None else ledger.findings()


def finding_lines(counts: Mapping[str, FindingCount] | None, out: Path) -> Iterator[str]:
    """Yield the counts as a line, with the command that names each finding."""
    if counts is None:
        return
    if not counts:
        yield "quality: nothing was found"
        return
    most = sorted(counts.items(), key=lambda item: (-item[1].captions, item[0]))
    kinds = [f"{kind} in {count.captions:,}" for kind, count in most[:MAX_KINDS]]
    more = f" and {len(most) - MAX_KINDS} more kinds" if len(most) > MAX_KINDS else ""
    command = f"batchcap check {shlex.quote(str(out))}"
    yield f"quality: captions with {', '.join(kinds)}{more}. To see each: {command}"
