"""The track that each asset is translated from: chosen once, and kept in the ledger.

Every uploaded translation is one more text track of its asset. If each row chose anew, the
first translation would make the choice ambiguous, or be translated itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from batchcap.domain.languages import canonical
from batchcap.domain.models import Json
from batchcap.domain.protocols import KeyValueStore
from batchcap.providers.mux.assets import Asset, Track
from batchcap.transport.response import as_object, as_text

ListJobs = Callable[[str], Awaitable[list[Json]]]


def source_key(params: Json) -> str:
    """Return a text that is the same for rows of an asset that have the same source track."""
    if track_id := params.get("track_id"):
        return f"track {track_id}"
    return f"language {canonical(params.get('from_language') or '')}"


class SourceTracks:
    """Chooses source tracks. `list_jobs` returns every job of an asset, in full."""

    def __init__(self, memory: KeyValueStore, list_jobs: ListJobs) -> None:
        self._memory, self._list_jobs = memory, list_jobs

    async def choose(self, asset: Asset, tag: str | None) -> str:
        """Return the id of the track that an asset is translated from, in a language if given.

        The first choice is kept for as long as the track is ready. Tracks that a
        translation made are never chosen, neither by this ledger's jobs nor by others.

        Raises:
            RowError: No track can be chosen; the message lists those of the asset.
        """
        key = f"mux.source.{asset.id}.{canonical(tag or '')}"
        stored = asset.track(self._memory.get(key) or "")
        if stored is not None and stored.ready:
            return stored.id
        chosen = await self.find(asset, tag)
        self._memory.set(key, chosen.id)
        return chosen.id

    async def find(self, asset: Asset, tag: str | None) -> Track:
        """Return the track that would be chosen now; see `choose`. Nothing is kept.

        Raises:
            RowError: No track can be chosen; the message lists those of the asset.
        """
        return asset.source_track(tag, await self._translations(asset))

    async def _translations(self, asset: Asset) -> set[str]:
        """Return the ids of the tracks that jobs uploaded. Reads jobs only if one may have."""
        if not any(map(_may_be_translation, asset.tracks)):
            return set()
        jobs = await self._list_jobs(asset.id)
        ids = {as_text(as_object(job.get("outputs")).get("uploaded_track_id")) for job in jobs}
        # The outputs of a job may be a minute late. Track names are unique on an asset.
        names = {_name(as_object(job.get("parameters")).get("track_name")) for job in jobs} - {""}
        return ids | {track.id for track in asset.tracks if _name(track.name) in names}


def _may_be_translation(track: Track) -> bool:
    return not track.is_generated and not track.is_named_as_translation


def _name(value: object) -> str:
    """Return a track name as Mux compares it: trimmed, with case ignored."""
    return as_text(value).strip().casefold()
