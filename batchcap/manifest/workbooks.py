"""Reads a sheet of an Excel or LibreOffice workbook as the rows of a table."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from batchcap.manifest.messages import FileProblem, quote
from batchcap.manifest.tables import TableRow

if TYPE_CHECKING:
    from python_calamine import CalamineSheet, CalamineWorkbook

_EXACT = 1e15
"""Spreadsheets keep 15 digits of a number; of a longer one they change the rest."""

_Cell = int | float | str | bool | datetime.time | datetime.date | datetime.timedelta


def read_workbook(stream: BinaryIO, sheet: str) -> Iterator[TableRow]:
    """Yield the rows of a sheet that are not empty, each with its number in the sheet.

    Every cell is text, as it would be typed: a date is `2026-12-04`, and a whole number has
    no fraction. A number of more than 15 digits, which is not what was typed any more, is
    written like `6.12E+31`, which is no id. Without `sheet`, the first one is read.
    """
    try:
        import python_calamine
    except ImportError:
        yield (
            1,
            FileProblem(
                "the file is a workbook; to read it: pip install 'batchcap[excel]' "
                "(or export it as CSV in UTF-8)"
            ),
        )
        return
    try:
        with python_calamine.load_workbook(stream) as book:
            chosen = _sheet(book, sheet)
            if isinstance(chosen, str):
                yield 1, FileProblem(chosen)
            else:
                yield from _rows(chosen)
    except python_calamine.PasswordError:
        yield 1, FileProblem("the workbook needs a password; save it without one")
    except (python_calamine.CalamineError, ValueError) as error:
        yield 1, FileProblem(f"the workbook cannot be read: {error}; export it as CSV in UTF-8")


def _sheet(book: CalamineWorkbook, name: str) -> CalamineSheet | str:
    """Return the sheet with a name, for "" the first one; a message if no sheet has the name."""
    if name and name not in book.sheet_names:
        names = ", ".join(map(quote, book.sheet_names))
        return f"--sheet: the workbook has no {quote(name)}, only {names}"
    return book.get_sheet_by_name(name) if name else book.get_sheet_by_index(0)


def _rows(sheet: CalamineSheet) -> Iterator[TableRow]:
    for number, cells in enumerate(sheet.iter_rows(), 1):
        row = [_text(cell) for cell in cells]
        if any(row):
            yield number, row


def _text(cell: _Cell) -> str:
    match cell:
        case str():
            return cell.strip()
        case bool():
            return "true" if cell else "false"
        case int() | float():
            return _number(float(cell))
        case datetime.datetime():
            return cell.isoformat(" ") if cell.time() != datetime.time() else f"{cell.date()}"
        case datetime.timedelta():
            minutes, seconds = divmod(round(cell.total_seconds()), 60)
            return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return cell.isoformat()


def _number(value: float) -> str:
    if abs(value) >= _EXACT:
        return f"{value:.14E}"
    return str(int(value)) if value.is_integer() else repr(value)
