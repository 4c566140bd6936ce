"""What report and status read, from this process or from another."""

from __future__ import annotations

import functools
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
_META = 15
# Two halves, since the index of pending rows counts its own at once.
_TOTALS = """
SELECT * FROM (
    SELECT provider, 'pending' AS state, NULL AS code, count(*), 0
    FROM rows WHERE state IS NULL GROUP BY provider
    UNION ALL
    SELECT provider, state, code, count(*), ifnull(sum(bytes), 0)
    FROM rows WHERE state IS NOT NULL GROUP BY provider, state, code
) ORDER BY provider, state, code
"""
# From one provider to the next in the index, past its pending rows.
_WAITING = """
WITH RECURSIVE waiting(name) AS (
    SELECT min(provider) FROM rows WHERE state IS NULL
    UNION ALL
    SELECT (SELECT min(provider) FROM rows WHERE state IS NULL AND provider > name)
    FROM waiting WHERE name IS NOT NULL
)
SELECT name FROM waiting WHERE name IS NOT NULL AND (NOT ? OR EXISTS (
    SELECT 1 FROM rows WHERE provider = name AND state IS NULL AND finished_at IS NOT NULL
))
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
    return {provider for (provider,) in connection.execute(_WAITING, (repairs,))}


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
        yield _result(row, orjson.loads(row[_META]))


def lines(connection: sqlite3.Connection) -> Iterator[bytes]:
    """The lines of results.jsonl."""
    for row in connection.execute(_RESULTS):
        result = _result(row, orjson.Fragment(row[_META]))
        yield orjson.dumps(result, option=orjson.OPT_APPEND_NEWLINE)


def _result(row: tuple[Any, ...], meta: Any) -> dict[str, Any]:
    (key, provider, source_id, language, state, path, size, sha256, cues, job_id) = row[:10]
    (code, message, retryable, started_at, finished_at, _, origin) = row[10:]
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
        "meta": meta,
    }
    if state == "invalid":
        result["line"] = int(origin.rpartition(":")[2] or 0)
    return result


def _time(seconds: float | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    if seconds is None:
        return None
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{_second(whole)}.{micros // 1000:03}Z"


@functools.lru_cache(maxsize=1024)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).isoformat()[:19]
