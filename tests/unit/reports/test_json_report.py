"""The results as one JSON object."""

from __future__ import annotations

import json
from pathlib import Path

from batchcap.domain.models import Row
from batchcap.reports.json_report import as_json
from tests.harness.ledgers import ended, ledger_of

NOTES = ["=1+1", "a\u2028b\u0085c", '"', "<b>"]


def test_json_holds_results_and_totals(tmp_path: Path) -> None:
    rows = [
        Row(
            key=f"k{number}",
            provider="p",
            source_id=f"s{number}",
            language="es",
            path=f"{number}.vtt",
            meta={"note": note},
        )
        for number, note in enumerate(NOTES)
    ]
    with ledger_of(tmp_path, rows, {"k1": ended()}) as ledger:
        text = "".join(as_json(ledger))
        results = list(ledger.results())
    report = json.loads(text)
    assert (report["totals"]["done"], report["totals"]["pending"]) == (1, 3)
    assert report["rows"] == results
    assert [result["meta"]["note"] for result in report["rows"]] == NOTES
    assert not {"\u2028", "\u0085", "\ufeff"} & set(text)
