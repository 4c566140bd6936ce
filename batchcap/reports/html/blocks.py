"""Rows and captions as compact JSON for the page; the shapes are in the package's docstring."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from batchcap.reports.findings import findings_text

Result = Mapping[str, Any]

ROWS_IN_BLOCK = 5000
_VALUES = ("job_id", "bytes", "cues")
_TEXTS = ("provider", "source_id", "language", "state", "phase")
_DEFAULT = 0
"""In place of a key or a path that follows from the other columns."""


def script_json(value: object) -> str:
    """Return JSON that cannot end the script element it is in, whatever its texts are.

    A lone surrogate becomes an escape, because no encoding can hold it.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace").decode().replace("<", "\\u003c")


def row_blocks(results: Iterable[Result]) -> Iterator[dict[str, list[Any]]]:
    """Yield blocks of at most `ROWS_IN_BLOCK` rows; none if there are no rows."""
    remaining = iter(results)
    while rows := list(islice(remaining, ROWS_IN_BLOCK)):
        yield row_block(rows)


def row_block(rows: list[Result]) -> dict[str, list[Any]]:
    """Return rows, in the shape of results.jsonl, as columns with shared texts."""
    texts: dict[str | None, int] = {None: -1}
    place = texts.setdefault
    errors = [row["error"] or {} for row in rows]
    block: dict[str, list[Any]] = {
        "key": [_unless(row["key"], _default_key(row)) for row in rows],
        "path": [_unless(row["path"], _default_path(row)) for row in rows],
        **{name: [row[name] for row in rows] for name in _VALUES},
        **{name: [place(row.get(name), len(texts) - 1) for row in rows] for name in _TEXTS},
        "code": [place(error.get("code"), len(texts) - 1) for error in errors],
        "message": [place(error.get("message"), len(texts) - 1) for error in errors],
        "retryable": [int(error.get("retryable", False)) for error in errors],
        "started_at": [_seconds(row["started_at"]) for row in rows],
        "finished_at": [_seconds(row["finished_at"]) for row in rows],
        "origin": [_origin(row) for row in rows],
        "meta": [row["meta"] or None for row in rows],
    }
    findings = [findings_text(row.get("quality")) for row in rows]
    if any(findings):  # else the column is left out
        block["quality"] = [place(text, len(texts) - 1) for text in findings]
    return {**block, "texts": list(texts)[1:]}


def _unless(value: object, default: object) -> object:
    return _DEFAULT if value == default else value


def _default_key(row: Result) -> str:
    parts = (row["provider"], row["source_id"], row["language"])
    return ":".join(str(part) for part in parts if part)


def _default_path(row: Result) -> str:
    language = f".{row['language']}" if row["language"] else ""
    return f"{row['provider']}/{row['source_id']}{language}.vtt"


def _origin(row: Result) -> str | None:
    return f"{row['file']}:{row['line']}" if "file" in row else None


def _seconds(time: str | None) -> float | None:
    return None if time is None else round(datetime.fromisoformat(time).timestamp(), 3)
