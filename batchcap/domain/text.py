"""Text from outside, made safe to print."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return `text` as one line for a terminal, with unprintable characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
