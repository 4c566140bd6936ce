"""The rows that a run chose from those that are pending."""

from __future__ import annotations

import sqlite3

from batchcap.domain.errors import UsageError
from batchcap.domain.models import Row
from batchcap.domain.selection import Selection

_COLUMNS = ", ".join(Row.__struct_fields__)
_PENDING = f"SELECT {_COLUMNS} FROM rows WHERE state IS NULL ORDER BY number"  # noqa: S608  # constants
_NUMBERS = "SELECT number FROM rows WHERE state IS NULL ORDER BY number LIMIT ?"

CHOSEN = "chosen"
"""The SQL function that returns whether a row was chosen, by its number."""


class ChosenRows:
    """Some rows of a ledger, a byte each."""

    def __init__(self, connection: sqlite3.Connection, selection: Selection) -> None:
        """Choose from the pending rows.

        Raises:
            UsageError: A filter has a column that no pending row has.
        """
        last = connection.execute("SELECT ifnull(max(number), 0) FROM rows").fetchone()[0]
        self._marks = bytearray(last + 1)
        self.count = 0
        if selection.filters:
            self._choose_matching(connection, selection)
        else:
            for (number,) in connection.execute(_NUMBERS, (selection.limit,)):
                self._add(number)

    def register(self, connection: sqlite3.Connection) -> None:
        """Let the SQL of a connection call `CHOSEN`."""
        connection.create_function(CHOSEN, 1, self._is_chosen, deterministic=True)

    def _choose_matching(self, connection: sqlite3.Connection, selection: Selection) -> None:
        missing = {wanted.column for wanted in selection.filters}
        is_empty = True
        for values in connection.execute(_PENDING):
            row = Row.of(values)
            is_empty = False
            if missing:
                missing -= selection.columns_in(row)
            if selection.matches(row):
                self._add(row.number)
                if self.count == selection.limit:
                    return
        if missing and not is_empty:
            raise UsageError(
                f"--filter: no pending row has a column {', '.join(sorted(missing))}",
                hint="A filter names a column of the manifest: --filter 'title=Season 2*'",
            )

    def _add(self, number: int) -> None:
        self._marks[number] = 1
        self.count += 1

    def _is_chosen(self, number: int) -> int:
        return self._marks[number] if number < len(self._marks) else 0
