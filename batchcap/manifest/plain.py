"""Many records at once: the rows of a table in which nothing is unusual.

The cells of a large manifest are ids of letters and digits, and a few words that
repeat. One such id is as good as another: where one of them is an id and a part of a
path, all are. So the reader makes the rows of each combination of the words once, for
stand-ins, and every id then takes its place. All other tables are left to the reader,
which takes them record by record and tells what is wrong.

On their way into the ledger such rows need not become objects, nor their columns JSON
one by one: `Alike` gives their fields as the ledger keeps them.
"""

from __future__ import annotations

import itertools
import secrets
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

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
Values = tuple[Any, ...]
"""The fields of a `Row` in their order, `params` and `meta` as JSON."""


class Pattern(NamedTuple):
    """The row of a stand-in; `key`, `path` and `params` (as JSON) are what is around its ids."""

    row: Row
    key: list[str]
    path: list[str]
    params: list[str]
    meta: str


class Alike:
    """Rows of one table, each made when somebody looks at it."""

    def __init__(
        self,
        table: Table,
        file: str,
        ids: Columns,
        own: Columns,
        patterns: Sequence[Sequence[Pattern]],
    ) -> None:
        self._table, self._file, self._ids, self._own = table, file, ids, own
        self._patterns = patterns

    def __iter__(self) -> Iterator[Row]:
        return (Row.of((0, *values[1:])) for values in self.values(0))

    def values(self, first: int) -> list[Values]:
        """Their fields, as `Values`, numbered from `first` on."""
        [source] = self._ids.keys() & IDS.keys()
        tracks = self._ids.get(_TRACK) or itertools.repeat("")
        lines, numbers = itertools.count(self._table.line), itertools.count(first)
        return [
            (
                next(numbers),
                source_id.join(key),
                row.provider,
                source_id,
                row.language,
                row.target,
                source_id.join(path),
                track.join(params),
                _json({**row.meta, **own}) if own else meta,
                f"{self._file}:{line}",
            )
            for line, source_id, track, own, patterns in zip(
                lines, self._ids[source], tracks, _metas(self._own), self._patterns, strict=False
            )
            for row, key, path, params, meta in patterns
        ]


def rows(table: Table, reader: Reader) -> Alike | None:
    """The rows that `reader` makes of a table's records; None where it has to be asked."""
    columns = dict(zip(table.names, table.columns, strict=True))
    columns = {name: cells for name, cells in columns.items() if any(map(filled, cells))}
    ids = {name: cells for name, cells in columns.items() if name in _STAND_INS}
    words = {name: cells for name, cells in columns.items() if name in KNOWN - ids.keys()}
    own = {name: cells for name, cells in columns.items() if name not in KNOWN}
    if not (len(ids.keys() & IDS.keys()) == 1 and all(map(_plain, ids.values()))):
        return None
    if not (_of(_TEXT, words) and _of(_SCALAR, own)) or "" in own:
        return None
    combined = list(zip(*words.values(), strict=True)) or [()] * len(table.columns[0])
    if len(distinct := set(combined)) > _COMBINATIONS:
        return None
    patterns = {one: _patterns(reader, ids, dict(zip(words, one, strict=True))) for one in distinct}
    if not all(patterns.values()):
        return None
    return Alike(table, reader.file, ids, own, [patterns[one] for one in combined])


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
        key, path = row.key.split(row.source_id), row.path.split(row.source_id)
        params = _json(row.params).split(_STAND_INS[_TRACK])
        found.append(Pattern(row, key, path, params, _json(row.meta)))
    return found


def _metas(own: Columns) -> Iterable[Json | None]:
    if not own:
        return itertools.repeat(None)
    return (
        {name: cell for name, cell in zip(own, cells, strict=True) if filled(cell)}
        for cells in zip(*own.values(), strict=True)
    )


def _json(value: Json) -> str:
    return orjson.dumps(value, None, orjson.OPT_SORT_KEYS).decode()
