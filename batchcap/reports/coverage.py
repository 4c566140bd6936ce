"""Which source has a caption in which language: the state of each, and counts by language."""

from __future__ import annotations

import enum
import sys
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import msgspec


class CaptionState(enum.StrEnum):
    """The state of a caption, from what needs no attention to what needs most."""

    DONE = "done"
    SKIPPED = "skipped"
    RUNNING = "running"
    """Its row is pending, and its job exists."""
    MISSING = "missing"
    """Its row is pending, and has no job."""
    FAILED = "failed"
    """Its row failed, or is invalid."""


_STATES = tuple(CaptionState)
_OF_ROW = {
    "done": CaptionState.DONE,
    "skipped": CaptionState.SKIPPED,
    "failed": CaptionState.FAILED,
    "invalid": CaptionState.FAILED,
}

GAPS = frozenset({CaptionState.RUNNING, CaptionState.MISSING, CaptionState.FAILED})
"""The states of a caption that is not there, although it is wanted."""


def caption_state(result: Mapping[str, Any]) -> CaptionState:
    """Return the state of the caption that a row of the results asks for."""
    pending = CaptionState.RUNNING if result["job_id"] else CaptionState.MISSING
    return _OF_ROW.get(result["state"], pending)


class Source(msgspec.Struct, frozen=True):
    """A source with the state of each language that was asked for, in the order of the rows."""

    provider: str
    source_id: str
    states: dict[str, CaptionState]

    @property
    def has_gaps(self) -> bool:
        """Whether a caption is not there."""
        return not GAPS.isdisjoint(self.states.values())


class Coverage:
    """The coverage of the results that were added; a row takes 9 bytes beside its source's id.

    Languages are compared without regard to case; the first spelling is shown. A row without a
    language has the language "". If two rows ask for one language of a source, the one that
    needs more attention counts.
    """

    def __init__(self) -> None:
        self._sources: dict[tuple[str, str], int] = {}
        self._languages: dict[str, int] = {}
        self._spellings: list[str] = []
        self._row_source, self._row_language = array("I"), array("I")
        self._row_state = bytearray()

    def add(self, result: Mapping[str, Any]) -> None:
        """Add a row of the results. An invalid row without a source id is left out."""
        if not result["source_id"]:
            return
        source = (sys.intern(result["provider"] or "unknown"), result["source_id"])
        language = result["language"] or ""
        number = self._languages.setdefault(language.lower(), len(self._languages))
        if number == len(self._spellings):
            self._spellings.append(language)
        self._row_source.append(self._sources.setdefault(source, len(self._sources)))
        self._row_language.append(number)
        self._row_state.append(_STATES.index(caption_state(result)))

    def languages(self) -> list[str]:
        """Return the languages in their order, and "" last."""
        return sorted(self._spellings, key=lambda language: (not language, language.lower()))

    def by_language(self) -> dict[str, Counter[CaptionState]]:
        """Count the rows of each language by their state, in the order of `languages`."""
        counts: dict[str, Counter[CaptionState]] = {name: Counter() for name in self.languages()}
        pairs = zip(self._row_language, self._row_state, strict=True)
        for (language, state), count in Counter(pairs).items():
            counts[self._spellings[language]][_STATES[state]] = count
        return counts

    def sources(self) -> Iterator[Source]:
        """Yield the sources in the order of their first rows."""
        source_of = self._row_source.__getitem__
        rows = sorted(range(len(self._row_source)), key=source_of)
        for (provider, source_id), (_, group) in zip(
            self._sources, groupby(rows, source_of), strict=True
        ):
            states: dict[str, int] = {}
            for row in group:
                language = self._spellings[self._row_language[row]]
                states[language] = max(self._row_state[row], states.get(language, 0))
            named = {language: _STATES[state] for language, state in states.items()}
            yield Source(provider, source_id, named)
