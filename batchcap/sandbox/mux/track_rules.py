"""Which text tracks are in the way of a new one, and which of them it may replace."""

from __future__ import annotations

from batchcap.sandbox.languages import primary_language
from batchcap.sandbox.mux.assets import Track


def conflicts(track: Track, language: str, name: str) -> bool:
    """Return whether a track is in the way of a new one, as Mux judges it.

    Region and script of the languages do not count, nor the case of the names.
    """
    same_name = track.name.strip().casefold() == name.strip().casefold()
    return primary_language(track.language) == primary_language(language) or same_name


def can_be_replaced(track: Track, replace: str) -> bool:
    """Return whether `replace_existing_tracks` allows a new track to replace this one."""
    return replace == "replace_all" or (
        replace == "replace_generated" and track.source.startswith("generated")
    )
