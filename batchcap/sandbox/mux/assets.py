"""Mux assets. Everything about an asset follows from its id."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import msgspec

from batchcap.sandbox import random_draws
from batchcap.sandbox.id_keywords import is_valid_id, keywords, track_keywords
from batchcap.sandbox.options import SandboxOptions

SOURCE_LANGUAGE = "en"


class Track(msgspec.Struct, frozen=True):
    """A text track. `status` is Mux's, and so is `source`, its `text_source`."""

    id: str
    language: str
    name: str
    source: str
    status: str = "ready"

    def document(self) -> dict[str, object]:
        """Return the track as the API shows it."""
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
    """An asset with the text tracks that it has before any job; `duration` in seconds."""

    id: str
    duration: float
    playback_ids: tuple[tuple[str, str], ...]
    """Pairs of playback id and policy."""
    tracks: tuple[Track, ...]

    def document(self, tracks: list[Track]) -> dict[str, object]:
        """Return the asset as the API shows it, with its current text tracks."""
        media = [
            {"id": f"video_{self.id}", "type": "video", "duration": self.duration},
            {
                "id": f"audio_{self.id}",
                "type": "audio",
                "primary": True,
                "language_code": SOURCE_LANGUAGE,
            },
        ]
        return {
            "id": self.id,
            "status": "ready",
            "duration": self.duration,
            "created_at": str(_created_at(self.id)),
            "meta": {"title": f"Video {self.id}"},
            "passthrough": f"show-{random_draws.integer(20, 'show', self.id)}",
            "playback_ids": [{"id": name, "policy": policy} for name, policy in self.playback_ids],
            "tracks": [*media, *(track.document() for track in tracks)],
        }


_NUMBER = re.compile(r"asset-([0-9]{5,8})-")
_FIRST_CREATED = 1_760_000_000
"""Unix seconds at which the first asset of the account was created; one an hour follows."""


def _created_at(identifier: str) -> int:
    match = _NUMBER.match(identifier)
    return _FIRST_CREATED + 3600 * int(match[1]) if match else _FIRST_CREATED


def mux_ids(count: int) -> Iterator[str]:
    """Yield the first ids of the sandbox's Mux account, the same in every run."""
    return (
        f"asset-{number:05}-{random_draws.hex_digits(8, 'asset', number)}"
        for number in range(count)
    )


@lru_cache(maxsize=8)
def account_ids(count: int, more: tuple[str, ...]) -> tuple[str, ...]:
    """Return all asset ids of an account, oldest first."""
    return (*mux_ids(count), *more)


@lru_cache(maxsize=1 << 14)
def find_asset(identifier: str) -> Asset | None:
    """Return the asset of that id, or None if the id is invalid or contains `missing`."""
    if not is_valid_id(identifier) or "missing" in keywords(identifier):
        return None
    return Asset(
        id=identifier,
        duration=round(30 + 600 * random_draws.uniform("duration", identifier), 3),
        playback_ids=_playback_ids(identifier),
        tracks=_tracks(identifier),
    )


def find_account_asset(options: SandboxOptions, identifier: str) -> Asset | None:
    """Return the asset of that id, or None if the environment does not have it."""
    if options.strict_ids and identifier not in account_ids(options.mux_account, options.mux_ids):
        return None
    return find_asset(identifier)


def parse_playback_id(playback_id: str) -> tuple[str, str]:
    """Return the asset id and the policy of a playback id, or two empty strings."""
    policy, _, identifier = playback_id.partition("_")
    asset = find_asset(identifier) if identifier else None
    if asset is None or (playback_id, policy) not in asset.playback_ids:
        return "", ""
    return identifier, policy


def _playback_ids(identifier: str) -> tuple[tuple[str, str], ...]:
    # A playback id contains its asset's id, so that the stream host needs no table of them.
    present = keywords(identifier)
    if "noplayback" in present:
        return ()
    policy = next((policy for policy in ("signed", "drm") if policy in present), "public")
    return ((f"{policy}_{identifier}", policy),)


_OTHER_TRACKS = {
    "has": ("uploaded", "ready"),
    "generated": ("generated_vod", "ready"),
    "errored": ("uploaded", "errored"),
    "deleted": ("uploaded", "deleted"),
}
"""Source and status of a further text track, by the keyword before its language tag."""


def _tracks(identifier: str) -> tuple[Track, ...]:
    translations = [
        _track(identifier, tag, f"{tag} ({source})", source, status)
        for keyword, tag in track_keywords(identifier)
        for source, status in [_OTHER_TRACKS[keyword]]
    ]
    return (*_source_tracks(identifier), *translations)


def _source_tracks(identifier: str) -> list[Track]:
    present = keywords(identifier)
    if "notrack" in present:
        return []
    if "autotrack" in present:
        return [_track(identifier, "auto", "Auto", "generated_vod", "preparing")]
    if "preparing" in present:
        return [_track(identifier, SOURCE_LANGUAGE, "English", "generated_vod", "preparing")]
    if "twotracks" in present:
        return [
            _track(identifier, "en", "English", "uploaded"),
            _track(identifier, "en-US", "English (United States)", "generated_vod"),
        ]
    if "live" in present:
        return [
            _track(identifier, SOURCE_LANGUAGE, "English (live)", "generated_live"),
            _track(identifier, SOURCE_LANGUAGE, "English", "generated_live_final"),
        ]
    return [_track(identifier, SOURCE_LANGUAGE, "English", "generated_vod")]


def _track(identifier: str, language: str, name: str, source: str, status: str = "ready") -> Track:
    unique = random_draws.hex_digits(20, "track", identifier, language, source)
    return Track(f"track_{unique}", language, name, source, status)
