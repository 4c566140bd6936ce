"""What commands print of rows that their manifest does not list any more."""

from __future__ import annotations

import itertools
from pathlib import Path

from batchcap.cli.command_lines import command_line
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.text import printable

_SHOWN = 3
"""Rows that are named."""


def unlisted_note(ledger: LedgerReader, out: Path, *, sandbox: bool) -> str:
    """Return which rows these are and how to remove them, "" if there are none."""
    keys = ledger.unlisted_keys()
    named = [printable(key) for key in itertools.islice(keys, _SHOWN)]
    more = sum(1 for _ in keys)
    if not named:
        return ""
    rows = (
        "1 row is not in its" if len(named) == 1 else f"{len(named) + more:,} rows are not in their"
    )
    names = ", ".join(named) + (f" and {more:,} more" if more else "")
    forget = command_line("forget", out, "--unlisted", sandbox=sandbox)
    way_out = f"to remove what was not paid for: {forget}"
    return f"{rows} manifest any more ({names}); {way_out}"
