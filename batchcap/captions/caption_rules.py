"""The limits that broadcasters set for captions: how long, how fast, how wide.

Sources, read in November 2026:

- Netflix, Timed Text Style Guide, General Requirements (partnerhelp.netflixstudios.com, article
  215758617): a cue lasts from 5/6 of a second to 7 seconds, has 2 lines at most, and 2 frames
  are between two cues at least.
- Netflix's guides of the single languages, as sublingo.cc/guides/subtitle-specs-by-language
  collects them: 42 characters a line and 17 a second for adults; English 20 a second; Japanese
  13 and 4; Korean 16 and 12; Chinese 16 and 9.
- BBC, Subtitle Guidelines (bbc.co.uk/accessibility/forproducts/guides/subtitles): 3.1, lines of
  37 characters at most on Teletext; 3.3, avoid 3 lines or more; 4.1, 0.3 seconds a word at
  least; 4.5, a gap is of one second at least, if there is any.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from batchcap.domain.languages import primary_language

RuleSet = Literal["netflix", "bbc", "none"]


class CaptionRules(msgspec.Struct, frozen=True):
    """The limits for one language. Times are in milliseconds; None: there is no limit.

    `line` and `lines` are the most characters of a line and lines of a cue; `speed` is in
    characters a second, `word_time` the least time for a word. A gap of at least `gaps[0]` and
    less than `gaps[1]` is too short. With `half_width`, characters that are not full-width count
    half, as in Chinese, Japanese and Korean.
    """

    line: int | None = None
    lines: int | None = None
    speed: float | None = None
    word_time: int | None = None
    shortest: int | None = None
    longest: int | None = None
    gaps: tuple[int, int] | None = None
    half_width: bool = False


NONE = CaptionRules()
BBC = CaptionRules(line=37, lines=2, word_time=300, gaps=(1, 1000))
NETFLIX = CaptionRules(
    line=42,
    lines=2,
    speed=17.0,
    shortest=833,
    longest=7000,
    gaps=(0, 66),  # a file has no frame rate: two frames at 30 a second
)
_NETFLIX_LIMITS = {"en": (42, 20.0), "ja": (13, 4.0), "ko": (16, 12.0), "zh": (16, 9.0)}
_HALF_WIDTH = frozenset({"ja", "ko", "zh"})


def rules_for(name: str, language: str | None) -> CaptionRules:
    """Return the limits of a rule set (`RuleSet`) for a language tag, None if it is unknown."""
    if name == "bbc":
        return BBC
    if name == "none":
        return NONE
    primary = primary_language(language) if language else ""
    line, speed = _NETFLIX_LIMITS.get(primary, (NETFLIX.line, NETFLIX.speed))
    return msgspec.structs.replace(
        NETFLIX, line=line, speed=speed, half_width=primary in _HALF_WIDTH
    )
