"""Mux assets: their text tracks and playback ids.

`GET /video/v1/assets/{id}` is the only endpoint that lists tracks. One request serves all
rows of an asset that are in work; concurrent callers share it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from batchcap.domain.errors import RowError
from batchcap.transport.rate_limiter import Priority
from batchcap.transport.response import Answer, as_object, text

_CACHE_SIZE = 2048
_CACHE_SECONDS = 300.0

_PREFERRED = ("generated_vod", "generated_live_final")
"""The order in which Mux's own code picks one of several tracks in one language."""

_UNDECIDED = {"", "auto", "und", "mul", "mis", "zxx"}


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


class Asset(msgspec.Struct, frozen=True):
    """The part of an asset that captions need. `playback` maps policy to ids."""

    id: str
    tracks: tuple[Track, ...]
    playback: dict[str, tuple[str, ...]]

    def track(self, track_id: str) -> Track | None:
        """Return the text track with that id, None if there is none."""
        return next((one for one in self.tracks if one.id == track_id), None)

    def in_language(self, tag: str) -> Track | None:
        """Return a text track in exactly that language, a ready one first. "en" is not "en-US"."""
        found = [one for one in self.tracks if one.language.lower() == tag.lower()]
        return min(found, key=lambda one: not one.ready, default=None)

    def source_track(self, tag: str | None) -> str:
        """Return the id of the ready text track to translate from.

        That is the one with the exact tag, else the only one with the same primary
        language; without a tag, the only ready one.

        Raises:
            RowError: There is none, or more than one; the message names what is there.
        """
        usable = [one for one in self.tracks if one.language not in _UNDECIDED]
        if any(one.source == "generated_live_final" for one in usable):
            usable = [one for one in usable if one.source != "generated_live"]
        matching = _matching([one for one in usable if one.ready], tag)
        if matching is not None:
            return matching.id
        what = f"a text track in {tag}" if tag else "a single text track"
        there = ", ".join(f"{one.language} ({one.status})" for one in self.tracks) or "none"
        coming = _matching([one for one in usable if one.status == "preparing"], tag)
        code = "track_not_ready" if coming else "track_not_found"
        message = f"asset {self.id} has no ready {what[2:]}; its text tracks: {there}"
        raise RowError(code, message, retryable=coming is not None)


class Assets:
    """Reads assets, each once for many callers."""

    def __init__(self, read: Callable[[str, Priority], Awaitable[Answer]]) -> None:
        self._read = read
        self._known: OrderedDict[str, tuple[float, asyncio.Future[Asset]]] = OrderedDict()

    async def get(
        self, asset_id: str, *, fresh: bool = False, priority: Priority = Priority.FINISH
    ) -> Asset:
        """Return an asset, at most five minutes old, or read anew if `fresh`.

        Raises:
            RowError: "asset_not_found", or the request is refused.
        """
        now = asyncio.get_running_loop().time()
        read_at, asked = self._known.get(asset_id, (0.0, None))
        if asked is None or (asked.done() and (fresh or now - read_at > _CACHE_SECONDS)):
            asked = asyncio.ensure_future(self._asked(asset_id, priority))
            self._known[asset_id] = (now, asked)
            self._forget_oldest()
        try:
            return await asyncio.shield(asked)
        except BaseException:
            if asked.done() and self._known.get(asset_id, (0, None))[1] is asked:
                del self._known[asset_id]
            raise

    async def _asked(self, asset_id: str, priority: Priority) -> Asset:
        answer = await self._read(asset_id, priority)
        if answer.status == 404:
            raise RowError(
                "asset_not_found", f"asset {asset_id} does not exist in this environment"
            )
        if not answer.ok:
            raise RowError("rejected", f"asset {asset_id}: {answer.problem()}")
        return parse_asset(asset_id, answer.data())

    def _forget_oldest(self) -> None:
        while len(self._known) > _CACHE_SIZE:
            self._known.popitem(last=False)


def parse_asset(asset_id: str, data: dict[str, object]) -> Asset:
    """Parse an asset. Unknown or malformed parts are left out and never raise."""
    return Asset(
        asset_id,
        tuple(_tracks(data.get("tracks"))),
        _playback(data.get("playback_ids")),
    )


def _tracks(listed: object) -> Iterable[Track]:
    for one in map(as_object, listed if isinstance(listed, list) else []):
        if one.get("type") == "text" and text(one.get("id")):
            words = (
                text(one.get(key))
                for key in ("id", "language_code", "name", "status", "text_source")
            )
            yield Track(*words)


def _playback(listed: object) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for one in map(as_object, listed if isinstance(listed, list) else []):
        policy, name = text(one.get("policy")), text(one.get("id"))
        if name:
            found[policy] = (*found.get(policy, ()), name)
    return found


def _matching(tracks: list[Track], tag: str | None) -> Track | None:
    if tag is None:
        return tracks[0] if len({one.language.lower() for one in tracks}) == 1 else None
    exact = [one for one in tracks if one.language.lower() == tag.lower()]
    if exact:
        return min(exact, key=_rank)
    related = [one for one in tracks if _primary(one.language) == _primary(tag)]
    return related[0] if len(related) == 1 else None


def _rank(track: Track) -> int:
    return _PREFERRED.index(track.source) if track.source in _PREFERRED else len(_PREFERRED)


def _primary(tag: str) -> str:
    return tag.partition("-")[0].lower()
