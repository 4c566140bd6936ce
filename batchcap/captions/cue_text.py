"""The text of a cue: without markup, counted in characters as readers see them, and its tags.

The regex library counts grapheme clusters. It is imported for text that needs it: for most
scripts, every code point is a character of its own.
"""

from __future__ import annotations

import functools
import html
import re
import unicodedata
from collections.abc import Callable, Iterator

TAG = re.compile(r"<[^>]*(?:>|\Z)")
"""A tag as a player reads it: one that is not closed takes the rest of the cue."""
_NAME = re.compile(r"</?([^\s.>/]*)")
_TIMESTAMP = re.compile(r"<[\d:]+\.\d{3}>")
_TAGS = frozenset({"c", "i", "b", "u", "ruby", "rt", "v", "lang"})
"""The tags of WebVTT (W3C WebVTT, 4.2.2); players ignore others."""
_SIMPLE = re.compile(
    # Without combining marks, jamo, joiners and what can begin a flag or a sequence of emoji.
    "[\\n\x20-\x7e\xa0-\xa8\xaa-\xac\xaf-\u02ff\u0370-\u0482\u048a-\u0590\u060c\u061b\u061f-\u064a\u2010-\u2027"
    "\u3001-\u3029\u3041-\u3096\u309b-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
    "\uff01-\uff9d]*"
)
_WIDE = re.compile(
    "[\\n\u3001-\u3029\u3041-\u3096\u309b-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff60]*"
)
"""Text of full-width characters alone (Unicode UAX 11), each of one code point."""


def plain(text: str) -> str:
    """Return the text that a player shows: without tags, character references resolved."""
    if "<" in text:
        text = TAG.sub("", text)
    return html.unescape(text) if "&" in text else text


def characters(text: str) -> int:
    """Return the number of grapheme clusters (Unicode UAX 29); line breaks do not count."""
    breaks = text.count("\n")
    if text.isascii() or _SIMPLE.fullmatch(text):
        return len(text) - breaks
    return len(_clusters()(text)) - breaks


def width(text: str) -> float:
    """Return the number of characters, of which those that are not full-width count half."""
    if text.isascii():
        return (len(text) - text.count("\n")) / 2
    if _WIDE.fullmatch(text):
        return len(text) - text.count("\n")
    return sum(
        1.0 if unicodedata.east_asian_width(cluster[0]) in "WF" else 0.5
        for cluster in _clusters()(text)
        if cluster != "\n"
    )


def unclosed(text: str) -> str:
    """Return the first tag that is not closed, or closes none; "" if there is none.

    `<v>` may stay open to the end of the cue, and `<rt>` ends with its `<ruby>` (W3C WebVTT,
    4.2.2).
    """
    open_tags: list[str] = []
    for tag, name in _tags(text):
        if not tag.endswith(">"):
            return tag
        if not tag.startswith("</"):
            open_tags.append(name)
            continue
        if name == "ruby" and open_tags and open_tags[-1] == "rt":
            open_tags.pop()
        if not open_tags or open_tags.pop() != name:
            return tag
    if open_tags == ["v"] and text.startswith("<v"):
        return ""
    return f"<{open_tags[0]}>" if open_tags else ""


def unknown_tag(text: str) -> str:
    """Return the first tag that WebVTT does not have, "" if there is none."""
    return next((tag for tag, name in _tags(text) if name not in _TAGS), "")


def _tags(text: str) -> Iterator[tuple[str, str]]:
    """Yield each tag with its name, but for timestamps."""
    for tag in TAG.findall(text):
        name = _NAME.match(tag)
        if not _TIMESTAMP.fullmatch(tag):
            yield tag, name[1] if name else ""


@functools.cache
def _clusters() -> Callable[[str], list[str]]:
    import regex

    return regex.compile(r"\X").findall
