"""The results as one table, for CSV and for a workbook."""

from __future__ import annotations

from typing import Any

from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.reports.findings import findings_text

_COLUMNS = (
    *("key", "provider", "source_id", "language", "state", "path", "bytes", "sha256", "cues"),
    *("job_id", "started_at", "finished_at", "file", "line"),
)
_QUALITY = "quality"
_CONVERTED = "converted_from"
_ERROR = ("code", "message", "retryable")


class ResultTable:
    """One record for each result; the user's own columns come last, as `meta.NAME`.

    `file` and `line` are those of an invalid row.
    """

    def __init__(self, ledger: LedgerReader) -> None:
        self._own = sorted({name for result in ledger.results() for name in result["meta"]})
        self.columns = [
            *_COLUMNS,
            *(f"error.{name}" for name in _ERROR),
            *(_QUALITY, _CONVERTED),
            *(f"meta.{name}" for name in self._own),
        ]

    def record(self, result: dict[str, Any]) -> list[Any]:
        """Return the values of one result in the order of `columns`."""
        error = result["error"] or {}
        values = [
            *map(result.get, _COLUMNS),
            *map(error.get, _ERROR),
            *(findings_text(result.get(_QUALITY)), result.get(_CONVERTED)),
        ]
        return values + [result["meta"].get(name) for name in self._own]
