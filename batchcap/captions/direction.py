"""Marks of text direction, which readers do not see and which turn the text around."""

from __future__ import annotations

from batchcap.domain.languages import language_and_script

_CLOSE = "\u202c"
_OPEN = "\u202a\u202b\u202d\u202e"
_CLOSE_ISOLATE = "\u2069"
_OPEN_ISOLATE = "\u2066\u2067\u2068"
_MARKS = f"\u061c\u200e\u200f{_OPEN}{_CLOSE}{_OPEN_ISOLATE}{_CLOSE_ISOLATE}"
_RIGHT_TO_LEFT = frozenset({"Adlm", "Arab", "Hebr", "Nkoo", "Rohg", "Syrc", "Thaa"})


def has_direction_problem(text: str, language: str | None) -> str:
    """Return what is wrong with the marks of direction in a cue, "" if nothing is.

    Each embedding, override and isolate must be closed in its line (Unicode UAX 9, 3.3). A
    language that is written from left to right needs no mark at all.
    """
    marks = [character for character in text if character in _MARKS]
    if not marks:
        return ""
    for line in text.split("\n"):
        if not _is_balanced(line):
            return "a mark of direction is not closed"
    script = language_and_script(language)[1] if language else ""
    if script and script not in _RIGHT_TO_LEFT:
        return f"U+{ord(marks[0]):04X}, a mark of direction, in {language}"
    return ""


def _is_balanced(line: str) -> bool:
    expected: list[str] = []
    for character in line:
        if character in _OPEN:
            expected.append(_CLOSE)
        elif character in _OPEN_ISOLATE:
            expected.append(_CLOSE_ISOLATE)
        elif character in (_CLOSE, _CLOSE_ISOLATE) and (
            not expected or expected.pop() != character
        ):
            return False
    return not expected
