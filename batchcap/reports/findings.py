"""What was found in captions, for the formats of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from batchcap.domain.models import FindingCount


def findings_text(quality: Mapping[str, int] | None) -> str | None:
    """Return the findings of one caption as text: "none", or None if nobody looked."""
    if quality is None:
        return None
    return ", ".join(f"{count} {kind}" for kind, count in quality.items()) or "none"


class FindingCounts:
    """Counts the findings of all results by kind."""

    def __init__(self) -> None:
        self.checked = 0
        self._findings: Counter[str] = Counter()
        self._captions: Counter[str] = Counter()

    def add(self, result: Mapping[str, Any]) -> None:
        """Count those of one more result, if its caption was checked."""
        quality = result.get("quality")
        if quality is not None:
            self.checked += 1
            self._findings.update(quality)
            self._captions.update(quality.keys())

    def by_kind(self) -> dict[str, FindingCount]:
        """Return the counts, those that are in most captions first."""
        return {
            kind: FindingCount(self._findings[kind], captions)
            for kind, captions in self._captions.most_common()
        }
