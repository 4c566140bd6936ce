"""Finds what is wrong with captions as readers see them: cues in, findings out.

The file is not changed, and nothing here decides whether it is accepted. docs/quality.md
describes every finding; the limits are those of `caption_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from batchcap.captions.caption_rules import CaptionRules, rules_for
from batchcap.captions.cue_text import characters, plain, unclosed, unknown_tag, width
from batchcap.captions.direction import has_direction_problem
from batchcap.captions.glossary import lost_terms
from batchcap.captions.scripts import script_check
from batchcap.captions.source_comparison import compare
from batchcap.captions.webvtt import Cue, cues, is_utf_16
from batchcap.domain.quality import Finding

LONG_GAP = 120_000
"""Milliseconds without a cue between two that are noted; batchcap's own limit."""

_END_SLACK = 1000  # milliseconds by which the last cue may pass the end: durations are rounded

# U+FEFF, a byte order mark, is no control character, but no player shows it as a space either.
_ODD = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffd\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")


class Found(msgspec.Struct, frozen=True):
    """One finding. `cue` is the number of the cue from 1, `at` its start in milliseconds.

    Both are None if the finding concerns the whole file. `detail` says what is there.
    """

    kind: Finding
    detail: str
    cue: int | None = None
    at: int | None = None


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """What a caption is compared with; None: it is unknown.

    `language` is a tag, `duration` that of the video in milliseconds. `source` are the cues that
    the caption was translated from, `terms` what had to stay as it is in them.
    """

    rules: str = "netflix"
    language: str | None = None
    duration: int | None = None
    source: Sequence[Cue] | None = None
    terms: tuple[str, ...] = ()


def findings_in(data: bytes, checks: Checks) -> tuple[list[Cue], list[Found]]:
    """Return the cues of a WebVTT file, and what is wrong with it.

    Raises:
        BadCaption: It is not WebVTT.
    """
    read = list(cues(data))
    found = findings(read, checks)
    if is_utf_16(data):
        found.append(Found(Finding.NOT_UTF_8, "UTF-16, which is not read by every player"))
    return read, found


def findings(given: Sequence[Cue], checks: Checks) -> list[Found]:
    """Return what is wrong with a caption, those of its cues first and in their order."""
    examiner = _Examiner(rules_for(checks.rules, checks.language), checks.language)
    for number, cue in enumerate(given, 1):
        examiner.examine(number, cue)
    found = examiner.found
    if not given:
        found.append(Found(Finding.NO_CUES, "no cue"))
    elif checks.duration is not None:
        _compare_with_duration(given, checks.duration, found)
    if checks.source is not None:
        found.extend(Found(*difference) for difference in compare(given, checks.source))
        for term, expected, count in lost_terms(given, checks.source, checks.terms):
            detail = f"{term!r} is in the source {expected} times, here {count} times"
            found.append(Found(Finding.LOST_TERM, detail))
    return found


def counts(found: Iterable[Found]) -> dict[str, int]:
    """Count the findings by kind, in the order in which `Finding` lists them."""
    kinds: dict[Finding, int] = {}
    for finding in found:
        kinds[finding.kind] = kinds.get(finding.kind, 0) + 1
    return {kind.value: kinds[kind] for kind in Finding if kind in kinds}


