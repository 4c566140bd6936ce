"""Reads text into records: CSV, JSON and JSONL, each record with its line.

A record is (line, place, cells): `place` is put before a message if the line alone does
not identify the record ("item 3: "), and `cells` are the columns that are not empty, or a
string that says what is wrong. Reading continues after a bad record if the format allows
it.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

import msgspec
import orjson

from batchcap.domain.models import Json
from batchcap.manifest.columns import Schema
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


def _delimiter(header: str) -> str:
    """Return a comma, unless the header has none, but a semicolon or a tab (spreadsheets)."""
    if "," not in header:
        return next((other for other in ";\t" if other in header), ",")
    return ","


def _csv(text: Text, delimiter: str, schema: Schema) -> Iterator[Record]:
    rows = _csv_rows(text, delimiter)
    first, header = next(rows)
    names = header if isinstance(header, str) else _names(header, schema)
    if isinstance(names, str):
        yield first, "", names
        return
    is_empty = True
    for line, row in rows:
        if cells := row if isinstance(row, str) else _cells(names, row):
            is_empty = False
            yield line, "", cells
    if is_empty:
        yield first, "", "a header and no rows"


def _csv_rows(text: Text, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield each row with the line it begins on, or what is wrong with it. Skips blank lines."""
    # Strict: a stray quote is reported; the lax mode would swallow the rows behind it.
    parsed = csv.reader(text.lines(), delimiter=delimiter, strict=True, skipinitialspace=True)
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
        elif row:
            yield line, row


def _csv_error(message: str) -> str:
    if "field limit" in message:
        return f"a field of more than {MAX_FIELD:,} characters, or a quote that is never closed"
    if "unexpected end of data" in message:
        return "a quote that is never closed"
    return f"broken CSV: {message}"


def _names(header: list[str], schema: Schema) -> list[str] | str:
    """Return the columns of a header row, known ones in lower case, or what is wrong with it."""
    names = [name.strip() for name in header]
    names = [name.lower() if name.lower() in schema.known else name for name in names]
    repeated = [name for name, count in Counter(names).items() if count > 1 and name]
    if repeated:
        return f"{', '.join(map(quote, repeated))}: the header names this column twice"
    if schema.ids.keys().isdisjoint(names):
        return f"no header: the first line names none of {', '.join(schema.ids)}"
    return names


def _cells(names: Sequence[str], row: Sequence[str]) -> Json | str:
    if len(row) > len(names):
        return f"{len(row)} cells, where the header has {len(names)} columns"
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
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return f"broken JSON: {error.msg} (character {min(error.pos, len(raw.rstrip())) + 1})"
    if not isinstance(found, dict):
        return f"expected an object, got {describe(found)}"
    if len(raw) > MAX_FIELD and (column := _oversized(found)) is not None:
        return f"{quote(column)}: more than {MAX_FIELD:,} characters"
    cells = {name: value for name, value in found.items() if value is not None and value != ""}
    return {**defaults, **cells}


def _oversized(found: Json) -> str | None:
    return next((column for column, value in found.items() if _size(value) > MAX_FIELD), None)


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return 0  # nested too deep to be written, which is an error of its column
