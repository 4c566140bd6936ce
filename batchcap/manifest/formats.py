"""Reads text into records, each with its line: the format, JSON and JSONL; tables.py has CSV.

A record is (line, place, cells): `place` is put before a message if the line alone does
not identify the record ("item 3: "), and `cells` are the columns that are not empty, or a
string that says what is wrong. Reading continues after a bad record if the format allows
it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePath
from string import whitespace  # of ASCII: JSON has no other
from typing import Any

import msgspec
import orjson

from batchcap.domain.models import Json
from batchcap.manifest.columns import Schema
from batchcap.manifest.decoding import Text
from batchcap.manifest.headers import Headers
from batchcap.manifest.messages import FileProblem, describe, quote
from batchcap.manifest.tables import MAX_FIELD, Record, guess_delimiter, read_csv

_EMPTY = "the file is empty"
_NO_ITEMS = "there are no items"
_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


def records(source: str, text: Text, schema: Schema, headers: Headers) -> Iterator[Record]:
    """Yield the records of a text; the extension of `source`, else the text, gives the format."""
    if not text.first_line:
        return iter([(1, "", FileProblem(_EMPTY))])
    match _FORMATS.get(PurePath(source).suffix.lower()) or _guess_format(text.first_line):
        case "json":
            return _renamed(_json(text), headers)
        case "jsonl":
            return _renamed(_json_lines(text), headers)
        case "tsv":
            return read_csv(text, "\t", schema, headers)
        case _:
            delimiter = guess_delimiter(text.first_line, schema, headers)
            return read_csv(text, delimiter, schema, headers)


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


# JSON


def _renamed(items: Iterator[Record], headers: Headers) -> Iterator[Record]:
    """Yield the items, renamed as --column says; a name that is almost a column is a problem."""
    for line, place, cells in items:
        if isinstance(cells, str):
            yield line, place, cells
            continue
        named = {headers.name(name): cell for name, cell in cells.items()}
        if len(named) < len(cells):
            yield line, place, "--column: the item has both names of a column"
        elif problem := headers.problem(named):
            yield line, "", FileProblem(problem)
        else:
            yield line, place, named


def _json_lines(text: Text) -> Iterator[Record]:
    for raw in text.lines():
        if text.errors:
            yield text.line, "", text.errors.pop()[1]
        # Joined files have marks in the middle.
        elif line := raw.lstrip("\ufeff").rstrip(whitespace):
            yield text.line, "", _object(line, {})


def _json(text: Text) -> Iterator[Record]:
    data = text.read_all().encode(errors="replace")
    if text.errors:
        line, message = text.errors.pop()
        yield line, "", FileProblem(message)
        return
    try:
        defaults, start, items = _document(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        yield _json_error(data, error)
        return
    if isinstance(defaults, str):
        yield 1, "", FileProblem(defaults)
    elif not items:
        yield 1, "", FileProblem(_NO_ITEMS)
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
        message = f"broken JSON: {located.msg} (column {located.colno}){hint}"
        return located.lineno, "", FileProblem(message)
    return 1, "", FileProblem(f"expected a list, or an object with items: {error}")


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
