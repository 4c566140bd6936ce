"""The HeyGen translations of the sandbox's world, each known by its id alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import quote

from batchcap.sandbox import random_draws
from batchcap.sandbox.captions import LANGUAGES
from batchcap.sandbox.id_keywords import sound, words
from batchcap.sandbox.world import Scene

Caption = Literal["link", "null", "empty"]
State = Literal["pending", "running", "odd", "completed", "failed"]

FAILURE = "Audio is missing or corrupted."
ODD = "reticulating"
"""A status word that no document has."""

_RUNNING = frozenset({"slow", "oddstate"})
"""Words of ids that are not at their end when they are first looked at."""

_SUFFIX = re.compile(r"-([a-z]{2,3})(?:[_-][A-Za-z_-]*)?$")


class Look(NamedTuple):
    """How a video stands at one moment; `caption` says what its link field holds."""

    state: State
    caption: Caption = "null"


class Ending(NamedTuple):
    """The sandbox time at which a translation ends, and how."""

    when: float
    state: Literal["completed", "failed"]


def heygen_ids(count: int) -> Iterator[str]:
    """The first ids of the sandbox's own HeyGen account, the same in every run."""
    for number in range(count):
        language = LANGUAGES[1 + number % (len(LANGUAGES) - 1)]
        yield f"{random_draws.name(32, 'video', number)}-{language}"


@lru_cache(maxsize=8)
def account(count: int, further: tuple[str, ...]) -> tuple[str, ...]:
    """The ids that an account holds, oldest first."""
    return (*heygen_ids(count), *further)


def language_of(video_id: str) -> str:
    """The language of a translation: the tag that its id ends in, or any."""
    found = _SUFFIX.search(video_id)
    if found:
        return found[1]
    return LANGUAGES[1 + random_draws.pick(len(LANGUAGES) - 1, "language", video_id)]


def exists(scene: Scene, video_id: str) -> bool:
    """Whether the account has such a video."""
    options = scene.options
    if not sound(video_id) or "missing" in words(video_id):
        return False
    return not options.strict_ids or video_id in account(options.heygen_account, options.heygen_ids)


def look(scene: Scene, video_id: str, now: float) -> Look:
    """How an existing video stands at that sandbox time.

    Whatever changes with time counts from the first look at the video.
    """
    known = words(video_id)
    if "failed" in known and not known & _RUNNING:
        return Look("failed")
    if "stuck" in known:
        return Look("running")
    waits = _waits(scene, video_id)
    if waits is not None:
        first = _first_look(scene, video_id, now)
        if now < first + waits.seconds:
            return Look(waits.state_at(now - first))
    if "failed" in known:
        return Look("failed")
    return Look("completed", _caption(scene, video_id, now))


def ending(scene: Scene, video_id: str) -> Ending | None:
    """The end of a video that was running, or may have been, when it was first looked at."""
    first, known = scene.looks.get(video_id), words(video_id)
    waits = None if first is None or "stuck" in known else _waits(scene, video_id)
    if first is None or waits is None:
        return None
    return Ending(first + waits.seconds, "failed" if "failed" in known else "completed")


def ended(scene: Scene, now: float) -> dict[str, float]:
    """The sandbox times at which videos have ended that ran when they were first looked at."""
    ends = {video_id: ending(scene, video_id) for video_id in scene.looks}
    return {video_id: end.when for video_id, end in ends.items() if end and end.when <= now}


def video_link(scene: Scene, video_id: str) -> str:
    """Where the translated video itself is; the sandbox has none to give."""
    name = quote(video_id, safe="")
    return f"{scene.url}/files2/video_translate/{name}/{name}.mp4"


class _Waits(NamedTuple):
    state: State
    seconds: float

    def state_at(self, age: float) -> State:
        return self.state if self.state == "odd" or age > self.seconds / 3 else "pending"


def _waits(scene: Scene, video_id: str) -> _Waits | None:
    options = scene.options
    if "oddstate" in words(video_id):
        return _Waits("odd", options.odd_state_seconds)
    if "slow" in words(video_id):
        return _Waits("running", options.heygen_finish_seconds)
    drawn = random_draws.share(options.seed, "running", video_id)
    if drawn >= options.heygen_running:
        return None
    length = random_draws.share(options.seed, "finish", video_id) * options.heygen_finish_seconds
    return _Waits("running", length)


def _caption(scene: Scene, video_id: str, now: float) -> Caption:
    known = words(video_id)
    if "nocaption" in known:
        return "null"
    if "emptylink" in known:
        return "empty"
    late = known & {"latelink", "lateempty"} or scene.faults.fate("late_link", video_id)
    if late and now - _first_look(scene, video_id, now) < scene.options.late_link_seconds:
        return "empty" if "lateempty" in known else "null"
    return "link"


def _first_look(scene: Scene, video_id: str, now: float) -> float:
    first = scene.looks.get(video_id)
    if first is None:
        first = scene.looks[video_id] = now
        scene.touch(video_id)
    return first
