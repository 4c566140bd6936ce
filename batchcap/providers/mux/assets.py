"""Mux assets: their text tracks and playback ids.

`GET /video/v1/assets/{id}` is the only endpoint that lists tracks. One request serves all
rows of an asset that are in work; concurrent callers share it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Container, Iterable
from typing import Any

import msgspec

from batchcap.domain.errors import RowError
from batchcap.domain.languages import canonical, language_and_script, primary_language
from batchcap.transport.rate_limiter import Priority
from batchcap.transport.response import ApiResponse, as_object, as_text, sanitize

_CACHE_SIZE = 2048
_CACHE_SECONDS = 300.0

_PREFERRED = ("generated_vod", "generated_live_final")
"""The order in which Mux's own code picks one of several tracks in one language."""

_UNDECIDED = {"", "auto", "und", "mul", "mis", "zxx"}

_DEFAULT_NAME_SUFFIX = " (auto-translated)"
"""The end of the name that Mux gives an uploaded translation, with case ignored ."""


_TRACK_KEYS = ("id", "language_code", "name", "status", "text_source")


class Track(msgspec.Struct, frozen=True):
    """A text track, with the values of the API."""

    id: str
    language: str
    name: str
    status: str
    source: str

    @property
    def ready(self) -> bool:
        """Whether its text can be downloaded now."""
        return self.status == "ready"

    @property
    def is_named_as_translation(self) -> bool:
        """Whether it has the name that Mux gives the translations it uploads."""
        return self.name.strip().lower().endswith(_DEFAULT_NAME_SUFFIX)

    @property
    def is_generated(self) -> bool:
        """Whether Mux made it from the audio, so that it cannot be a translation."""
        return self.source.startswith("generated")


class Asset(msgspec.Struct, frozen=True):
    """The part of an asset that captions need. `playback` maps policy to ids."""

    id: str
    tracks: tuple[Track, ...]
    playback: dict[str, tuple[str, ...]]

    def track(self, track_id: str) -> Track | None:
        """Return the text track with that id, None if there is none."""
        return next((track for track in self.tracks if track.id == track_id), None)

    @property
    def policies(self) -> str:
        """The policies of its playback ids, for a message; "" if it has none."""
        return sanitize(", ".join(self.playback))

    @property
    def has_usable_playback_id(self) -> bool:
        """Whether it has a public or signed playback id; a DRM one is of no use to Robots."""
        return not self.playback.keys().isdisjoint({"public", "signed"})

    def tracks_in_the_way(self, tag: str, name: str | None) -> list[Track]:
        """Return the tracks for which Mux refuses a new one of that language and name.

        Regions and scripts do not count, nor the case of names, nor the tracks' status.
        """
        wanted, primary = (name or "").strip().casefold(), primary_language(tag)
        return [
            track
            for track in self.tracks
            if primary_language(track.language) == primary
            or (wanted and track.name.strip().casefold() == wanted)
        ]

    def in_language(self, tag: str) -> Track | None:
        """Return a text track in exactly that language, a ready one first. "en" is not "en-US"."""
        tracks = [track for track in self.tracks if canonical(track.language) == canonical(tag)]
        return min(tracks, key=lambda track: not track.ready, default=None)

    def source_track(self, tag: str | None, translations: Container[str] = ()) -> Track:
        """Return the ready text track to translate from.

        That is the one with the exact tag, else the only one with the same language and
        script; without a tag, the only ready one. Translations are never chosen: those
        with the ids in `translations`, and those with the name that Mux gives them.

        Raises:
            RowError: There is none, or more than one; the message lists the tracks.
        """
        usable = self._possible_sources(translations)
        track = _matching([track for track in usable if track.ready], tag)
        if track is not None:
            return track
        wanted = f"text track in {tag}" if tag else "single text track"
        listed = ", ".join(_describe(track, track not in usable) for track in self.tracks)
        message = f"asset {self.id} has no ready {wanted}; its text tracks: {listed or 'none'}"
        is_coming = _matching([track for track in usable if track.status == "preparing"], tag)
        code = "track_not_ready" if is_coming else "track_not_found"
        raise RowError(code, message, retryable=is_coming is not None)

    def _possible_sources(self, translations: Container[str]) -> list[Track]:
        usable = [
            track
            for track in self.tracks
            if track.language not in _UNDECIDED
            and track.id not in translations
            and not track.is_named_as_translation
        ]
        if any(track.source == "generated_live_final" for track in usable):
            usable = [track for track in usable if track.source != "generated_live"]
        return usable


