"""What a spreadsheet makes of a cell: a formula, or another value than its text."""

from __future__ import annotations

import re

import orjson

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_MONTH = "jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec"
_CHANGED = re.compile(
    rf"""0[0-9]+                                  # 007 becomes 7
    | [0-9]{{16,}}                                # digits after the 15th become 0
    | [0-9]+(\.[0-9]+)? e [+-]?[0-9]+             # 1E5 becomes 100000
    | [0-9]{{1,2}} [-/] [0-9]{{1,4}}              # 1-2 becomes a date
    | ({_MONTH}) [ -]? [0-9]{{1,4}}               # MAR1 too
    | [0-9]{{1,2}} [ -]? ({_MONTH})""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)


def plain_cell(value: object) -> object:
    """Return a value as a cell holds it: lists and objects as JSON, all else as it is."""
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value


def safe_cell(value: object) -> object:
    """Return text that no spreadsheet takes for a formula, and numbers as they are.

    Text that begins like a formula gets a quote in front, as OWASP advises, because the author
    of a manifest may not be the reader of the report.
    """
    value = plain_cell(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value


class ChangedCells:
    """Counts the cells of a CSV file that Excel replaces by another value when it opens the file.

    CSV cannot mark a cell as text: whatever keeps Excel from reading a number (a quote, a tab,
    `="007"`) changes the value for every other reader. So the cells stay as they are, and the
    user is warned.
    """

    def __init__(self) -> None:
        self.count, self.example = 0, ""

    def look(self, value: object) -> None:
        """Count a cell if Excel would change it. The first one is the example."""
        if isinstance(value, str) and _CHANGED.fullmatch(value):
            self.count += 1
            self.example = self.example or value
