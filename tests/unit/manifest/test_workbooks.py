"""Excel and LibreOffice workbooks as manifests: written by openpyxl, and by hand for .ods."""

from __future__ import annotations

import datetime
import io
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from batchcap.domain.models import InvalidRow, Row
from batchcap.manifest import ManifestOptions, read
from tests.harness.rows import COLUMNS

HEADER = ("asset_id", "to_language_code", "title")


def write(path: Path, sheets: Mapping[str, Sequence[Sequence[Any]]]) -> str:
    """Write a workbook; returns its path."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return str(path)


def read_all(source: str, **options: Any) -> tuple[list[Row], list[str]]:
    """The rows, and the problems as `line: message`."""
    rows = list(read(source, ManifestOptions(**options), COLUMNS))
    return (
        [row for row in rows if isinstance(row, Row)],
        [f"{row.line}: {row.message}" for row in rows if isinstance(row, InvalidRow)],
    )


def test_workbook_is_read_with_the_numbers_of_its_rows(tmp_path: Path) -> None:
    rows = [(), HEADER, ("a1", " es;ja ", "One"), (), ("a2", "xxxx", None), ("a3", "fr", None)]
    source = write(tmp_path / "m.xlsx", {"Videos": rows})
    read, problems = read_all(source)
    assert [(row.key, row.origin) for row in read] == [
        ("mux:a1:es", f"{source}:3"),
        ("mux:a1:ja", f"{source}:3"),
        ("mux:a3:fr", f"{source}:6"),
    ]
    assert [problem.partition(": ")[::2] for problem in problems] == [
        ("5", "to_language_code: 'xxxx' is not a language tag (such as es or pt-BR)")
    ]


def test_workbook_cells_are_text_as_typed(tmp_path: Path) -> None:
    cells = {
        "number": 1234.0,
        "fraction": 1.5,
        "date": datetime.date(2026, 12, 4),
        "moment": datetime.datetime(2026, 12, 4, 18, 30),  # noqa: DTZ001  # sheets have no zone
        "time": datetime.time(7, 5),
        "length": datetime.timedelta(hours=30, minutes=2),
        "yes": True,
        "digits": 123456789012345,
        "text": "0012",
    }
    rows = [("asset_id", *cells), (20260101, *cells.values())]
    [row], problems = read_all(write(tmp_path / "m.xlsx", {"S": rows}), to=("es",))
    assert problems == []
    assert (row.source_id, row.meta) == (
        "20260101",
        {
            "number": "1234",
            "fraction": "1.5",
            "date": "2026-12-04",
            "moment": "2026-12-04 18:30:00",
            "time": "07:05:00",
            "length": "30:02:00",
            "yes": "true",
            "digits": "123456789012345",
            "text": "0012",
        },
    )


@pytest.mark.parametrize("column", ["asset_id", "track_id", "key"])
def test_workbook_id_of_more_than_15_digits_is_refused(tmp_path: Path, column: str) -> None:
    cells = {"asset_id": "a1", column: 1234567890123456}
    source = write(tmp_path / "m.xlsx", {"S": [tuple(cells), tuple(cells.values())]})
    assert read_all(source, to=("es",))[1] == [
        f"2: {column}: '1.23456789012346E+15' is a number that a spreadsheet has rounded; "
        "format the column as text"
    ]


def test_workbook_sheet_is_the_first_or_the_named(tmp_path: Path) -> None:
    sheets = {"A": [("asset_id",), ("a1",)], "B": [("asset_id",), ("b1",)]}
    source = write(tmp_path / "m.xlsx", sheets)
    assert [row.source_id for row in read_all(source, to=("es",))[0]] == ["a1"]
    assert [row.source_id for row in read_all(source, to=("es",), sheet="B")[0]] == ["b1"]
    assert read_all(source, to=("es",), sheet="C")[1] == [
        "1: --sheet: the workbook has no 'C', only 'A', 'B'"
    ]


def test_workbook_on_standard_input_or_under_another_name_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "m.xlsx", {"A": [("asset_id",), ("a1",)]})
    data = Path(source).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert [row.origin for row in read_all("-", to=("es",))[0]] == ["-:2"]
    (tmp_path / "m.csv").write_bytes(data)
    assert len(read_all(str(tmp_path / "m.csv"), to=("es",))[0]) == 1


def test_workbook_with_a_wrong_header_is_one_problem(tmp_path: Path) -> None:
    rows = [("Asset ID", "Title"), *[(f"a{n}", "T") for n in range(30)]]
    [problem] = read_all(write(tmp_path / "m.xlsx", {"A": rows}), to=("es",))[1]
    assert problem.startswith("1: 'Asset ID' is probably asset_id; ")
    assert problem.endswith("the header is 'Asset ID,Title'")


def test_workbook_of_libreoffice_is_read(tmp_path: Path) -> None:
    names = "urn:oasis:names:tc:opendocument:xmlns"
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    table = "".join(
        f"<table:table-row>{''.join(cells)}</table:table-row>"
        for cells in (
            [
                f'<table:table-cell office:value-type="string"><text:p>{name}</text:p>'
                "</table:table-cell>"
                for name in ("asset_id", "n")
            ],
            [
                '<table:table-cell office:value-type="string"><text:p>a1</text:p>'
                "</table:table-cell>",
                '<table:table-cell office:value-type="float" office:value="7"><text:p>7</text:p>'
                "</table:table-cell>",
            ],
        )
    )
    content = (
        f'<office:document-content xmlns:office="{names}:office:1.0" '
        f'xmlns:table="{names}:table:1.0" xmlns:text="{names}:text:1.0"><office:body>'
        f'<office:spreadsheet><table:table table:name="A">{table}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    with zipfile.ZipFile(tmp_path / "m.ods", "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr("content.xml", content)
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
    [row], problems = read_all(str(tmp_path / "m.ods"), to=("es",))
    assert (problems, row.source_id, row.meta) == ([], "a1", {"n": "7"})


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml" + b"\x00\xff" * 100,
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    ],
)
@pytest.mark.parametrize("name", ["m.xlsx", "m.csv", "m.json", "m"])
def test_workbook_that_is_damaged_is_one_problem(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    [problem] = read_all(str(tmp_path / name))[1]
    assert problem.startswith("1: the workbook cannot be read: ")
    assert problem.isprintable()


def test_workbook_without_the_library_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "m.xlsx", {"A": [HEADER]})
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    assert read_all(source)[1] == [
        "1: the file is a workbook; to read it: pip install 'batchcap[excel]' "
        "(or export it as CSV in UTF-8)"
    ]
