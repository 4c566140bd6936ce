"""HeyGen translations. Everything about a video follows from its id and its first request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import quote

from batchcap.sandbox import random_draws
from batchcap.sandbox.caption_text import LANGUAGES
from batchcap.sandbox.id_keywords import is_valid_id, keywords
from batchcap.sandbox.world import World

VideoState = Literal["pending", "running", "unknown", "completed", "failed"]
CaptionLink = Literal["present", "srt", "null", "empty"]

_FAILS = frozenset({"failed", "preflight"})
"""Keywords of videos that fail."""

_STARTS_RUNNING = frozenset({"slow", "oddstate", "preflight"})
"""Keywords of videos that have not ended at their first request."""

_LANGUAGE_SUFFIX = re.compile(r"-([a-z]{2,3})(?:[_-](?:[A-Za-z_-]*|419))?$")


class VideoStatus(NamedTuple):
    """The state of a video at one moment, and what its caption link field contains."""

    state: VideoState
    caption_link: CaptionLink = "null"


class VideoEnd(NamedTuple):
    """The sandbox time at which a translation ends, and how."""

    time: float
    state: Literal["completed", "failed"]


def heygen_ids(count: int) -> Iterator[str]:
    """Yield the first ids of the sandbox's HeyGen account, the same in every run."""
    for number in range(count):
        language = LANGUAGES[1 + number % (len(LANGUAGES) - 1)]
        yield f"{random_draws.hex_digits(32, 'video', number)}-{language}"


@lru_cache(maxsize=8)
def account_ids(count: int, more: tuple[str, ...]) -> tuple[str, ...]:
    """Return all video ids of an account, oldest first."""
    return (*heygen_ids(count), *more)


def language_of(video_id: str) -> str:
    """Return the language of a translation: the tag at the end of its id, else a drawn one."""
    suffix = _LANGUAGE_SUFFIX.search(video_id)
    if suffix:
        return suffix[1]
    return LANGUAGES[1 + random_draws.integer(len(LANGUAGES) - 1, "language", video_id)]


def video_exists(world: World, video_id: str) -> bool:
    """Return whether the account has such a video."""
    options = world.options
    if not is_valid_id(video_id) or "missing" in keywords(video_id):
        return False
    if video_id in world.translations.by_id:
        return True
    if not options.strict_ids:
        return True
    return video_id in account_ids(options.heygen_account, options.heygen_ids)


def video_status(world: World, video_id: str, now: float) -> VideoStatus:
    """Return the status of an existing video at that sandbox time.

    If the status changes with time, the time counts from the first request for the video.
    """
    present, created = keywords(video_id), world.translations.by_id.get(video_id)
    if created is not None and (created.ends is None or now < created.ends):
        has_started = created.starts is not None and now >= created.starts
        return VideoStatus("running" if has_started else "pending")
    if present & _FAILS and not present & _STARTS_RUNNING:
        return VideoStatus("failed")
    if "stuck" in present:
        return VideoStatus("running")
    delay = _delay(world, video_id)
    if delay is not None and created is None:
        first = _first_requested(world, video_id, now)
        if now < first + delay.seconds:
            return VideoStatus(delay.state_at(now - first))
    if present & _FAILS:
        return VideoStatus("failed")
    return VideoStatus("completed", _caption_link(world, video_id, now))


def find_end(world: World, video_id: str) -> VideoEnd | None:
    """Return when and how a video ends, or None if it had ended before its first request."""
    first, present = world.first_requested.get(video_id), keywords(video_id)
    state: Literal["completed", "failed"] = "failed" if present & _FAILS else "completed"
    created = world.translations.by_id.get(video_id)
    if created is not None:
        return None if created.ends is None else VideoEnd(created.ends, state)
    if first is None or "stuck" in present:
        return None
    delay = _delay(world, video_id)
    if delay is None:
        return None
    return VideoEnd(first + delay.seconds, state)


def ended_videos(world: World, now: float) -> dict[str, float]:
    """Return the sandbox time of the end for each video that was running and has ended."""
    ends = {video_id: find_end(world, video_id) for video_id in world.first_requested}
    return {video_id: end.time for video_id, end in ends.items() if end and end.time <= now}


def failure_message(video_id: str) -> str:
    """Return why a translation failed."""
    if "preflight" in keywords(video_id):
        return "Failed to download video from url."
    return "Audio is missing or corrupted."


def video_url(world: World, video_id: str) -> str:
    """Return the URL of the translated video. The sandbox does not serve it."""
    name = quote(video_id, safe="")
    return f"{world.url}/files2/video_translate/{name}/{name}.mp4"


class _Delay(NamedTuple):
    state: Literal["running", "unknown"]
    seconds: float

    def state_at(self, age: float) -> VideoState:
        if self.state == "unknown" or age > self.seconds / 3:
            return self.state
        return "pending"


def _delay(world: World, video_id: str) -> _Delay | None:
    """Return how long a video takes after its first request, or None if it has ended by then."""
    options = world.options
    if "oddstate" in keywords(video_id):
        return _Delay("unknown", options.odd_state_seconds)
    if keywords(video_id) & _STARTS_RUNNING:
        return _Delay("running", options.heygen_finish_seconds)
    if random_draws.uniform(options.seed, "running", video_id) >= options.heygen_running:
        return None
    share = random_draws.uniform(options.seed, "finish", video_id)
    return _Delay("running", share * options.heygen_finish_seconds)


def _caption_link(world: World, video_id: str, now: float) -> CaptionLink:
    present = keywords(video_id)
    created = world.translations.by_id.get(video_id)
    if "nocaption" in present or (created is not None and not created.enable_caption):
        return "null"
    if "emptylink" in present:
        return "empty"
    if "srtonly" in present:
        return "srt"
    is_late = present & {"latelink", "lateempty"} or world.faults.hits("late_link", video_id)
    if is_late:
        age = now - _first_requested(world, video_id, now)
        if age < world.options.late_link_seconds:
            return "empty" if "lateempty" in present else "null"
    return "present"


def _first_requested(world: World, video_id: str, now: float) -> float:
    first = world.first_requested.get(video_id)
    if first is None:
        first = world.first_requested[video_id] = now
        world.record_change(video_id)
    return first
