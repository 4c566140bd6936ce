"""Text from outside as Markdown that shows it, and does nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from batchcap.domain.text import printable

MAX_SHOWN = 200
"""Characters of a text that are shown."""


def code(text: str, limit: int = MAX_SHOWN) -> str:
    """Return text as a code span, also for a cell of a table; an empty text as a dash.

    In a code span, HTML, links and @mentions are plain text. A code span ends at as many
    backticks as it began with, so it begins with more than the text has. A bar would end the
    cell, hence the backslash; after a backslash of the text itself there is a space, because
    renderers differ in what two backslashes mean there.
    """
    shown = printable(text).strip()
    if len(shown) > limit:
        shown = f"{shown[: limit - 1].rstrip()}…"
    if not shown:
        return "–"
    runs = [len(run) for run in re.findall("`+", shown)]
    fence = "`" * (max(runs, default=0) + 1)
    padding = " " if shown.startswith("`") or shown.endswith("`") else ""
    shown = re.sub(r"\\(?=\|)", r"\\ ", shown).replace("|", r"\|")
    return f"{fence}{padding}{shown}{padding}{fence}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 0) -> Iterator[str]:
    """Yield the lines of a table of Markdown texts; its last `numbers` columns are numbers."""
    yield _line(columns)
    texts = len(columns) - numbers
    yield _line(["---"] * texts + ["---:"] * numbers)
    yield from map(_line, rows)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
