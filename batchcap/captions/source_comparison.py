"""A caption beside the captions that it was translated from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batchcap.captions.cue_text import plain
from batchcap.captions.webvtt import Cue
from batchcap.domain.quality import Finding

MIN_WORDS, MIN_LETTERS = 3, 12
"""What a cue must have to be noted as not translated: names and numbers stay the same."""


def compare(
    cues: Sequence[Cue], source: Sequence[Cue]
) -> Iterator[tuple[Finding, str, int | None, int | None]]:
    """Yield kind, detail, number of the cue and its start of each difference.

    Cues with equal times are compared, so that one that is missing does not hide the others.
    """
    texts = {(cue.start, cue.end): cue.text for cue in source}
    moved = 0
    for number, cue in enumerate(cues, 1):
        original = texts.get((cue.start, cue.end))
        if original is None:
            moved += 1
        elif original == cue.text and _is_language(plain(cue.text)):
            yield Finding.UNTRANSLATED, "the text of the source", number, cue.start
    if len(cues) != len(source):
        yield Finding.CUE_COUNT, f"{len(cues)} cues, the source has {len(source)}", None, None
    if moved:
        detail = f"{moved} of {len(cues)} cues have times that no cue of the source has"
        yield Finding.CUE_TIMES, detail, None, None


def _is_language(text: str) -> bool:
    """Return whether a text is more than a name or a number."""
    words = [word for word in text.split() if any(map(str.isalpha, word))]
    return len(words) >= MIN_WORDS or sum(map(len, words)) >= MIN_LETTERS
