"""Many records at once: the rows of a table in which nothing is unusual.

The cells of a large manifest are ids of letters and digits, and a few words that
repeat. One such id is as good as another: where one of them is an id and a part of a
path, all are. So the reader makes the rows of each combination of the words once, for
stand-ins, and every id then takes its place. All other tables are left to the reader,
which takes them record by record and tells what is wrong.
"""

from __future__ import annotations

import itertools
import secrets
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from batchcap.manifest.columns import IDS, KNOWN, Reader
from batchcap.manifest.formats import Table, filled
from batchcap.model import InvalidRow, Json, Row

_PLAIN = f"{string.ascii_letters}{string.digits}_-".encode()
_SHORTEST, _LONGEST = 9, 99
"""Characters of a plain id: more than any name has that a path must not take."""
_COMBINATIONS = 64
"""Of words in one table, at most."""

_TRACK = "track_id"
_STAND_INS = {name: secrets.token_hex(50)[:_LONGEST] for name in (*IDS, _TRACK)}
"""As long as plain ids can be, and found in no manifest."""

_TEXT: set[object] = {str, type(None)}
_SCALAR = _TEXT | {bool, int, float}

Columns = Mapping[str, Sequence[Any]]
Pattern = tuple[Row, list[str], list[str]]
"""The row of a stand-in; its key and its path without it."""


def rows(table: Table, reader: Reader) -> list[Row] | None:
    """The rows that `reader` makes of a table's records; None where it has to be asked."""
    columns = dict(zip(table.names, zip(*table.rows, strict=True), strict=True))
    columns = {name: cells for name, cells in columns.items() if any(map(filled, cells))}
    ids = {name: cells for name, cells in columns.items() if name in _STAND_INS}
    words = {name: cells for name, cells in columns.items() if name in KNOWN - ids.keys()}
    own = {name: cells for name, cells in columns.items() if name not in KNOWN}
    if not (len(ids.keys() & IDS.keys()) == 1 and all(map(_plain, ids.values()))):
        return None
    if not (_of(_TEXT, words) and _of(_SCALAR, own)) or "" in own:
        return None
    combined = list(zip(*words.values(), strict=True)) or [()] * len(table.rows)
    if len(distinct := set(combined)) > _COMBINATIONS:
        return None
    patterns = {one: _patterns(reader, ids, dict(zip(words, one, strict=True))) for one in distinct}
    if not all(patterns.values()):
        return None
    return _made(table, f"{reader.file}:", ids, own, [patterns[one] for one in combined])


def _plain(cells: Sequence[Any]) -> bool:
    """Whether a column holds plain ids, and one in every row."""
    if set(map(type, cells)) != {str}:
        return False
    lengths = set(map(len, cells))
    sized = min(lengths) >= _SHORTEST and max(lengths) <= _LONGEST
    return sized and not "".join(cells).encode().translate(None, _PLAIN)


def _of(types: set[object], columns: Columns) -> bool:
    return all(types.issuperset(map(type, cells)) for cells in columns.values())


def _patterns(reader: Reader, ids: Iterable[str], words: Json) -> list[Pattern]:
    """The rows of stand-ins with these words; none where there is more to them."""
    stand_ins = {name: _STAND_INS[name] for name in ids}
    words = {name: cell for name, cell in words.items() if filled(cell)}
    found: list[Pattern] = []
    for row in reader.rows(0, "", words | stand_ins):
        if isinstance(row, InvalidRow) or row.params.get(_TRACK) != stand_ins.get(_TRACK):
            return []
        if _STAND_INS[_TRACK] in row.path:
            return []
        found.append((row, row.key.split(row.source_id), row.path.split(row.source_id)))
    return found


def _made(
    table: Table, file: str, ids: Columns, own: Columns, patterns: Sequence[Sequence[Pattern]]
) -> list[Row]:
    """The rows: ids, and the user's own columns, put into the patterns."""
    [source] = ids.keys() & IDS.keys()
    tracks = ids.get(_TRACK) or itertools.repeat(None)
    return [
        Row(
            key=source_id.join(key),
            provider=row.provider,
            source_id=source_id,
            language=row.language,
            target=row.target,
            path=source_id.join(path),
            params={**row.params, _TRACK: track} if track else row.params,
            meta={**row.meta, **meta} if meta else row.meta,
            origin=f"{file}{line}",
        )
        for line, source_id, track, meta, rows in zip(
            itertools.count(table.line), ids[source], tracks, _metas(table, own), patterns
        )
        for row, key, path in rows
    ]


def _metas(table: Table, own: Columns) -> Iterable[Json]:
    if not own:
        return [{}] * len(table.rows)
    return (
        {name: cell for name, cell in zip(own, cells, strict=True) if filled(cell)}
        for cells in zip(*own.values(), strict=True)
    )
