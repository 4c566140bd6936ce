"""Results as CSV and JSON, with hostile cells."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import Row
from batchcap.reports.export import as_csv, as_json
from batchcap.storage.ledger import open_ledger

EVIL = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://x")', "<b>x</b>"]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerReader]:
    rows = [
        Row(
            key=f"k{number}",
            provider="heygen",
            source_id=f"{text}-{number}",
            language=None,
            path=f"{number}.vtt",
            meta={"note": text, "n": number, "list": [1, 2]},
        )
        for number, text in enumerate(EVIL)
    ]
    with closing(open_ledger(tmp_path, create=True)) as ledger:
        ledger.import_rows([("m", rows)], skip_invalid=False)
        yield ledger


def test_csv_cell_is_never_a_formula(ledger: LedgerReader) -> None:
    records = list(csv.reader(io.StringIO("".join(as_csv(ledger)), newline="")))
    assert len(records) == len(EVIL) + 1
    for record in records:
        assert not [cell for cell in record if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_csv_keeps_every_cell(ledger: LedgerReader) -> None:
    records = list(csv.DictReader(io.StringIO("".join(as_csv(ledger)), newline="")))
    assert [record["meta.note"].removeprefix("'") for record in records] == EVIL
    assert records[3]["meta.n"] == "3"
    assert records[0]["meta.list"] == "[1,2]"
    assert {record["state"] for record in records} == {"pending"}


def test_json_holds_results_and_totals(ledger: LedgerReader) -> None:
    report = json.loads("".join(as_json(ledger)))
    assert report["totals"]["pending"] == len(EVIL)
    assert [result["meta"]["note"] for result in report["rows"]] == EVIL
