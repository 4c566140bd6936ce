"""The results as CSV that Excel opens right by a double click."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Sequence

from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.reports.cells import ChangedCells, safe_cell
from batchcap.reports.result_table import ResultTable

_BOM = "\ufeff"
"""Without it, Excel reads the file in the encoding of the machine."""


def as_csv(
    ledger: LedgerReader, *, delimiter: str = ",", changed: ChangedCells | None = None
) -> Generator[str]:
    """Yield CSV with one record for each row. Records end in CRLF, the text begins with a BOM.

    No cell is a formula. `changed` counts the cells that Excel would change.
    """
    table = ResultTable(ledger)
    yield _BOM + _record(table.columns, delimiter)
    for result in ledger.results():
        values = table.record(result)
        if changed:
            for value in values:
                changed.look(value)
        yield _record(values, delimiter)


def _record(values: Sequence[object], delimiter: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter).writerow(map(safe_cell, values))
    return line.getvalue()
