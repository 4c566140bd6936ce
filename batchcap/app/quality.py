"""The quality of captions: of those that a run downloads, and of files that are there."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from batchcap.app.verify import open_file
from batchcap.captions.quality import Checks, Found, counts, findings_in
from batchcap.captions.webvtt import Cue, check, cues
from batchcap.domain.errors import BadCaption, BadQuality
from batchcap.domain.language_names import named
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import Row
from batchcap.domain.quality import Finding, QualitySettings
from batchcap.domain.workload import video_seconds
from batchcap.manifest.languages import is_registered
from batchcap.storage.sources import source_file

MAX_NAMED = 3
"""Findings that the message of a refused caption names."""

_TERMS = "never_translate"
"""The column of a row with the terms that must survive: Mux's, or the user's own."""


class CheckedFile(msgspec.Struct, frozen=True):
    """A caption file and what was found in it.

    `first` and `last` are the start of the first cue and the end of the last, in milliseconds.
    """

    path: str
    language: str | None
    cues: int
    first: int | None
    last: int | None
    quality: dict[str, int]
    findings: list[Found]


class CaptionQuality:
    """Checks the captions of an output folder's rows. A `domain.quality.QualityCheck`."""

    def __init__(self, settings: QualitySettings, out: Path) -> None:
        self._settings, self._out = settings, out

    def checks(self, row: Row) -> Checks:
        """Return what a row's caption is compared with: its source only if it was downloaded."""
        seconds = video_seconds(row.meta)
        track = row.params.get("track_id")
        source = source_file(self._out, row.provider, row.source_id, track)
        return Checks(
            rules=self._settings.rules,
            language=named(row.language).tag if row.language else None,
            duration=None if seconds is None else round(seconds * 1000),
            source=None if source is None else source_cues(source),
            terms=(*self._settings.terms, *_terms(row)),
        )

    def examine(self, row: Row, data: bytes) -> dict[str, int]:
        """See `domain.quality.QualityCheck`."""
        _, found = findings_in(data, self.checks(row))
        if refused := [one for one in found if one.kind in self._settings.strict]:
            raise BadQuality(_described(refused))
        return counts(found)

    def examine_file(self, row: Row) -> dict[str, int] | None:
        """Count the findings in a row's file by kind; None if the file cannot be read."""
        try:
            with open_file(self._out, row.path) as file:
                data = file.read()
        except OSError:
            return None
        return check_data(data, row.path, self.checks(row)).quality


def check_data(data: bytes, path: str, checks: Checks) -> CheckedFile:
    """Return what is found in the bytes of a file, which need not be WebVTT."""
    try:
        check(data)
    except BadCaption as error:
        refused = [Found(Finding.NOT_WEBVTT, error.message)]
        return CheckedFile(path, checks.language, 0, None, None, counts(refused), refused)
    read, found = findings_in(data, checks)
    return CheckedFile(
        path=path,
        language=checks.language,
        cues=len(read),
        first=min((cue.start for cue in read), default=None),
        last=max((cue.end for cue in read), default=None),
        quality=counts(found),
        findings=found,
    )


def unreadable(path: str, checks: Checks, error: OSError) -> CheckedFile:
    """Return what is found in a file that cannot be read."""
    found = [Found(Finding.NOT_WEBVTT, f"cannot be read: {error.strerror or error}")]
    return CheckedFile(path, checks.language, 0, None, None, counts(found), found)


def done_rows(ledger: LedgerReader) -> Iterator[Row]:
    """Yield the rows that are done, by provider and in manifest order."""
    for provider in sorted(ledger.totals().by_provider):
        for page in ledger.rows(provider, done=True):
            yield from page


def caption_files(folder: Path) -> Iterator[Path]:
    """Yield the WebVTT files below a folder in the order of their names, but for batchcap's own."""
    for path in sorted(folder.rglob("*.vtt")):
        if path.is_file() and ".batchcap" not in path.relative_to(folder).parts:
            yield path


def language_of(path: Path) -> str | None:
    """Return the language tag that a file's name has before its ending, None if it has none."""
    tag = path.stem.rpartition(".")[2] if "." in path.stem else ""
    return tag if is_registered(tag) else None


def source_cues(path: Path) -> list[Cue] | None:
    """Return the cues of source captions, None if they cannot be read."""
    try:
        return _source_cues(path, path.stat().st_mtime_ns)
    except (OSError, BadCaption):
        return None


@functools.lru_cache(maxsize=8)
def _source_cues(path: Path, _changed_at: int) -> list[Cue]:
    """Read a source once: the rows of its languages come one after the other."""
    return list(cues(path.read_bytes()))


def _terms(row: Row) -> Iterable[str]:
    """Return the terms in a row's own column, which is a list or has semicolons between them."""
    value = row.params.get(_TERMS, row.meta.get(_TERMS)) or ()
    parts = value.split(";") if isinstance(value, str) else value
    return [term for part in parts if (term := str(part).strip())]


def _described(found: list[Found]) -> str:
    shown = [
        f"{one.kind}{'' if one.cue is None else f' in cue {one.cue}'}: {one.detail}"
        for one in found[:MAX_NAMED]
    ]
    more = len(found) - len(shown)
    return "; ".join(shown) + (f"; and {more:,} more" if more else "")
