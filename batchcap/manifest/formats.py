"""Reads text into records: CSV, JSON and JSONL, each record with its line.

A record is (line, place, cells): `place` is put before a message if the line alone does
not identify the record ("item 3: "), and `cells` are the columns that are not empty, or a
string that says what is wrong. Reading continues after a bad record if the format allows
it.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

import msgspec
import orjson

from batchcap.domain.models import Json
from batchcap.manifest.columns import Schema, missing_languages
from batchcap.manifest.decoding import Text
from batchcap.manifest.messages import describe, quote

Record = tuple[int, str, Json | str]


MAX_FIELD = csv.field_size_limit()
"""Most characters that one column may hold: 131,072."""

_EMPTY = "the file is empty"
_NO_ITEMS = "there are no items"
_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


def records(source: str, text: Text, schema: Schema) -> Iterator[Record]:
    """Yield the records of a text; the extension of `source`, else the text, gives the format."""
    if not text.first_line:
        return iter([(1, "", _EMPTY)])
    match _FORMATS.get(PurePath(source).suffix.lower()) or _guess_format(text.first_line):
        case "json":
            return _json(text)
        case "jsonl":
            return _json_lines(text)
        case "tsv":
            return _csv(text, "\t", schema)
        case _:
            return _csv(text, _delimiter(text.first_line), schema)


def _guess_format(head: str) -> str:
    start = head.lstrip()[:1]
    if start == "[":
        return "json"
    if start != "{":
        return "csv"
    try:
        first = orjson.loads(head)
    except orjson.JSONDecodeError as error:
        # An object that goes on behind its first line is one document; a broken one is a record.
        return "json" if error.pos >= len(head.rstrip()) else "jsonl"
    return "json" if isinstance(first.get("items"), list) else "jsonl"


# CSV

_SEPARATOR_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?[,;\t ]*', re.IGNORECASE)
_AROUND_NAMES = " \t\r\n\u00a0\u200b\ufeff"
"""What is stripped from a header's cells. A byte order mark there comes of joined files."""


def _delimiter(header: str) -> str:
    """Return the delimiter that a header, or Excel's line `sep=` above it, shows."""
    if match := _SEPARATOR_LINE.fullmatch(header.strip("\r\n")):
        return match.group(1)
    if "," not in header:
        return next((other for other in ";\t" if other in header), ",")
    return ","


def _csv(text: Text, delimiter: str, schema: Schema) -> Iterator[Record]:
    rows = _csv_rows(text, delimiter)
    first, header = next(rows, (1, _EMPTY))
    names: list[str] | str
    if isinstance(header, str):
        names = header
    elif column := _plain_list(header, schema):
        names = _with_languages([column], header, schema)
        rows = itertools.chain([(first, header)], rows)
    else:
        names = _names(header, schema)
    if isinstance(names, str):
        yield first, "", names
        return
    is_empty = True
    for line, row in rows:
        is_empty = False
        if isinstance(row, str):
            yield line, "", row
        elif _is_header(row, schema):
            is_same = _column_names(row, schema) == names
            yield line, "", _second_header(is_same=is_same)
            if not is_same:
                return  # the rows below it are of another table
        else:
            yield line, "", _cells(names, row)
    if is_empty:
        yield first, "", "a header and no rows"


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


