"""The ledger's results for spreadsheets and programs: CSV and JSON, streamed.

A cell that a spreadsheet would run as a formula is made text with a quote in
front, as OWASP advises: manifests come from anywhere.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson

from batchcap.interfaces import LedgerReader

_COLUMNS = (
    *("key", "provider", "source_id", "language", "state", "path", "bytes", "sha256", "cues"),
    *("job_id", "started_at", "finished_at"),
)
_ERROR = ("code", "message", "retryable")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(ledger: LedgerReader) -> Iterator[str]:
    """One record a task, the user's own columns last, as `meta.NAME`."""
    names = sorted({name for one in ledger.results() for name in one["meta"]})
    yield _record([*_COLUMNS, *(f"error.{name}" for name in _ERROR), *(f"meta.{n}" for n in names)])
    for one in ledger.results():
        error = one["error"] or {}
        values = [*(one[name] for name in _COLUMNS), *(error.get(name) for name in _ERROR)]
        yield _record([*values, *(one["meta"].get(name) for name in names)])


def as_json(ledger: LedgerReader) -> Iterator[str]:
    """One object: `totals`, and `rows` as in results.jsonl."""
    yield f'{{"totals":{msgspec.json.encode(ledger.totals()).decode()},"rows":['
    comma = ""
    for one in ledger.results():
        yield comma + orjson.dumps(one).decode()
        comma = ",\n"
    yield "]}\n"


def _record(values: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(map(_cell, values))
    return line.getvalue()


def _cell(value: object) -> object:
    """Text that no spreadsheet takes for a formula; numbers as they are."""
    if isinstance(value, dict | list):
        value = orjson.dumps(value).decode()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value
