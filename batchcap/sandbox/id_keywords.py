"""Words in an id that decide what becomes of it.

Every id exists, so that a user can rehearse with his own manifest; an id that holds
one of these words behaves as the table says. A word is a run of small letters with
anything else around it: `asset-missing-1` and `missing1` hold `missing`, `amissing`
does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

MUX_WORDS: Mapping[str, str] = {
    "missing": "unknown asset: GET 404, create 422; in a track id: unknown track, create 422",
    "noplayback": "asset without a playback id: create 422",
    "signed": "only a signed playback id",
    "drm": "only a drm playback id",
    "notrack": "asset without a text track",
    "preparing": "its text track is preparing for ever; in a track id too: create 422",
    "autotrack": "its only text track has the language `auto`, still preparing",
    "twotracks": "text tracks in en (uploaded) and en-US (generated)",
    "live": "text tracks generated_live and generated_live_final, both en and ready",
    "has": "has-es: a ready text track in es as well; any tag, also several times",
    "fails": "every job: errored, retryable true",
    "failsonce": "the first job of a language: errored, retryable true; the next completes",
    "failsforever": "every job: errored, retryable false",
    "failsodd": "every job: errored with an unknown type and no retryable",
    "cancelled": "every job ends as cancelled",
    "stuck": "no job ever ends",
    "oddstate": "jobs show a status word nobody has seen for odd_state_seconds",
    "nolink": "completed jobs have no temporary_vtt_url, but a track",
    "nooutput": "completed jobs have neither a link nor a track",
}

HEYGEN_WORDS: Mapping[str, str] = {
    "missing": "unknown video: 404, not_found in statuses",
    "forbidden": "403 where its detail or caption is asked for; the statuses show it",
    "failed": "failed, with failure_message; with slow or oddstate, only after that",
    "stuck": "running for ever",
    "oddstate": "a status word nobody has seen for odd_state_seconds after the first look",
    "slow": "completes heygen_finish_seconds after the first look",
    "nocaption": "completed, the caption link null for ever",
    "emptylink": "completed, the caption link an empty string for ever",
    "latelink": "completed, the caption link null for late_link_seconds after the first look",
    "lateempty": "the same with an empty string",
}

FILE_WORDS: Mapping[str, str] = {
    "badvtt": "the file is text, but not WebVTT",
    "html": "the file host answers 200 with HTML",
    "nofile": "the file is empty",
    "deadlink": "every link of the file host says that it has expired",
}
"""Words of both providers that act where the file is fetched."""

_WORD = re.compile(r"[a-z]+")
_HAS = re.compile(
    r"(?<![A-Za-z0-9])has-([a-z]{2,3}(?:-[A-Z][a-z]{3})?(?:-(?:[A-Z]{2}|419))?)(?![A-Za-z0-9])"
)


@lru_cache(maxsize=1 << 16)
def words(identifier: str) -> frozenset[str]:
    """The words that an id holds, known ones and others."""
    return frozenset(_WORD.findall(re.sub(r"[A-Z]+[a-z]*", " ", identifier)))


def tags(identifier: str) -> tuple[str, ...]:
    """The language tags that an id names as `has-TAG`."""
    return tuple(_HAS.findall(identifier))


def sound(identifier: str) -> bool:
    """Whether a text can be an id at all."""
    return 0 < len(identifier) <= 255 and identifier.isprintable() and "/" not in identifier
