"""The end of a run that checked captions."""

from __future__ import annotations

from pathlib import Path

import msgspec

from batchcap.cli.quality_summary import finding_counts, finding_lines
from batchcap.domain.models import FindingCount
from batchcap.domain.quality import QualitySettings
from batchcap.domain.settings import Settings
from tests.harness.ledgers import ended, ledger_of
from tests.harness.rows import CAPTION, mux_row

OUT = Path("my captions")


def test_finding_counts_are_those_of_the_ledger_if_captions_are_checked(tmp_path: Path) -> None:
    rows = [mux_row("film", "es"), mux_row("film", "ja"), mux_row("clip")]
    outcomes = {
        row.key: msgspec.structs.replace(
            ended(), caption=msgspec.structs.replace(CAPTION, quality=quality)
        )
        for row, quality in zip(rows, [{"empty": 2}, {"empty": 1, "overlap": 4}, {}], strict=True)
    }
    settings = Settings(out=tmp_path)
    with ledger_of(tmp_path, rows, outcomes) as ledger:
        assert finding_counts(ledger, settings) is None
        checked = msgspec.structs.replace(settings, quality=QualitySettings())
        counts = finding_counts(ledger, checked)
    assert counts == {"empty": FindingCount(3, 2), "overlap": FindingCount(4, 1)}
    assert [*finding_lines(counts, OUT)] == [
        "quality: captions with empty in 2, overlap in 1. To see each: batchcap check 'my captions'"
    ]


def test_finding_lines_name_a_few_kinds() -> None:
    counts = {f"kind{number}": FindingCount(9, number) for number in range(1, 8)}
    (line,) = finding_lines(counts, OUT)
    assert line.startswith("quality: captions with kind7 in 7, kind6 in 6, ")
    assert "kind3 in 3 and 2 more kinds" in line


def test_finding_lines_of_good_captions_and_of_no_check() -> None:
    assert [*finding_lines({}, OUT)] == ["quality: nothing was found"]
    assert [*finding_lines(None, OUT)] == []
