"""Which pending rows a run works on: the first ones, or those whose columns match."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from batchcap.domain.models import Row


class Filter(msgspec.Struct, frozen=True):
    """A glob that a column must match, in which case counts. An absent cell is an empty text."""

    column: str
    glob: str


class Selection(msgspec.Struct, frozen=True):
    """The first `limit` pending rows that match all filters; None: all of them.

    `aliases` has, for each provider, the columns of a manifest that are fields of a `Row`
    under another name, such as the id column.
    """

    filters: tuple[Filter, ...] = ()
    limit: int | None = None
    aliases: Mapping[str, Mapping[str, str]] = {}

    @property
    def is_everything(self) -> bool:
        """Whether every pending row is chosen."""
        return not self.filters and self.limit is None

    def matches(self, row: Row) -> bool:
        """Return whether the row matches every filter."""
        return all(fnmatchcase(_text(self._cell(row, f.column)), f.glob) for f in self.filters)

    def columns_in(self, row: Row) -> set[str]:
        """Return those columns of the filters that the row has."""
        names = (f.column for f in self.filters)
        return {name for name in names if self._cell(row, name) is not None}

    def _cell(self, row: Row, column: str) -> Any:
        fields = {
            "key": row.key,
            "provider": row.provider,
            "source_id": row.source_id,
            "language": row.language,
            "name": row.path,
        }
        field = self.aliases.get(row.provider, {}).get(column, column)
        if field in fields:
            return fields[field]
        return row.params.get(column, row.meta.get(column))


def _text(value: Any) -> str:
    """Return a cell as a manifest has it: `true`, `a;b`."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list():
            return ";".join(map(_text, value))
        case _:
            return str(value)
