"""The source captions that `--fetch-sources` downloads: their names in the output folder.

They are in `DIR/.batchcap/sources/<provider>/<source id>.<track>.vtt`. An id may be any text.
One of lower-case letters, digits, `-` and `_` is its own name; any other gets a hash at its
end, so that two ids never have the same name, not even on a disk that ignores case.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from batchcap.storage.ledger.schema import folder

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
