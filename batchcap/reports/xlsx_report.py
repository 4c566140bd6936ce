"""The results as a workbook for Excel: results, coverage and failures, a sheet each.

Nothing in it is a formula: text is written as text, whatever it looks like. The sheets grow in
temporary files, so that their size does not matter for memory.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from batchcap.domain.errors import UsageError
from batchcap.domain.language_names import named
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.reports.advice import advice_for
from batchcap.reports.cells import plain_cell
from batchcap.reports.coverage import CaptionState, Coverage
from batchcap.reports.result_table import ResultTable

MAX_ROWS = 1_048_576
"""Rows of a sheet, its header included."""
MAX_COLUMNS = 16_384
MAX_LINKS = 65_530
"""Links of a sheet; the paths of later rows are text."""
_MAX_LINK = 2000  # characters of one link
_MAX_TEXT = 32_767  # UTF-16 units of a cell
_EXACT = 10**15  # from here on, Excel rounds numbers
_DEFAULT_WIDTH = 14

_TIMES = {"started_at", "finished_at"}
_WIDTHS = {
    "key": 34,
    "source_id": 26,
    "path": 40,
    "sha256": 20,
    "job_id": 26,
    "file": 20,
    "error.code": 18,
    "error.message": 60,
    **dict.fromkeys(_TIMES, 20),
}
_COLORS = {
    CaptionState.DONE: ("#C6EFCE", "#005A00"),
    CaptionState.SKIPPED: ("#E7E6E6", "#3B3838"),
    CaptionState.RUNNING: ("#DDEBF7", "#1F3864"),
    CaptionState.MISSING: ("#FFEB9C", "#7F4F00"),
    CaptionState.FAILED: ("#FFC7CE", "#9C0006"),
}
"""Background and text, of at least 4.5 to 1 contrast."""

_FAILURE_COLUMNS = {
    "code": 20,
    "captions": 10,
    "can a retry help": 16,
    "what to do": 70,
    "command": 50,
    "sample row": 34,
    "its place": 24,
    "its message": 70,
}
_ENCODED = re.compile(r"[\x00-,:-@\[-^`{-\x7f]")
"""ASCII characters but letters, digits and `-./_`: they have a meaning in a link."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def require_xlsxwriter() -> None:
    """Check that XlsxWriter is installed.

    Raises:
        UsageError: It is not.
    """
    try:
        import xlsxwriter  # type: ignore[import-untyped]  # noqa: F401  # an extra, untyped
    except ImportError:
        raise UsageError(
            "--format xlsx needs XlsxWriter", hint="pip install 'batchcap[xlsx]'"
        ) from None


def write_xlsx(
    ledger: LedgerReader, file: BinaryIO, folder: str, complete: Callable[[str], str]
) -> None:
    """Write the workbook.

    `folder` is the relative path to the captions from where the workbook will be. `complete`
    adds the folder of the run to a command.

    Raises:
        UsageError: XlsxWriter is not installed, or the results do not fit into a workbook.
        OSError: The disk refuses.
    """
    require_xlsxwriter()
    from xlsxwriter import Workbook, exceptions  # imported late, since it is an extra

    table = ResultTable(ledger)
    _check_size(ledger.totals().total, len(table.columns))
    with TemporaryDirectory(prefix="batchcap-") as temporary:
        path = Path(temporary) / "book.xlsx"  # `file` may be a pipe
        book = Workbook(path, {"constant_memory": True, "tmpdir": temporary})
        try:
            sheets = _Sheets(book, complete)
            sheets.add_coverage(sheets.add_results(ledger, table, folder))
            sheets.add_failures(ledger)
            book.close()
        except exceptions.FileCreateError as error:
            raise error.args[0] from None  # the OSError
        except exceptions.FileSizeError:
            raise _too_large("the workbook would be larger than 4 GB") from None
        finally:
            for sheet in book.worksheets():
                sheet.row_data_fh.close()
        with path.open("rb") as finished:
            shutil.copyfileobj(finished, file)


