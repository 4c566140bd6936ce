"""The ledger's results for spreadsheets and programs, streamed as CSV or JSON.

A cell that a spreadsheet would execute as a formula gets a quote in front, as OWASP
advises, because the author of a manifest may not be the reader of the report.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Generator
from typing import Any

import msgspec
import orjson

from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.text import one_line

_COLUMNS = (
    *("key", "provider", "source_id", "language", "state", "path", "bytes", "sha256", "cues"),
    *("job_id", "started_at", "finished_at", "file", "line"),
)
_ERROR = ("code", "message", "retryable")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(ledger: LedgerReader) -> Generator[str]:
    """Yield CSV with one record for each row; the user's own columns come last, as `meta.NAME`.

    `file` and `line` are those of an invalid row.
    """
    names = sorted({name for result in ledger.results() for name in result["meta"]})
    yield _record([*_COLUMNS, *(f"error.{name}" for name in _ERROR), *(f"meta.{n}" for n in names)])
    for result in ledger.results():
        error = result["error"] or {}
        values = [*(result.get(name) for name in _COLUMNS), *(error.get(name) for name in _ERROR)]
        yield _record([*values, *(result["meta"].get(name) for name in names)])


def as_json(ledger: LedgerReader) -> Generator[str]:
    """Yield one JSON object: `totals`, and `rows` as in results.jsonl."""
    yield f'{{"totals":{msgspec.json.encode(ledger.totals()).decode()},"rows":['
    comma = ""
    for result in ledger.results():
        yield comma + one_line(orjson.dumps(result)).decode()
        comma = ",\n"
    yield "]}\n"


def _record(values: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(map(safe_cell, values))
    return line.getvalue()


def safe_cell(value: object) -> object:
    """Return text that no spreadsheet takes for a formula, and numbers as they are."""
    if isinstance(value, dict | list):
        value = orjson.dumps(value).decode()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value
