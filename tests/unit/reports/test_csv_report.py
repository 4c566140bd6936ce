"""The results as CSV, with hostile cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import InvalidRow, Row
from batchcap.reports.cells import ChangedCells, safe_cell
from batchcap.reports.csv_report import as_csv
from tests.harness.ledgers import failed, ledger_of

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
EVIL = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\n=1", '=HYPERLINK("http://x")', "<b>x</b>"]


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
    with ledger_of(tmp_path, rows) as ledger:
        yield ledger


def parsed(text: str, delimiter: str = ",") -> list[list[str]]:
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text[1:], newline=""), delimiter=delimiter))


def test_csv_cell_is_never_a_formula(ledger: LedgerReader) -> None:
    records = parsed("".join(as_csv(ledger)))
    assert len(records) == len(EVIL) + 1
    for record in records:
        assert not [cell for cell in record if cell.startswith(FORMULA)]


@given(st.text())
def test_safe_cell_is_the_text_or_the_text_after_a_quote(text: str) -> None:
    cell = str(safe_cell(text))
    assert cell in {text, f"'{text}"}
    assert not cell.startswith(FORMULA)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_keeps_every_cell(ledger: LedgerReader, delimiter: str) -> None:
    header, *records = parsed("".join(as_csv(ledger, delimiter=delimiter)), delimiter)
    rows = [dict(zip(header, record, strict=True)) for record in records]
    assert [row["meta.note"].removeprefix("'") for row in rows] == EVIL
    assert rows[3]["meta.n"] == "3"
    assert rows[0]["meta.list"] == "[1,2]"
    assert {row["state"] for row in rows} == {"pending"}


def test_csv_begins_with_a_byte_order_mark_and_ends_records_in_crlf(ledger: LedgerReader) -> None:
    data = "".join(as_csv(ledger)).encode()
    assert data.startswith(b"\xef\xbb\xbfkey,provider,")
    assert data.count(b"\xef\xbb\xbf") == 1
    assert data.count(b"\r\n") == len(EVIL) + 1
    assert data.endswith(b"\r\n")


def test_csv_names_code_and_place_of_rows_without_a_caption(tmp_path: Path) -> None:
    row = Row(key="a", provider="p", source_id="s", language="es", path="a.vtt")
    invalid = InvalidRow(line=7, message="no id", origin="m.csv:7")
    with ledger_of(tmp_path, [row, invalid], {"a": failed("bad_caption")}) as ledger:
        header, first, second = parsed("".join(as_csv(ledger)))
    wanted = ["state", "error.code", "error.message", "error.retryable", "file", "line"]
    places = [header.index(name) for name in wanted]
    assert [first[place] for place in places] == ["failed", "bad_caption", "why", "True", "", ""]
    assert [second[place] for place in places[:3]] == ["invalid", "invalid", "no id"]
    assert [second[place] for place in places[4:]] == ["m.csv", "7"]


@pytest.mark.parametrize(
    "text",
    ["007", "1234567890123456", "1E5", "1.5e3", "12e-7", "1-2", "3/4", "MAR1", "sept-2", "2 Dec"],
)
def test_changed_cells_counts_what_excel_reads_as_another_value(text: str) -> None:
    changed = ChangedCells()
    changed.look(text)
    assert (changed.count, changed.example) == (1, text)


@pytest.mark.parametrize(
    "value",
    ["0", "7", "123456789012345", "0x1F", "1E5x", "es", "2026-11-28", "MARS", "e5", "", 7, None],
)
def test_changed_cells_does_not_count_what_excel_keeps(value: object) -> None:
    changed = ChangedCells()
    changed.look(value)
    assert changed.count == 0


def test_csv_leaves_cells_as_they_are_and_counts_those_that_excel_changes(tmp_path: Path) -> None:
    rows = [
        Row(key=f"k{text}", provider="p", source_id=text, language=None, path=f"{text}.vtt")
        for text in ("007", "fine", "1E5")
    ]
    changed = ChangedCells()
    with ledger_of(tmp_path, rows) as ledger:
        header, *records = parsed("".join(as_csv(ledger, changed=changed)))
    place = header.index("source_id")
    assert [record[place] for record in records] == ["007", "fine", "1E5"]
    assert (changed.count, changed.example) == (2, "007")
