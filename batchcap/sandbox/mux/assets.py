"""The Mux assets of the sandbox's world, each known by its id alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import msgspec

from batchcap.sandbox import random_draws
from batchcap.sandbox.id_keywords import sound, tags, words

SOURCE = "en"
"""The language that assets are spoken in."""


class Track(msgspec.Struct, frozen=True):
    """A text track. `status` is preparing or ready; `source` is Mux's `text_source`."""

    id: str
    language: str
    name: str
    source: str
    status: str = "ready"

    def document(self) -> dict[str, object]:
        """The track as the API shows it."""
        return {
            "id": self.id,
            "type": "text",
            "text_type": "subtitles",
            "text_source": self.source,
            "language_code": self.language,
            "name": self.name,
            "closed_captions": False,
            "status": self.status,
        }


class Asset(msgspec.Struct, frozen=True):
    """An asset with the text tracks it had before any job; `duration` in seconds."""

    id: str
    duration: float
    playback: tuple[tuple[str, str], ...]
    """Pairs of playback id and policy."""
    tracks: tuple[Track, ...]

    def document(self, tracks: list[Track]) -> dict[str, object]:
        """The asset as the API shows it, with the text tracks that it has by now."""
        media = [
            {"id": f"video_{self.id}", "type": "video", "duration": self.duration},
            {"id": f"audio_{self.id}", "type": "audio", "primary": True, "language_code": SOURCE},
        ]
        return {
            "id": self.id,
            "status": "ready",
            "duration": self.duration,
            "created_at": "1760000000",
            "playback_ids": [{"id": name, "policy": policy} for name, policy in self.playback],
            "tracks": [*media, *(track.document() for track in tracks)],
        }


def mux_ids(count: int) -> Iterator[str]:
    """The first ids of the sandbox's own Mux account, the same in every run."""
    return (f"asset-{number:05}-{random_draws.name(8, 'asset', number)}" for number in range(count))


@lru_cache(maxsize=8)
def account(count: int, further: tuple[str, ...]) -> tuple[str, ...]:
    """The ids that an account holds, oldest first."""
    return (*mux_ids(count), *further)


@lru_cache(maxsize=1 << 14)
def asset(identifier: str) -> Asset | None:
    """The asset of that id, None where its words say that there is none."""
    if not sound(identifier) or "missing" in words(identifier):
        return None
    return Asset(
        id=identifier,
        duration=round(30 + 600 * random_draws.share("duration", identifier), 3),
        playback=_playback(identifier),
        tracks=_tracks(identifier),
    )


def asset_of(playback_id: str) -> tuple[str, str]:
    """The asset id and the policy behind a playback id; empty texts for no playback id."""
    policy, _, identifier = playback_id.partition("_")
    known = asset(identifier) if identifier else None
    if known is None or (playback_id, policy) not in known.playback:
        return "", ""
    return identifier, policy


def _playback(identifier: str) -> tuple[tuple[str, str], ...]:
    # A playback id names its asset, so that the stream host needs no memory of its own.
    known = words(identifier)
    if "noplayback" in known:
        return ()
    policy = next((each for each in ("signed", "drm") if each in known), "public")
    return ((f"{policy}_{identifier}", policy),)


def _tracks(identifier: str) -> tuple[Track, ...]:
    extra = [_track(identifier, tag, f"{tag} (uploaded)", "uploaded") for tag in tags(identifier)]
    return (*_sources(identifier), *extra)


def _sources(identifier: str) -> list[Track]:
    known = words(identifier)
    if "notrack" in known:
        return []
    if "autotrack" in known:
        return [_track(identifier, "auto", "Auto", "generated_vod", "preparing")]
    if "preparing" in known:
        return [_track(identifier, SOURCE, "English", "generated_vod", "preparing")]
    if "twotracks" in known:
        return [
            _track(identifier, "en", "English", "uploaded"),
            _track(identifier, "en-US", "English (United States)", "generated_vod"),
        ]
    if "live" in known:
        return [
            _track(identifier, SOURCE, "English (live)", "generated_live"),
            _track(identifier, SOURCE, "English", "generated_live_final"),
        ]
    return [_track(identifier, SOURCE, "English", "generated_vod")]


def _track(identifier: str, language: str, name: str, source: str, status: str = "ready") -> Track:
    unique = random_draws.name(20, "track", identifier, language, source)
    return Track(f"track_{unique}", language, name, source, status)
