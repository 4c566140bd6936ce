"""Reads a CSV or TSV table into records, as spreadsheets write it."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from batchcap.domain.models import Json
from batchcap.manifest.columns import Schema, missing_languages
from batchcap.manifest.decoding import DELIMITERS, Text
from batchcap.manifest.headers import Headers
from batchcap.manifest.messages import FileProblem, quote

Record = tuple[int, str, Json | str]
"""Line, place and cells of a record; see `formats`."""
TableRow = tuple[int, list[str] | str]
"""Line and cells of a row of a table, or what is wrong with it."""

MAX_FIELD = csv.field_size_limit()
"""Most characters that one column may hold: 131,072."""

_SEPARATOR_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?[,;\t ]*', re.IGNORECASE)
_AROUND_NAMES = " \t\r\n\u00a0\u200b\ufeff"
"""What is stripped from a header's cells. A byte order mark there comes of joined files."""


def guess_delimiter(header: str, schema: Schema, headers: Headers) -> str:
    """Return the delimiter that a header, or Excel's line `sep=` above it, shows.

    It is the first one that sets an id column apart; a comma if none does.
    """
    if match := _SEPARATOR_LINE.fullmatch(header.strip("\r\n")):
        return match.group(1)
    for delimiter in ",;\t|":
        cells = [name.strip(f'"{_AROUND_NAMES}') for name in header.split(delimiter)]
        if not schema.ids.keys().isdisjoint(headers.name(name).lower() for name in cells):
            return delimiter
    return max(",;\t|", key=header.count)  # the header is wrong, and is to be shown as it is


def read_csv(text: Text, delimiter: str, schema: Schema, headers: Headers) -> Iterator[Record]:
    """Yield the records of a CSV table with a header, or of a list of ids without one."""
    return read_table(_csv_rows(text, delimiter), schema, headers)


def read_table(rows: Iterator[TableRow], schema: Schema, headers: Headers) -> Iterator[Record]:
    """Yield the records of a table, given its rows from the header on."""
    first, header = next(rows, (1, "the file is empty"))
    names: list[str] | str
    if isinstance(header, str):
        names = header
    elif column := _plain_list(header, schema):
        names = _complete([column], header, schema, headers)
        rows = itertools.chain([(first, header)], rows)
    else:
        names = _names(header, schema, headers)
    if isinstance(names, str):
        yield first, "", FileProblem(names)
        return
    is_empty = True
    for line, row in rows:
        is_empty = False
        if isinstance(row, str):
            yield line, "", row
        elif _is_header(row, schema):
            is_same = _column_names(row, schema, headers) == names
            problem = _second_header(is_same=is_same)
            yield line, "", problem if is_same else FileProblem(problem)
            if not is_same:
                return  # the rows below it are of another table
        else:
            yield line, "", _cells(names, row)
    if is_empty:
        yield first, "", FileProblem("a header and no rows")


def _is_header(row: Sequence[str], schema: Schema) -> bool:
    ids = schema.ids.keys()
    return not ids.isdisjoint(row) or row[0].strip(_AROUND_NAMES).lower() in ids


def _second_header(*, is_same: bool) -> str:
    what = "a header in the middle of the file (are these two files?)"
    return what if is_same else f"{what}; what follows it was not read"


def _plain_list(row: list[str], schema: Schema) -> str | None:
    """Return the id column if a table is a list of ids without a header.

    That is only believed if the user has named the provider. Ids have digits, the names of
    columns have none.
    """
    is_list = schema.provider and len(row) == 1 and re.search(r"\d", row[0])
    return schema.providers[schema.provider].ids[0] if schema.provider and is_list else None


def _csv_rows(text: Text, delimiter: str) -> Iterator[TableRow]:
    """Yield each row with the line it begins on, or what is wrong with it. Skips empty rows."""
    # Strict: a stray quote is reported; the lax mode would swallow the rows behind it.
    parsed = csv.reader(text.lines(), delimiter=delimiter, strict=True, skipinitialspace=True)
    is_first = True
    while True:
        line = text.line + 1
        row: list[str] | str
        try:
            row = next(parsed)
        except StopIteration:
            return
        except csv.Error as error:
            row = _csv_error(str(error))
        if text.errors:
            yield from text.errors
            text.errors.clear()
        elif isinstance(row, str) or (
            any(row) and not (is_first and _is_above_header(row, delimiter))
        ):
            is_first = False
            yield line, row


def _csv_error(message: str) -> str:
    if "field limit" in message:
        return f"a field of more than {MAX_FIELD:,} characters, or a quote that is never closed"
    if "unexpected end of data" in message:
        return "a quote that is never closed"
    return f"broken CSV: {message}"


def _is_above_header(row: list[str], delimiter: str) -> bool:
    """Return whether a first row is blank, or Excel's line that names the delimiter."""
    line = delimiter.join(row)
    return not line.strip(DELIMITERS) or bool(_SEPARATOR_LINE.fullmatch(line))


def _column_names(row: Sequence[str], schema: Schema, headers: Headers) -> list[str]:
    """Return the cells of a header, known columns in lower case."""
    names = [headers.name(name.strip(_AROUND_NAMES)) for name in row]
    return [name.lower() if name.lower() in schema.columns else name for name in names]


def _names(header: list[str], schema: Schema, headers: Headers) -> list[str] | str:
    """Return the columns of a header, or what is wrong with it."""
    names = _column_names(header, schema, headers)
    repeated = [name for name, count in Counter(names).items() if count > 1 and name]
    if repeated:
        return f"{', '.join(map(quote, repeated))}: the header names this column twice"
    if problem := headers.problem(names):
        return f"{problem}; the header is {_quoted(header)}"
    if schema.ids.keys().isdisjoint(names):
        return _no_header(header, schema)
    return _complete(names, header, schema, headers)


def _complete(
    names: list[str], first: list[str], schema: Schema, headers: Headers
) -> list[str] | str:
    """Return the columns of a table, or what all of its rows lack."""
    if problem := headers.missing_field(names):
        return f"{problem}; the first line is {_quoted(first)}"
    if column := schema.missing_targets(names):
        return f"{missing_languages(column, names)}; the first line is {_quoted(first)}"
    return names


def _no_header(row: list[str], schema: Schema) -> str:
    hint = ""
    if len(row) == 1 and not re.search(r"[\s;|]", row[0]):
        hint = f" (a list of ids? then --provider {' or '.join(schema.providers)})"
    return f"no header: {_quoted(row)} names none of {', '.join(schema.ids)}{hint}"


def _quoted(header: list[str]) -> str:
    return quote(",".join(header))


def _cells(names: Sequence[str], row: Sequence[str]) -> Json | str:
    if any(row[len(names) :]):
        return f"{len(row)} cells, but the header has {len(names)} columns"
    cells: Json = {
        name: value for name, cell in zip(names, row, strict=False) if (value := cell.strip())
    }
    if "" in cells:
        return f"{quote(cells[''])}: the header has no name for this column"
    return cells
