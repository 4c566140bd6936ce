"""Terms that are not to be translated: whether they survived."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from batchcap.captions.cue_text import plain
from batchcap.captions.webvtt import Cue


def terms_in(text: str) -> tuple[str, ...]:
    """Return the terms of a file: one a line, each once; empty lines and those with # are none."""
    lines = (line.strip() for line in text.removeprefix("\ufeff").splitlines())
    return tuple(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def lost_terms(
    cues: Iterable[Cue], source: Iterable[Cue], terms: Sequence[str]
) -> Iterator[tuple[str, int, int]]:
    """Yield each term that is less often in a caption than in its source, with both counts.

    In the source, a term is a word or several; in the caption it may have an ending.
    """
    if not terms:
        return
    caption, original = _joined(cues), _joined(source)
    for term in terms:
        expected = len(re.findall(rf"(?<!\w){re.escape(term)}(?!\w)", original))
        if expected and (count := caption.count(term)) < expected:
            yield term, expected, count


def _joined(cues: Iterable[Cue]) -> str:
    """Return the whole text; a term may be broken between two lines."""
    return "\n\n".join(plain(cue.text).replace("\n", " ") for cue in cues)
