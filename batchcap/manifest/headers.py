"""Which column a name in a header, or a key of JSON, stands for.

A name that is nearly that of a known column is an error, since a misspelt column would
be kept as the user's own and its values ignored.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from batchcap.domain.errors import UsageError
from batchcap.manifest.columns import LIKE_SOURCE, LIKE_TARGETS, Columns, Schema, plain
from batchcap.manifest.messages import quote
from batchcap.manifest.paths import PLAIN

MAX_NAMED = 10
"""Most columns of the user's own that the note about them names."""

_CUTOFF = 0.85  # difflib's ratio: one wrong letter in eight
_MIN_FUZZY = 6  # shorter names are too often words of their own, such as "names"


class Headers:
    """Renames the columns of one file, and collects those that are the user's own.

    `renamed` are the pairs of --column. With `extra`, any unknown name is the user's.
    `fields` are those of the template of --name.
    """

    def __init__(
        self, schema: Schema, renamed: Mapping[str, str], fields: Iterable[str], *, extra: bool
    ) -> None:
        self._schema, self._renamed, self._extra = schema, renamed, extra
        self._fields = [field for field in fields if field not in schema.columns | PLAIN]
        self._checked: set[str] = set()
        self.own: dict[str, None] = {}
        """The user's own columns, in the order of their first appearance."""

    def name(self, name: str) -> str:
        """Return the column that --column gives a name, else the name itself."""
        return self._renamed.get(name.casefold(), name)

    def problem(self, names: Sequence[str] | Mapping[str, object]) -> str:
        """Return which names are almost a column's, "" if none is. Notes the user's own columns."""
        if self._checked.issuperset(names):
            return ""
        unknown = [name for name in names if name and name not in self._schema.columns]
        near = {} if self._extra else nearly_known(unknown, names, self._schema)
        if not near:
            self._checked.update(names)
            self.own.update(dict.fromkeys(unknown))
        return _problem(near)

    def missing_field(self, names: Sequence[str]) -> str:
        """Return what is wrong if --name has a field that is no column of a table, else ""."""
        for field in self._fields if "name" not in names else ():
            if field not in names:
                close = difflib.get_close_matches(field, filter(None, names), 1)
                hint = f" (is it {quote(close[0])}?)" if close else ""
                return f"--name: there is no column {quote(field)}{hint}"
        return ""

    def note(self) -> str:
        """Return the names of the user's own columns as a message, "" without any."""
        if not self.own:
            return ""
        names = [name if name.isprintable() else quote(name) for name in self.own]
        shown = ", ".join(name[:60] for name in names[:MAX_NAMED])
        rest = len(names) - MAX_NAMED
        return f"kept as your own columns: {shown}{f' and {rest:,} more' if rest > 0 else ''}"


def parse_renames(pairs: Iterable[str], schema: Schema) -> dict[str, str]:
    """Return the pairs `NAME=COLUMN` of --column, names without regard to case.

    Raises:
        UsageError: One is no such pair, or its column does not exist.
    """
    renamed = {}
    for pair in pairs:
        name, equals, column = pair.rpartition("=")
        column = column.strip().lower()
        if not equals or not name.strip() or column not in schema.columns:
            raise UsageError(
                f"--column: {quote(pair)} is not NAME=COLUMN",
                hint=f"Columns are {', '.join(sorted(schema.columns))}; "
                "such as --column 'Asset ID=asset_id'",
            )
        renamed[name.strip().casefold()] = column
    return renamed


def nearly_known(unknown: Iterable[str], names: Iterable[str], schema: Schema) -> dict[str, str]:
    """Return those of `unknown` that probably mean a known column, with that column.

    `names` are all names of the table.
    """
    by_name = {plain(column): column for column in schema.columns}
    columns = _of_provider(names, by_name, schema)
    return {name: meant for name in unknown if (meant := _meant(name, by_name, columns))}


def _of_provider(names: Iterable[str], by_name: Mapping[str, str], schema: Schema) -> list[Columns]:
    """Return the columns of the providers whose ids a table has, else of all providers."""
    columns = {by_name.get(plain(name), name) for name in names}
    implied = [own for own in schema.providers.values() if not columns.isdisjoint(own.ids)]
    if not implied and schema.provider:
        implied = [schema.providers[schema.provider]]
    return implied or list(schema.providers.values())


def _meant(name: str, by_name: Mapping[str, str], columns: Sequence[Columns]) -> str | None:
    text = plain(name)
    if column := by_name.get(text):
        return column
    if LIKE_SOURCE.fullmatch(text):
        return next((own.source_language for own in columns if own.source_language), None)
    if LIKE_TARGETS.fullmatch(text):
        return next((own.targets for own in columns if own.targets), None) or next(
            (own.label for own in columns if own.label), None
        )
    if len(text) < _MIN_FUZZY:
        return None
    similar = [plain for plain in by_name if abs(len(plain) - len(text)) <= 1]
    close = difflib.get_close_matches(text, similar, 1, _CUTOFF)
    return by_name[close[0]] if close else None


def _problem(near: Mapping[str, str]) -> str:
    if not near:
        return ""
    meant = ", ".join(f"{quote(name)} is probably {column}" for name, column in near.items())
    name, column = next(iter(near.items()))
    return (
        f"{meant}; rename it, or use --column {quote(f'{name}={column}')}, "
        "or --extra-columns if it is a column of your own"
    )