def _csv_rows(text: Text, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
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
        elif isinstance(row, str) or (any(row) and not (is_first and _separator(row, delimiter))):
            is_first = False
            yield line, row


def _csv_error(message: str) -> str:
    if "field limit" in message:
        return f"a field of more than {MAX_FIELD:,} characters, or a quote that is never closed"
    if "unexpected end of data" in message:
        return "a quote that is never closed"
    return f"broken CSV: {message}"


def _separator(row: list[str], delimiter: str) -> bool:
    """Return whether a first row is Excel's line that names the delimiter."""
    return bool(_SEPARATOR_LINE.fullmatch(delimiter.join(row)))


def _column_names(row: Sequence[str], schema: Schema) -> list[str]:
    """Return the cells of a header, known columns in lower case."""
    names = [name.strip(_AROUND_NAMES) for name in row]
    return [name.lower() if name.lower() in schema.known else name for name in names]


def _names(header: list[str], schema: Schema) -> list[str] | str:
    """Return the columns of a header, or what is wrong with it."""
    names = _column_names(header, schema)
    repeated = [name for name, count in Counter(names).items() if count > 1 and name]
    if repeated:
        return f"{', '.join(map(quote, repeated))}: the header names this column twice"
    if schema.ids.keys().isdisjoint(names):
        return _no_header(header, schema)
    return _with_languages(names, header, schema)


def _with_languages(names: list[str], first: list[str], schema: Schema) -> list[str] | str:
    """Return the columns of a table, or that none of its rows can have a target language."""
    if column := schema.missing_targets(names):
        return f"{missing_languages(column, names)}; the first line is {_shown(first)}"
    return names


def _no_header(row: list[str], schema: Schema) -> str:
    hint = ""
    if len(row) == 1 and " " not in row[0]:
        hint = f" (a list of ids? then --provider {' or '.join(schema.providers)})"
    return f"no header: {_shown(row)} names none of {', '.join(schema.ids)}{hint}"


def _shown(header: list[str]) -> str:
    return quote(",".join(header))


def _cells(names: Sequence[str], row: Sequence[str]) -> Json | str:
    if any(row[len(names) :]):
        return f"{len(row)} cells, but the header has {len(names)} columns"
    cells: Json = {name: cell for name, cell in zip(names, row, strict=False) if cell != ""}
    if "" in cells:
        return f"{quote(cells[''])}: the header has no name for this column"
    return cells


# JSON


def _json_lines(text: Text) -> Iterator[Record]:
    for raw in text.lines():
        if text.errors:
            yield text.line, "", text.errors.pop()[1]
        elif not raw.isspace():
            yield text.line, "", _object(raw, {})


def _json(text: Text) -> Iterator[Record]:
    data = text.read_all().encode(errors="replace")
    if text.errors:
        line, message = text.errors.pop()
        yield line, "", message
        return
    try:
        defaults, start, items = _document(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        yield _json_error(data, error)
        return
    if isinstance(defaults, str):
        yield 1, "", defaults
    elif not items:
        yield 1, "", _NO_ITEMS
    else:
        yield from _items(data, start, items, defaults)


def _document(data: bytes) -> tuple[Json | str, int, list[msgspec.Raw]]:
    """Return the defaults (or what is wrong with the document), the items' offset, the items.

    The items stay raw, so that each can be found in `data` and reported with its line.
    """
    if data.lstrip()[:1] != b"{":
        return {}, 0, msgspec.json.decode(data, type=list[msgspec.Raw])
    outer = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    if unknown := [name for name in outer if name not in ("defaults", "items")]:
        return f"{quote(unknown[0])}: unknown beside defaults and items", 0, []
    if "items" not in outer:
        return "expected a list, or an object with items", 0, []
    raw = bytes(outer["items"])
    defaults = _object(bytes(outer.get("defaults", b"{}")), {})
    if isinstance(defaults, str):
        return f"defaults: {defaults}", 0, []
    if not raw.startswith(b"["):
        return "items: expected a list", 0, []
    return defaults, data.index(raw), msgspec.json.decode(raw, type=list[msgspec.Raw])


def _items(data: bytes, start: int, items: list[msgspec.Raw], defaults: Json) -> Iterator[Record]:
    lines = list(_lines(data, start, items))
    shared = Counter(lines)
    for number, (line, raw) in enumerate(zip(lines, items, strict=True), 1):
        place = f"item {number}: " if shared[line] > 1 else ""
        yield line, place, _object(bytes(raw), defaults)


def _lines(data: bytes, start: int, items: list[msgspec.Raw]) -> Iterator[int]:
    """Yield the line of each item: between two of them are only a comma and white space."""
    line, position = 1, 0
    for raw in items:
        start = data.index(bytes(raw), start)
        line += data.count(b"\n", position, start)
        yield line
        position, start = start, start + len(memoryview(raw))


def _json_error(data: bytes, error: Exception) -> Record:
    """Find the line of the error: orjson reports lines, msgspec does not."""
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError as located:
        is_lines = "after document" in located.msg
        hint = " (one object a line? name the file .jsonl)" if is_lines else ""
        return located.lineno, "", f"broken JSON: {located.msg} (column {located.colno}){hint}"
    return 1, "", f"expected a list, or an object with items: {error}"


def _object(raw: str | bytes, defaults: Json) -> Json | str:
    """Return the columns of an object that are not empty, over the defaults."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return f"broken JSON: {error.msg} (character {min(error.pos, len(raw.rstrip())) + 1})"
    if not isinstance(value, dict):
        return f"expected an object, got {describe(value)}"
    if len(raw) > MAX_FIELD and (column := _oversized(value)) is not None:
        return f"{quote(column)}: more than {MAX_FIELD:,} characters"
    cells = {name: cell for name, cell in value.items() if cell is not None and cell != ""}
    return {**defaults, **cells}


def _oversized(cells: Json) -> str | None:
    return next((column for column, value in cells.items() if _size(value) > MAX_FIELD), None)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return 0  # nested too deep to be written, which is an error of its column
