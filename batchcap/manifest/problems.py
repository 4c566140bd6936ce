"""How a problem of a manifest is told: short, on one line, safe to print."""

from __future__ import annotations

from typing import Any

SHOWN = 60
"""Characters of the user's own text that a message repeats at most."""


class Wrong(ValueError):
    """A cell is not what its column holds; the message says what is expected."""


def shown(text: str) -> str:
    """`text` in quotes, with control characters escaped, cut to `SHOWN` characters."""
    quoted = repr(text[:SHOWN])
    if len(text) <= SHOWN and len(quoted) <= SHOWN:
        return quoted
    return f"{quoted[: SHOWN - 4]}...{quoted[-1]}"


def described(value: Any) -> str:
    """What a JSON value is, in a few words."""
    match value:
        case str():
            return shown(value)
        case bool():
            return f"{value}".lower()
        case int() | float():
            return f"the number {value}"
        case dict():
            return "an object"
        case list():
            return "a list"
    return "null"
