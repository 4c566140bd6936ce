"""The results as a workbook, read back with openpyxl."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.utils.escape import unescape
from openpyxl.workbook import Workbook

from batchcap.domain.errors import UsageError
from batchcap.domain.language_names import named
from batchcap.domain.models import InvalidRow, Outcome, Row, RowState
from batchcap.reports import xlsx_report
from batchcap.reports.xlsx_report import write_xlsx
from tests.harness.ledgers import ended, failed, ledger_of

HOSTILE = [
    *("=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("http://x")', "http://evil.example"),
    *("007", "1E5", "1-2", "1234567890123456789", "TRUE", "<b>&amp;</b>", "_x0041_", "{=1}"),
    *("a\x00b", "a\x1fb", "\ufffe", "a\nb", " spaces ", "\U0001f600", "mailto:a@b", "\u202ex"),
]


def complete(command: str) -> str:
    return command.replace("resume", "resume -o out")


def row(source: str, language: str | None = "es", **changes: Any) -> Row:
    given = {
        "key": f"{source}:{language}",
        "provider": "p",
        "source_id": source,
        "language": language,
        "target": (language or "").lower(),
        "path": f"{source}.{language}.vtt",
    }
    return Row(**{**given, **changes})


def data_of(
    folder: Path,
    rows: list[Row | InvalidRow],
    outcomes: dict[str, Outcome | str] | None = None,
    place: str = "captions",
) -> bytes:
    file = io.BytesIO()
    with ledger_of(folder, rows, outcomes) as ledger:
        write_xlsx(ledger, file, place, complete)
    return file.getvalue()


def workbook(*arguments: Any, **more: Any) -> Workbook:
    return openpyxl.load_workbook(io.BytesIO(data_of(*arguments, **more)))


def records(book: Workbook, sheet: str) -> list[dict[str, Any]]:
    header, *rows = book[sheet].iter_rows(values_only=True)
    return [dict(zip(map(str, header), row, strict=True)) for row in rows]


def test_xlsx_has_numbers_as_numbers_and_times_as_dates_in_utc(tmp_path: Path) -> None:
    meta = {"n": 1.5, "yes": True, "big": 2**60, "list": [1], "none": None, "empty": ""}
    book = workbook(tmp_path, [row("a", meta=meta)], {"a:es": ended()})
    assert book.sheetnames == ["Results", "Coverage", "Failures"]
    [result] = records(book, "Results")
    assert result["started_at (UTC)"] == datetime(2026, 9, 21, 14, 13, 20)  # noqa: DTZ001  # Excel
    assert result["finished_at (UTC)"] == datetime(2026, 9, 21, 14, 13, 21, 500_000)  # noqa: DTZ001  # same
    assert (result["bytes"], result["cues"], result["state"]) == (40, 1, "done")
    assert (result["meta.n"], result["meta.yes"]) == (1.5, True)
    assert (result["meta.big"], result["meta.list"]) == (str(2**60), "[1]")
    assert (result["meta.none"], result["meta.empty"]) == (None, None)


def test_xlsx_keeps_every_text_as_text_and_has_no_formula(tmp_path: Path) -> None:
    rows = [
        row(text, text, key=f"{text}{n}", path=f"{n}.vtt", meta={"note": text})
        for n, text in enumerate(HOSTILE)
    ]
    outcomes = {one.key: failed(one.source_id, one.source_id) for one in rows}
    data = data_of(tmp_path, [*rows], {**outcomes})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sheets = [name for name in archive.namelist() if "worksheets/" in name]
        assert len(sheets) == 3
        for name in sheets:
            assert not re.search(rb"<f[ >]|<hyperlink", archive.read(name))
    book = openpyxl.load_workbook(io.BytesIO(data))
    for name in book.sheetnames:
        assert "f" not in {cell.data_type for line in book[name].iter_rows() for cell in line}
    for column in ("source_id", "language", "meta.note"):
        shown = [unescape(result[column]) for result in records(book, "Results")]
        assert shown == HOSTILE


def test_xlsx_links_files_that_are_done_relative_to_the_workbook(tmp_path: Path) -> None:
    names = {
        "a": "p/a b#c%20d.vtt",
        "b": "javascript:alert(1).vtt",
        "c": "c:x\\y.vtt",
        "d": "ü.vtt",
    }
    rows = [row(source, path=path) for source, path in names.items()]
    outcomes: dict[str, Outcome | str] = {
        one.key: ended() for one in rows if one.source_id in "abc"
    }
    book = workbook(tmp_path, [*rows], outcomes, place="../out put")
    column = [cell.value for cell in next(book["Results"].iter_rows())].index("path") + 1
    cells = [book["Results"].cell(number, column) for number in range(2, 6)]
    assert [cell.value for cell in cells] == list(names.values())
    targets = [cell.hyperlink.target if cell.hyperlink else None for cell in cells]
    assert targets == [
        r"..\out%20put\p\a%20b%23c%2520d.vtt",
        r"..\out%20put\javascript%3Aalert%281%29.vtt",
        r"..\out%20put\c%3Ax%5Cy.vtt",
        None,
    ]


@pytest.mark.parametrize("path", ["javascript:x.vtt", "c:x.vtt", "a", "ü.vtt"])
def test_xlsx_beside_the_captions_links_no_scheme_and_no_drive(tmp_path: Path, path: str) -> None:
    book = workbook(tmp_path, [row("a", path=path)], {"a:es": ended()}, place=".")
    (link,) = [cell.hyperlink for cell in book["Results"][2] if cell.hyperlink]
    assert link.target == path.replace(":", "%3A")


def test_xlsx_with_a_path_that_is_too_long_for_a_link_has_its_text(tmp_path: Path) -> None:
    path = "/".join(["ü" * 100] * 25)
    book = workbook(tmp_path, [row("a", path=path)], {"a:es": ended()})
    [result] = records(book, "Results")
    assert result["path"] == path


def test_xlsx_links_as_many_files_as_excel_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx_report, "MAX_LINKS", 2)
    rows = [row(source) for source in "abc"]
    book = workbook(tmp_path, [*rows], {one.key: ended() for one in rows})
    links = [bool(cell.hyperlink) for line in book["Results"] for cell in line if cell.hyperlink]
    assert len(links) == 2
    assert records(book, "Results")[2]["path"] == "c.es.vtt"


def test_xlsx_coverage_is_a_matrix_of_sources_and_languages(tmp_path: Path) -> None:
    rows = [
        *(row("007", language) for language in ("es", "ja", "fr", "de", "it")),
        row("b", "ja"),
        row("c", None),
    ]
    outcomes: dict[str, Outcome | str] = {
        "007:es": ended(),
        "007:ja": failed("bad_caption"),
        "007:fr": ended(RowState.SKIPPED),
        "007:de": "job-1",
    }
    book = workbook(tmp_path, [*rows], outcomes)
    sheet = book["Coverage"]
    assert [tuple(line) for line in sheet.iter_rows(values_only=True)] == [
        (
            "provider",
            "source_id",
            *map(str, map(named, ("de", "es", "fr", "it", "ja"))),
            "no language",
        ),
        ("p", "007", "running", "done", "skipped", "missing", "failed", None),
        ("p", "b", None, None, None, None, "missing", None),
        ("p", "c", None, None, None, None, None, "missing"),
    ]
    colors = {sheet.cell(2, column).fill.fgColor.rgb for column in range(3, 8)}
    assert len(colors) == 5


def test_xlsx_coverage_of_more_languages_than_columns_counts_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx_report, "MAX_COLUMNS", 25)
    rows = [row("a", f"l{number:02}") for number in range(30)]
    sheet = workbook(tmp_path, [*rows])["Coverage"]
    assert (sheet.cell(1, 25).value, sheet.max_column) == ("l22", 25)
    assert sheet.cell(4, 1).value == "7 more languages have no column here"


def test_xlsx_failures_say_what_to_do(tmp_path: Path) -> None:
    rows = [*map(row, "abc"), InvalidRow(line=9, message="no id", origin="m.csv:9")]
    outcomes: dict[str, Outcome | str] = {
        "a:es": failed("unavailable"),
        "b:es": failed("job_failed", "=boom", retryable=False),
        "c:es": failed("unavailable", "later"),
    }
    first, second, third = records(workbook(tmp_path, [*rows], outcomes), "Failures")
    assert (first["code"], first["captions"], first["can a retry help"]) == (
        "unavailable",
        2,
        "yes",
    )
    assert first["command"] == "batchcap resume -o out --retry-failed --only unavailable"
    assert (first["sample row"], first["its message"]) == ("a:es", "why")
    assert (second["code"], second["its place"]) == ("invalid", "m.csv:9")
    assert (third["can a retry help"], third["its message"]) == ("no", "=boom")


def test_xlsx_header_stays_in_view_and_filters(tmp_path: Path) -> None:
    book = workbook(tmp_path, [row("a"), row("b")])
    assert [book[name].freeze_panes for name in book.sheetnames] == ["B2", "C2", "B2"]
    assert book["Results"].auto_filter.ref == "A1:S3"
    assert book["Coverage"].auto_filter.ref == "A1:C3"
    assert book["Results"].column_dimensions["A"].width > 30


def test_xlsx_of_an_empty_ledger_has_three_sheets(tmp_path: Path) -> None:
    book = workbook(tmp_path, [])
    assert [book[name].max_row for name in book.sheetnames] == [1, 1, 1]


def test_xlsx_cuts_text_that_is_too_long_for_a_cell(tmp_path: Path) -> None:
    meta = {"a": "x" * 40_000, "b": "\U0001f600" * 20_000, "c": "y" * 32_767}
    [result] = records(workbook(tmp_path, [row("a", meta=meta)]), "Results")
    assert result["meta.a"] == "x" * 32_766 + "…"
    assert result["meta.b"] == "\U0001f600" * 16_383 + "…"
    assert result["meta.c"] == "y" * 32_767


@pytest.mark.parametrize(("limit", "message"), [("MAX_ROWS", "3 results"), ("MAX_COLUMNS", "19")])
def test_xlsx_of_more_than_a_sheet_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, message: str
) -> None:
    monkeypatch.setattr(xlsx_report, limit, 3)
    with pytest.raises(UsageError, match=f"^{message} .*sheet of Excel has 3 ") as caught:
        data_of(tmp_path, [*map(row, "abc")])
    assert "--format csv" in caught.value.hint


def test_xlsx_of_more_than_four_gigabytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    with pytest.raises(UsageError, match="larger than 4 GB"):
        data_of(tmp_path, [row("a")])


def test_xlsx_on_a_full_temporary_disk_raises_the_error_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "utime", full)
    with pytest.raises(OSError, match="No space left") as caught:
        data_of(tmp_path, [row("a")])
    assert caught.value.errno == errno.ENOSPC


def test_xlsx_without_xlsxwriter_names_the_command_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(UsageError) as caught:
        data_of(tmp_path, [row("a")])
    assert caught.value.hint == "pip install 'batchcap[xlsx]'"