class _Examiner:
    """Looks at the cues of one file, one after the other."""

    def __init__(self, rules: CaptionRules, language: str | None) -> None:
        self.found: list[Found] = []
        self._rules, self._language = rules, language
        self._is_foreign = script_check(language)
        self._shortest, self._longest = rules.shortest or 0, rules.longest or float("inf")
        self._size = width if rules.half_width else characters
        self._line = float("inf") if rules.line is None else rules.line
        self._lines = rules.lines or float("inf")
        self._start: int | None = None  # of the cue before
        self._end = 0  # the latest of all cues before
        self._text = ""

    def examine(self, number: int, cue: Cue) -> None:
        """Add what is wrong with the next cue."""
        text = cue.text
        if "<" in text or "&" in text:
            self._examine_markup(number, cue)
            text = plain(text)
        self._examine_times(number, cue)
        if not text.strip():
            self._add(Finding.EMPTY, number, cue, "no text")
        else:
            self._examine_text(number, cue, text)
        self._start, self._text = cue.start, text
        self._end = max(self._end, cue.end)

    def _add(self, kind: Finding, number: int, cue: Cue, detail: str) -> None:
        self.found.append(Found(kind, detail, number, cue.start))

    def _examine_times(self, number: int, cue: Cue) -> None:
        length = cue.end - cue.start
        if length <= 0:
            kind = Finding.REVERSED if length < 0 else Finding.ZERO_LENGTH
            detail = f"ends {_seconds(-length)} before it starts" if length else "0 s long"
            self._add(kind, number, cue, detail)
        elif length < self._shortest:
            self._add(Finding.TOO_SHORT, number, cue, f"{_seconds(length)} long")
        elif length > self._longest:
            self._add(Finding.TOO_LONG, number, cue, f"{_seconds(length)} long")
        if self._start is None:
            return
        gap = cue.start - self._end
        if cue.start < self._start:
            self._add(Finding.OUT_OF_ORDER, number, cue, "begins before the cue that precedes it")
        elif gap < 0:
            self._add(Finding.OVERLAP, number, cue, f"begins {_seconds(-gap)} before another ends")
        elif gap > LONG_GAP:
            self._add(Finding.LONG_GAP, number, cue, f"{_seconds(gap)} without a cue before it")
        elif (gaps := self._rules.gaps) and gaps[0] <= gap < gaps[1]:
            self._add(Finding.SHORT_GAP, number, cue, f"{_seconds(gap)} after another")

    def _examine_text(self, number: int, cue: Cue, text: str) -> None:
        self._examine_speed(number, cue, text)
        if "\n" in text or len(text) > self._line:
            self._examine_lines(number, cue, text)
        if text == self._text:
            self._add(Finding.REPEATED, number, cue, "the text of the cue before")
        if _ODD.search(text):
            self._examine_characters(number, cue, text)
        if self._is_foreign is not None and self._is_foreign(text):
            detail = f"not in the script of {self._language}"
            self._add(Finding.WRONG_SCRIPT, number, cue, detail)

    def _examine_speed(self, number: int, cue: Cue, text: str) -> None:
        length = cue.end - cue.start
        if length <= 0:
            return
        speed, word_time = self._rules.speed, self._rules.word_time
        # There are never more characters than code points, which cost less to count.
        if speed is not None and len(text) * 1000 > speed * length:
            actual = self._size(text) * 1000 / length
            if actual > speed:
                detail = f"{actual:.1f} characters a second, at most {speed:g}"
                self._add(Finding.TOO_FAST, number, cue, detail)
        if word_time is not None and (words := len(text.split())) * word_time > length:
            detail = f"{words} words in {_seconds(length)}, at least {_seconds(words * word_time)}"
            self._add(Finding.TOO_FAST, number, cue, detail)

    def _examine_lines(self, number: int, cue: Cue, text: str) -> None:
        lines = text.split("\n")
        if len(lines) > self._lines:
            detail = f"{len(lines)} lines, at most {self._lines}"
            self._add(Finding.MANY_LINES, number, cue, detail)
        longest = max((self._size(line) for line in lines if len(line) > self._line), default=0)
        if longest > self._line:
            detail = f"a line of {longest:g} characters, at most {self._line}"
            self._add(Finding.LONG_LINE, number, cue, detail)

    def _examine_characters(self, number: int, cue: Cue, text: str) -> None:
        if "\ufffd" in text:
            detail = "U+FFFD, which stands for what could not be read"
            self._add(Finding.REPLACEMENT_CHARACTER, number, cue, detail)
        if control := _CONTROL.search(text):
            detail = f"U+{ord(control[0]):04X}, which no reader sees"
            self._add(Finding.CONTROL_CHARACTER, number, cue, detail)
        if problem := has_direction_problem(text, self._language):
            self._add(Finding.DIRECTION_MARK, number, cue, problem)

    def _examine_markup(self, number: int, cue: Cue) -> None:
        if tag := unclosed(cue.text):
            self._add(Finding.UNCLOSED_MARKUP, number, cue, f"{tag[:40]!r} is not closed")
        if tag := unknown_tag(cue.text):
            self._add(Finding.UNKNOWN_MARKUP, number, cue, f"{tag[:40]!r} is no tag of WebVTT")


def _compare_with_duration(given: Sequence[Cue], duration: int, found: list[Found]) -> None:
    first, last = min(cue.start for cue in given), max(cue.end for cue in given)
    of = f"of a video of {_seconds(duration)}"
    if first > duration / 2:
        found.append(Found(Finding.BEGINS_LATE, f"the first cue is at {_seconds(first)} {of}"))
    if last > duration + _END_SLACK:
        found.append(Found(Finding.BEYOND_END, f"the last cue ends at {_seconds(last)} {of}"))
    elif last < duration / 2:
        found.append(Found(Finding.ENDS_EARLY, f"the last cue ends at {_seconds(last)} {of}"))


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:g} s"
