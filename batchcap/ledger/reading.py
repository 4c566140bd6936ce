"""What report and status read, from this process or from another."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import orjson

_RESULTS = """
SELECT key, provider, source_id, language, state, path, bytes, sha256, cues, job_id,
       code, message, retryable, started_at, finished_at, meta, origin
FROM rows ORDER BY number
"""
_TOTALS = """
SELECT provider, ifnull(state, 'pending'), code, count(*), ifnull(sum(bytes), 0)
FROM rows GROUP BY 1, 2, 3
"""


class Totals(msgspec.Struct):
    """Counts over the whole ledger; `errors` counts per code of failed rows."""

    total: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    invalid: int = 0
    pending: int = 0
    bytes: int = 0
    units_consumed: int = 0
    errors: dict[str, int] = {}
    by_provider: dict[str, dict[str, int]] = {}


def totals(connection: sqlite3.Connection) -> Totals:
    """Count what stands where."""
    found = Totals(errors={}, by_provider={})
    for provider, state, code, count, size in connection.execute(_TOTALS):
        found.total += count
        found.bytes += size
        setattr(found, state, getattr(found, state) + count)
        if state == "failed":
            found.errors[code] = found.errors.get(code, 0) + count
        states = found.by_provider.setdefault(provider or "unknown", {})
        states[state] = states.get(state, 0) + count
    found.units_consumed = connection.execute(
        "SELECT ifnull(sum(units), 0) FROM creates"
    ).fetchone()[0]
    return found


def waiting(connection: sqlite3.Connection, *, repairs: bool = False) -> set[str]:
    """The providers that have rows which have not ended; or only such that were done once."""
    found = connection.execute(
        "SELECT DISTINCT provider FROM rows"
        " WHERE state IS NULL AND (NOT ? OR finished_at IS NOT NULL)",
        (repairs,),
    )
    return {provider for (provider,) in found}


def failed_codes(connection: sqlite3.Connection) -> list[str]:
    """The error codes that failed rows have."""
    return [
        code
        for (code,) in connection.execute(
            "SELECT DISTINCT code FROM rows WHERE state = 'failed' ORDER BY code"
        )
    ]


def results(connection: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    """One object a task in manifest order, as results.jsonl shows it."""
    for row in connection.execute(_RESULTS):
        yield _result(row)


def _result(row: tuple[Any, ...]) -> dict[str, Any]:
    (key, provider, source_id, language, state, path, size, sha256, cues, job_id) = row[:10]
    (code, message, retryable, started_at, finished_at, meta, origin) = row[10:]
    error = None
    if message is not None:
        error = {"code": code, "message": message, "retryable": bool(retryable)}
    result = {
        "key": key,
        "provider": provider,
        "source_id": source_id,
        "language": language,
        "state": state or "pending",
        "path": path,
        "bytes": size,
        "sha256": sha256,
        "cues": cues,
        "job_id": job_id,
        "error": error,
        "started_at": _time(started_at),
        "finished_at": _time(finished_at),
        "meta": orjson.loads(meta),
    }
    if state == "invalid":
        result["line"] = int(origin.rpartition(":")[2] or 0)
    return result


def _time(seconds: float | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    if seconds is None:
        return None
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
