"""docs/quality.md describes every finding, and says which are errors."""

from __future__ import annotations

import re
from pathlib import Path

from batchcap.domain.quality import ERRORS, Finding

PAGE = (Path(__file__).parents[3] / "docs" / "quality.md").read_text()


def test_findings_are_described_in_their_order() -> None:
    described = re.findall(r"^\| `(\w+)` \| (yes)? ?\| (?:is|has) ", PAGE, re.MULTILINE)
    assert [kind for kind, _ in described] == [*Finding]
    assert {kind for kind, error in described if error} == ERRORS
