"""How a row of the ledger looks in results.jsonl."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Any

import orjson

# A row has the job of its outcome. Until then, it is the job of its last create, unless that
# job ended without a caption or the provider does not know it.
_JOB = """CASE WHEN state IS NOT NULL THEN job_id ELSE (
    SELECT CASE WHEN ifnull(ended, 'completed') = 'completed' THEN job_id END
    FROM creates WHERE row = number ORDER BY nth DESC LIMIT 1
) END"""
_COLUMNS = (
    f"key, provider, source_id, language, state, path, bytes, sha256, cues, {_JOB}, "
    "code, message, retryable, started_at, finished_at, meta, origin"
)
COLUMNS = f"{_COLUMNS}, quality, converted_from"
"""What `result` needs of a row, in this order."""
COLUMNS_WITHOUT_QUALITY = f"{_COLUMNS}, NULL, NULL"
"""The same of a ledger whose version has no findings."""
META = 15
"""Place of `meta`, which is JSON, among them."""
WIDTH = 19
"""The number of these columns."""
_TIMES = slice(13, 15)
_MICROS = ", ".join(
    f"CAST(round({time} * 1e6) AS INTEGER)" for time in ("started_at", "finished_at")
)


def json_columns(columns: str) -> str:
    """Return the same for `result_of_json`: SQLite writes times into JSON with too few digits."""
    return columns.replace("started_at, finished_at, meta", f"{_MICROS}, json(meta)")


def result(values: tuple[Any, ...], meta: Any) -> dict[str, Any]:
    """Return the object of one row; `meta` stands for the JSON of the row's own."""
    (key, provider, source_id, language, state, path, size, sha256, cues, job_id) = values[:10]
    code, message, retryable, started_at, finished_at, _, origin, quality, converted = values[10:]
    error = None
    if message is not None:
        error = {"code": code, "message": message, "retryable": bool(retryable)}
    shown = {
        "key": key,
        "provider": provider,
        "source_id": source_id,
        "language": language,
        "state": state or "pending",
        "path": path,
        "bytes": size,
        "sha256": sha256,
        "cues": cues,
        "quality": orjson.loads(quality) if quality else None,
        "job_id": job_id,
        "error": error,
        "started_at": _time(started_at),
        "finished_at": _time(finished_at),
        "meta": meta,
    }
    if converted:
        shown["converted_from"] = converted
    if state == "invalid":
        file, _, line = origin.rpartition(":")
        shown |= {"file": file, "line": int(line or 0)}
    return shown


def result_of_json(values: list[Any]) -> dict[str, Any]:
    """Return the object of one row from its `json_columns`."""
    values[_TIMES] = [None if micros is None else micros / 1e6 for micros in values[_TIMES]]
    return result(tuple(values), values[META])


def _time(seconds: float | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    if seconds is None:
        return None
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{_second(whole)}.{micros // 1000:03}Z"


@functools.lru_cache(maxsize=1024)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).isoformat()[:19]