class Assets:
    """Reads assets, each once for many callers."""

    def __init__(self, read: Callable[[str, Priority], Awaitable[ApiResponse]]) -> None:
        self._read = read
        self._reads: OrderedDict[str, tuple[float, asyncio.Future[Asset]]] = OrderedDict()

    async def get(
        self, asset_id: str, *, fresh: bool = False, priority: Priority = Priority.FINISH
    ) -> Asset:
        """Return an asset, at most five minutes old, or read anew if `fresh`.

        Raises:
            RowError: "asset_not_found", or the request is refused.
        """
        now = asyncio.get_running_loop().time()
        read_at, read = self._reads.get(asset_id, (0.0, None))
        if read is None or (read.done() and (fresh or now - read_at > _CACHE_SECONDS)):
            read = asyncio.ensure_future(self._read_asset(asset_id, priority))
            read.add_done_callback(take_exception)
            self._reads[asset_id] = (now, read)
            self._forget_oldest()
        try:
            return await asyncio.shield(read)
        except BaseException:
            if read.done() and self._reads.get(asset_id, (0, None))[1] is read:
                del self._reads[asset_id]
            raise

    async def get_spare(self, asset_id: str) -> Asset:
        """Return an asset that was read at any time, or read it when nothing else waits.

        No other caller waits for that read.

        Raises:
            RowError: "asset_not_found", or the request is refused.
        """
        _, read = self._reads.get(asset_id, (0.0, None))
        if read is not None and not (read.done() and read.exception()):
            return await asyncio.shield(read)
        asset = await self._read_asset(asset_id, Priority.SPARE)
        self.keep(asset)
        return asset

    def keep(self, asset: Asset) -> None:
        """Keep an asset that another response had in full, as if it was read now."""
        loop = asyncio.get_running_loop()
        read = loop.create_future()
        read.set_result(asset)
        self._reads[asset.id] = (loop.time(), read)
        self._forget_oldest()

    async def _read_asset(self, asset_id: str, priority: Priority) -> Asset:
        answer = await self._read(asset_id, priority)
        if answer.status == 404:
            raise RowError(
                "asset_not_found", f"asset {asset_id} does not exist in this environment"
            )
        if not answer.ok:
            raise RowError("rejected", f"asset {asset_id}: {answer.error()}")
        return parse_asset(asset_id, answer.data())

    def _forget_oldest(self) -> None:
        while len(self._reads) > _CACHE_SIZE:
            self._reads.popitem(last=False)


def take_exception(read: asyncio.Future[Any]) -> None:
    """Take the exception of a shared request whose callers may all have been cancelled.

    Else asyncio logs it with a traceback.
    """
    if not read.cancelled():
        read.exception()


def parse_asset(asset_id: str, data: dict[str, object]) -> Asset:
    """Parse an asset. Unknown or malformed parts are left out and never raise."""
    return Asset(
        asset_id,
        tuple(_tracks(data.get("tracks"))),
        _playback(data.get("playback_ids")),
    )


def _tracks(listed: object) -> Iterable[Track]:
    for track in map(as_object, listed if isinstance(listed, list) else []):
        if track.get("type") == "text" and as_text(track.get("id")):
            yield Track(*(as_text(track.get(key)) for key in _TRACK_KEYS))


def _playback(listed: object) -> dict[str, tuple[str, ...]]:
    ids: dict[str, tuple[str, ...]] = {}
    for item in map(as_object, listed if isinstance(listed, list) else []):
        policy, playback_id = as_text(item.get("policy")), as_text(item.get("id"))
        if playback_id:
            ids[policy] = (*ids.get(policy, ()), playback_id)
    return ids


def _matching(tracks: list[Track], tag: str | None) -> Track | None:
    if tag is None:
        is_single = len({canonical(track.language) for track in tracks}) == 1
        return min(tracks, key=_rank) if is_single else None
    exact = [track for track in tracks if canonical(track.language) == canonical(tag)]
    if exact:
        return min(exact, key=_rank)
    wanted = language_and_script(tag)
    related = [track for track in tracks if language_and_script(track.language) == wanted]
    return related[0] if len(related) == 1 else None


def _describe(track: Track, is_excluded: bool) -> str:
    why = ", a translation" if is_excluded and track.language not in _UNDECIDED else ""
    return sanitize(f"{track.language} ({track.status}{why})")


def _rank(track: Track) -> int:
    return _PREFERRED.index(track.source) if track.source in _PREFERRED else len(_PREFERRED)
