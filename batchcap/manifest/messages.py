"""The words of error messages: short, on one line, safe to print."""

from __future__ import annotations

from typing import Any

MAX_QUOTED = 60
"""Most characters of the user's own text that a message repeats."""


class FileProblem(str):
    """What is wrong with a whole file, such as its header: none of its rows can be imported."""

    __slots__ = ()


class InvalidValue(ValueError):
    """A cell does not hold what its column needs; the message says what is expected."""


def quote(text: str) -> str:
    """Return `text` in quotes, with control characters escaped, cut to `MAX_QUOTED` characters."""
    quoted = repr(text[:MAX_QUOTED])
    if len(text) <= MAX_QUOTED and len(quoted) <= MAX_QUOTED:
        return quoted
    return f"{quoted[: MAX_QUOTED - 4]}...{quoted[-1]}"


def describe(value: Any) -> str:
    """Return what a JSON value is, in a few words."""
    match value:
        case str():
            return quote(value)
        case bool():
            return f"{value}".lower()
        case int() | float():
            return f"the number {value}"
        case dict():
            return "an object"
        case list():
            return "a list"
    return "null"
