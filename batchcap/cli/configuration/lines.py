"""Where a key stands in a TOML file, for messages. `tomllib` does not keep it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any


def line_of(text: str, path: Sequence[str]) -> int | None:
    """Return the line, from 1, in which the statement begins that sets `path`.

    Works for every notation: tables, dotted keys and inline tables. Returns None if no line
    has the last key as it is spelled in `path`.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    for start, line in enumerate(lines):
        if path[-1] not in line:
            continue
        before = _parsed(lines[:start])
        if before is None or _has(before, path):  # inside a longer value
            continue
        parsed = map(_parsed, _longer(lines, start))
        if _has(next((document for document in parsed if document is not None), {}), path):
            return start + 1
    return None


def _longer(lines: Sequence[str], start: int) -> list[Sequence[str]]:
    return [lines[:end] for end in range(start + 1, len(lines) + 1)]


def _parsed(lines: Sequence[str]) -> dict[str, Any] | None:
    """Return what the lines hold; None if they end inside a value."""
    try:
        return tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError:
        return None


def _has(document: Any, path: Sequence[str]) -> bool:
    for key in path:
        if not isinstance(document, Mapping) or key not in document:
            return False
        document = document[key]
    return True
