"""Sources whose captions could not be had, as the reports name them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from batchcap.domain.ledger_protocols import Ledger
from batchcap.domain.models import Row
from batchcap.reports.json_report import as_json
from batchcap.reports.markdown_report import MAX_SOURCE_FAILURES, as_markdown
from batchcap.storage.sources import SourceRecords
from tests.harness.ledgers import ledger_of
from tests.harness.rows import mux_row
from tests.unit.reports.test_markdown import HOSTILE, RENDERER


async def record(ledger: Ledger, out: Path, rows: Sequence[Row], reason: str) -> None:
    records = SourceRecords(ledger, out, "mux", lambda _params: "")
    async with ledger.recording(threads=False):
        for row in rows:
            records.add_failure(row, reason)


def reports(out: Path, rows: Sequence[Row], failing: Sequence[Row], reason: str) -> tuple[str, str]:
    """Return the report in JSON and in Markdown."""
    with ledger_of(out, rows) as ledger:
        asyncio.run(record(ledger, out, failing, reason))
        return "".join(as_json(ledger)), "".join(as_markdown(ledger, str))


def test_report_names_sources_without_captions_with_the_reason(tmp_path: Path) -> None:
    rows = [mux_row("film"), mux_row("clip")]
    text, markdown = reports(tmp_path, rows, rows[:1], "404 | no\u2028text")
    failure = {"provider": "mux", "source_id": "film", "reason": "404 | no\u2028text"}
    assert json.loads(text)["source_failures"] == [failure]
    assert markdown.endswith(
        "### Source captions that could not be had\n\n"
        "| provider | source | reason |\n"
        "| --- | --- | --- |\n"
        "| `mux` | `film` | `404 \\| no\\u2028text` |\n"
    )
    assert len(text.splitlines()) == 2


def test_report_without_such_sources_has_no_word_of_them(tmp_path: Path) -> None:
    text, markdown = reports(tmp_path, [mux_row("film")], [], "")
    assert json.loads(text)["source_failures"] == []
    assert "ource captions" not in markdown


def test_report_of_many_such_sources_counts_the_rest(tmp_path: Path) -> None:
    rows = [mux_row(f"film-{n}") for n in range(MAX_SOURCE_FAILURES + 5)]
    _, markdown = reports(tmp_path, rows, rows, "`|" * 500)
    assert markdown.endswith("And 5 more.\n")


def test_report_of_hostile_sources_shows_text(tmp_path: Path) -> None:
    rows = [mux_row(f"{n}{text}") for n, text in enumerate(HOSTILE)]
    _, markdown = reports(tmp_path, rows, rows[:MAX_SOURCE_FAILURES], HOSTILE[0])
    rendered = RENDERER.render(markdown[markdown.index("### Source captions") :])
    tags = {part.partition(">")[0].strip("/").split()[0] for part in rendered.split("<")[1:]}
    assert tags <= {"h3", "p", "table", "thead", "tbody", "tr", "th", "td", "code"}