class _Sheets:
    """Adds the sheets to a workbook, one after the other and row by row."""

    def __init__(self, book: Any, complete: Callable[[str], str]) -> None:
        self._book, self._complete = book, complete
        self._header = book.add_format({"bold": True, "bottom": 1, "bg_color": "#F2F2F2"})
        self._link = book.get_default_url_format()
        self._time = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._states = {
            state: book.add_format({"bg_color": background, "font_color": text})
            for state, (background, text) in _COLORS.items()
        }

    def add_results(self, ledger: LedgerReader, table: ResultTable, folder: str) -> Coverage:
        """Add the sheet of results; returns their coverage."""
        coverage = Coverage()
        sheet = self._sheet("Results", [_heading(name) for name in table.columns], frozen=1)
        for column, name in enumerate(table.columns):
            sheet.set_column(column, column, _WIDTHS.get(name, _DEFAULT_WIDTH))
        path, links, row = table.columns.index("path"), 0, 0
        for row, result in enumerate(ledger.results(), 1):
            _check_size(row, 0)  # a run may be importing more
            coverage.add(result)
            for column, value in enumerate(table.record(result)):
                if table.columns[column] in _TIMES and value:
                    time = datetime.fromisoformat(value).replace(tzinfo=None)
                    sheet.write_datetime(row, column, time, self._time)
                elif column != path:
                    _write(sheet, row, column, value)
                elif result["state"] == "done" and links < MAX_LINKS:
                    links += self._write_link(sheet, row, column, folder, value)
                else:
                    _write(sheet, row, column, value)
        sheet.autofilter(0, 0, max(row, 1), len(table.columns) - 1)
        return coverage

    def add_coverage(self, coverage: Coverage) -> None:
        """Add the sheet with a row for each source and a column for each language."""
        languages = coverage.languages()[: MAX_COLUMNS - 2]
        left_out = len(coverage.languages()) - len(languages)
        names = [str(named(language)) if language else "no language" for language in languages]
        sheet = self._sheet("Coverage", ["provider", "source_id", *names], frozen=2)
        sheet.set_column(1, 1, _WIDTHS["source_id"])
        columns = {language: column for column, language in enumerate(languages, 2)}
        row = 0
        for row, source in enumerate(coverage.sources(), 1):
            _write(sheet, row, 0, source.provider)
            _write(sheet, row, 1, source.source_id)
            for language, state in sorted(source.states.items()):
                if language in columns:
                    sheet.write_string(row, columns[language], state, self._states[state])
        sheet.autofilter(0, 0, max(row, 1), len(languages) + 1)
        if left_out:
            sheet.write_string(row + 2, 0, f"{left_out:,} more languages have no column here")

    def add_failures(self, ledger: LedgerReader) -> None:
        """Add the sheet with a row for each error code."""
        sheet = self._sheet("Failures", list(_FAILURE_COLUMNS), frozen=1)
        for column, width in enumerate(_FAILURE_COLUMNS.values()):
            sheet.set_column(column, column, width)
        groups = ledger.failures()
        for row, group in enumerate(groups, 1):
            advice = advice_for(group.code, retryable=group.retryable > 0)
            command = self._complete(advice.command)
            values = (
                *(group.code, group.count, advice.retry, advice.text, command),
                *(group.key, group.origin, group.message),
            )
            for column, value in enumerate(values):
                _write(sheet, row, column, value)
        sheet.autofilter(0, 0, max(len(groups), 1), len(_FAILURE_COLUMNS) - 1)

    def _write_link(self, sheet: Any, row: int, column: int, folder: str, path: str) -> bool:
        """Write a path with a link to its file; without one if Excel has no room for it.

        A folder whose name is not UTF-8 has no link either.
        """
        link = _ENCODED.sub(lambda match: f"%{ord(match[0]):02X}", f"{folder}/{path}")
        size = len(link.encode("utf-16-le", "surrogatepass")) // 2
        if size > _MAX_LINK or _SURROGATE.search(link):
            _write(sheet, row, column, path)
            return False
        # What begins with a dot is taken neither for a drive nor for the scheme of a URL.
        dot = "" if link.startswith(".") else "./"
        sheet.write_url(row, column, f"external:{dot}{link}")
        sheet.write_string(row, column, _text(path), self._link)  # early versions change slashes
        return True

    def _sheet(self, name: str, columns: Sequence[str], *, frozen: int) -> Any:
        """Add a sheet with a header that stays in view, as do the first `frozen` columns."""
        sheet = self._book.add_worksheet(name)
        sheet.freeze_panes(1, frozen)
        sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})  # ids are text
        for column, heading in enumerate(columns):
            sheet.write_string(0, column, _text(heading), self._header)
        return sheet


def _heading(name: str) -> str:
    return f"{name} (UTC)" if name in _TIMES else name


def _write(sheet: Any, row: int, column: int, value: object) -> None:
    """Write a value as what it is: numbers as numbers, all text as text."""
    value = plain_cell(value)
    if value is None or value == "":
        return
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, int | float) and abs(value) < _EXACT:
        sheet.write_number(row, column, value)
    else:
        sheet.write_string(row, column, _text(str(value)))


def _text(text: str) -> str:
    """Return text that XML can hold, at most as long as a cell can be."""
    if text.isascii() and len(text) <= _MAX_TEXT:
        return text
    encoded = text.encode("utf-16-le", "replace")
    if len(encoded) > 2 * _MAX_TEXT:
        encoded = encoded[: 2 * (_MAX_TEXT - 1)] + "…".encode("utf-16-le")
    return encoded.decode("utf-16-le", "ignore")


def _check_size(rows: int, columns: int) -> None:
    """Check that rows and columns fit into a sheet.

    Raises:
        UsageError: They do not.
    """
    if rows >= MAX_ROWS:
        raise _too_large(f"{rows:,} results do not fit: a sheet of Excel has {MAX_ROWS:,} rows")
    if columns > MAX_COLUMNS:
        raise _too_large(
            f"{columns:,} columns do not fit: a sheet of Excel has {MAX_COLUMNS:,} columns"
        )


def _too_large(message: str) -> UsageError:
    return UsageError(
        message, hint="--format csv and json have no limit. With more output folders: a report each"
    )
