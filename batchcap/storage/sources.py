"""The source captions that `--fetch-sources` downloads: their files and what the ledger knows.

They are in `DIR/.batchcap/sources/<provider>/<source id>.<track>.vtt`. An id may be any text.
One of lower-case letters, digits, `-` and `_` is its own name; any other gets a hash at its
end, so that two ids never have the same name, not even on a disk that ignores case.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import Json, Row
from batchcap.domain.protocols import KeyValueStore
from batchcap.storage.ledger.schema import folder

PREFIX = "sources."
"""What the ledger's keys of source captions begin with."""

_PLAIN = re.compile(r"[a-z0-9_-]{1,80}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])")
"""Names that Windows keeps for devices, whatever their extension."""
_SHOWN = 60
"""Characters of an id that stay readable in its name."""


def source_path(out: Path, provider: str, source_id: str, track: str) -> str:
    """Return the path of a source's captions below the output folder, with "/"."""
    path = _folder(out, provider) / f"{_name(source_id)}.{_name(track)}.vtt"
    return path.relative_to(out).as_posix()


def source_file(out: Path, provider: str, source_id: str, track: str | None = None) -> Path | None:
    """Return the source captions that were downloaded for a source, None if there are none.

    Without `track`, they are those of its only track: if captions of several tracks are there,
    it is unknown which of them a caption was translated from, and None is returned.
    """
    inner = _folder(out, provider)
    tracks = _files(inner).get(_name(source_id), ())
    if track is not None:
        return inner / f"{_name(source_id)}.{_name(track)}.vtt" if _name(track) in tracks else None
    return inner / f"{_name(source_id)}.{tracks[0]}.vtt" if len(tracks) == 1 else None


def _folder(out: Path, provider: str) -> Path:
    return folder(out) / "sources" / provider


def _files(inner: Path) -> Mapping[str, tuple[str, ...]]:
    """Return the tracks in a folder by the name of their source."""
    try:
        return _listed(inner, inner.stat().st_mtime_ns)
    except OSError:
        return {}


@functools.lru_cache(maxsize=8)
def _listed(inner: Path, _changed_at: int) -> Mapping[str, tuple[str, ...]]:
    """List a folder once for as long as it does not change: a report asks for every row."""
    tracks: dict[str, tuple[str, ...]] = {}
    for path in sorted(inner.iterdir()):
        match path.name.split("."):
            case (source, track, "vtt") if source and path.is_file() and not path.is_symlink():
                tracks[source] = (*tracks.get(source, ()), track)
    return tracks


def _name(identifier: str) -> str:
    if _PLAIN.fullmatch(identifier) and not _RESERVED.fullmatch(identifier):
        return identifier
    shown = _NOT_IN_NAMES.sub("_", identifier[:_SHOWN])
    digest = hashlib.sha256(identifier.encode(errors="surrogatepass")).hexdigest()
    return f"{shown}~{digest[:16]}"


class SourceFailure(msgspec.Struct, frozen=True):
    """Source captions that could not be had, and why."""

    provider: str
    source_id: str
    reason: str


class _Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the ledger keeps of source captions: their track, or why there are none."""

    track: str = ""
    error: str = ""


class SourceRecords:
    """What a ledger knows of one provider's source captions.

    Rows of a source for whose params `key_of` returns the same text share their captions.
    """

    def __init__(
        self, memory: KeyValueStore, out: Path, provider: str, key_of: Callable[[Json], str]
    ) -> None:
        self._memory, self._out, self._provider = memory, out, provider
        self._key_of = key_of

    def key(self, row: Row) -> str:
        """Return the key of what the ledger knows, the same for rows that share their captions."""
        kind = [row.source_id, self._key_of(row.params)]
        return f"{PREFIX}{self._provider}.{msgspec.json.encode(kind).decode()}"

    def has(self, row: Row) -> bool:
        """Return whether the source captions of a row were downloaded and are still there."""
        stored = self._memory.get(self.key(row))
        if stored is None:
            return False
        track = msgspec.json.decode(stored, type=_Record).track
        return bool(track) and self.is_there(row, track)

    def is_there(self, row: Row, track: str) -> bool:
        """Return whether the captions of a track are on disk: they are complete or absent."""
        return (self._out / self.path(row, track)).is_file()

    def path(self, row: Row, track: str) -> str:
        """Return where the captions of a row's track are, below the output folder."""
        return source_path(self._out, self._provider, row.source_id, track)

    def add(self, row: Row, track: str) -> None:
        """Record that the captions were downloaded."""
        self._set(row, _Record(track=track))

    def add_failure(self, row: Row, reason: str) -> None:
        """Record why there are none."""
        self._set(row, _Record(error=reason))

    def _set(self, row: Row, record: _Record) -> None:
        self._memory.set(self.key(row), msgspec.json.encode(record).decode())


def source_failures(ledger: LedgerReader) -> Iterator[SourceFailure]:
    """Yield the source captions that could not be had when they were last tried, by source."""
    for key, stored in sorted(ledger.values(PREFIX).items()):
        record = msgspec.json.decode(stored, type=_Record)
        if record.error:
            provider, _, kind = key.removeprefix(PREFIX).partition(".")
            source_id, _ = msgspec.json.decode(kind, type=tuple[str, str])
            yield SourceFailure(provider, source_id, record.error)
