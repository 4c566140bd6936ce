"""What can be wrong with the text and the times of a caption that a player shows."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol

import msgspec

from batchcap.domain.models import Row

Examine = Callable[[bytes], dict[str, int]]
"""Returns how many findings of each kind a caption has, or raises `BadQuality`."""


class Finding(enum.StrEnum):
    """One kind of finding; docs/quality.md describes each."""

    NOT_WEBVTT = "not_webvtt"
    NOT_UTF_8 = "not_utf_8"
    NO_CUES = "no_cues"
    ZERO_LENGTH = "zero_length"
    REVERSED = "reversed"
    OUT_OF_ORDER = "out_of_order"
    OVERLAP = "overlap"
    SHORT_GAP = "short_gap"
    LONG_GAP = "long_gap"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    TOO_FAST = "too_fast"
    LONG_LINE = "long_line"
    MANY_LINES = "many_lines"
    EMPTY = "empty"
    REPEATED = "repeated"
    WRONG_SCRIPT = "wrong_script"
    CONTROL_CHARACTER = "control_character"
    REPLACEMENT_CHARACTER = "replacement_character"
    DIRECTION_MARK = "direction_mark"
    UNCLOSED_MARKUP = "unclosed_markup"
    UNKNOWN_MARKUP = "unknown_markup"
    BEGINS_LATE = "begins_late"
    ENDS_EARLY = "ends_early"
    BEYOND_END = "beyond_end"
    UNTRANSLATED = "untranslated"
    CUE_COUNT = "cue_count"
    CUE_TIMES = "cue_times"
    LOST_TERM = "lost_term"


ERRORS = frozenset(
    {
        Finding.NOT_WEBVTT,
        Finding.NOT_UTF_8,
        Finding.ZERO_LENGTH,
        Finding.REVERSED,
        Finding.OUT_OF_ORDER,
        Finding.EMPTY,
        Finding.CONTROL_CHARACTER,
        Finding.REPLACEMENT_CHARACTER,
        Finding.UNCLOSED_MARKUP,
        Finding.LOST_TERM,
    }
)
"""Findings that are mistakes by any rules, which no translation and no style explains."""


class QualitySettings(msgspec.Struct, frozen=True):
    """How captions are checked. `rules` names the limits, `terms` must survive translation.

    A caption with one of the `strict` findings is refused.
    """

    rules: str = "netflix"
    terms: tuple[str, ...] = ()
    strict: frozenset[Finding] = frozenset()


class QualityCheck(Protocol):
    """Checks the captions of rows before they get their final names."""

    def examine(self, row: Row, data: bytes) -> dict[str, int]:
        """Return how many findings of each kind the caption of a row has.

        Raises:
            BadQuality: It has findings that the user does not accept.
        """
        ...
