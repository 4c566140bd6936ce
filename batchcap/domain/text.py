"""Text from outside, made safe to print."""

from __future__ import annotations

_LINE_BREAKS = tuple(
    (character.encode(), f"\\u{ord(character):04x}".encode()) for character in "\u0085\u2028\u2029"
)


def printable(text: str) -> str:
    """Return `text` as one line for a terminal, with unprintable characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: `1 row`, `2,000 rows`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def one_line(document: bytes) -> bytes:
    """Return a JSON document with the line breaks of Unicode escaped in its strings.

    JSON allows U+0085, U+2028 and U+2029 in a string, but readers of lines break there.
    """
    for character, escaped in _LINE_BREAKS:
        document = document.replace(character, escaped)
    return document
