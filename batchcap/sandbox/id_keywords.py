"""Keywords in an id that decide how its asset, video or caption file behaves.

Every id exists in the sandbox, so that users can rehearse with their own manifests. An id
that contains a keyword behaves as the tables below say. A keyword is a run of lower-case
letters between any other characters: `asset-missing-1` and `missing1` contain `missing`,
`amissing` does not.

===============  ==============================================================
table            applies to
===============  ==============================================================
MUX_KEYWORDS     Mux asset ids; two of them also to track ids
HEYGEN_KEYWORDS  HeyGen video ids
FILE_KEYWORDS    ids of both providers, when the caption file is downloaded
===============  ==============================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

MUX_KEYWORDS: Mapping[str, str] = {
    # The asset and its tracks.
    "missing": "unknown asset: GET 404, create 422; in a track id: unknown track, create 422",
    "noplayback": "asset without a playback id: create 422",
    "signed": "only a signed playback id",
    "drm": "only a DRM playback id",
    "notrack": "asset without a text track",
    "preparing": "the text track stays in preparing: create 422; also in a track id",
    "autotrack": "the only text track has the language `auto` and stays in preparing",
    "twotracks": "text tracks in en (uploaded) and en-US (generated)",
    "live": "text tracks generated_live and generated_live_final, both in en and ready",
    "has": "has-es: also a ready text track in es; any language tag, may be repeated",
    "generated": "generated-es: likewise, with a track that Mux generated",
    "errored": "errored-es: likewise, with a track that is errored",
    "deleted": "deleted-es: likewise, with a track that is deleted",
    "nosource": "the text of the asset's own tracks is 404",
    "badsource": "the text of the asset's own tracks is not WebVTT",
    "bigsource": "the text of the asset's own tracks is a hundred times as long as others",
    # Its jobs.
    "fails": "every job: errored, retryable true",
    "failsonce": "the first job of a language: errored, retryable true; the next one completes",
    "failsforever": "every job: errored, retryable false",
    "failsodd": "every job: errored with an unknown type and without retryable",
    "cancelled": "every job ends as cancelled",
    "stuck": "jobs never end",
    "oddstate": "jobs show an undocumented status for odd_state_seconds",
    "nolink": "completed jobs have no temporary_vtt_url, but a track",
    "nooutput": "completed jobs have neither a link nor a track",
}

HEYGEN_KEYWORDS: Mapping[str, str] = {
    "missing": "unknown video: 404, and not_found in the bulk statuses",
    "forbidden": "403 for its detail and caption; listed in the bulk statuses",
    "failed": "failed, with failure_message; with slow or oddstate only after that",
    "stuck": "stays in running",
    "oddstate": "an undocumented status for odd_state_seconds after the first request",
    "slow": "completes heygen_finish_seconds after the first request",
    "preflight": "fails heygen_finish_seconds after the first request, with a preflight event",
    "nocaption": "completed; the caption link stays null",
    "emptylink": "completed; the caption link stays an empty string",
    "srtonly": "completed; there is an SRT file, but no WebVTT file",
    "latelink": "completed; the caption link is null for late_link_seconds after the first request",
    "lateempty": "like latelink, with an empty string instead of null",
}

FILE_KEYWORDS: Mapping[str, str] = {
    "badvtt": "the file is text, but not WebVTT",
    "html": "the file host responds 200 with HTML",
    "nofile": "the file is empty",
    "silent": "the file has a header and a note, but no cue",
    "oddcues": "a file that players show, with zero-length, negative and hour-less cues, arrows in "
    "text, microseconds, notes, a style and one line that is no timing",
    "deadlink": "the file host reports every link as expired",
}

_KEYWORD = re.compile(r"[a-z]+")
_TRACK_TAG = re.compile(
    r"(?<![A-Za-z0-9])(has|generated|errored|deleted)-([a-z]{2,3}(?:-[A-Z][a-z]{3})?(?:-(?:[A-Z]{2}|419))?)(?![A-Za-z0-9])"
)


@lru_cache(maxsize=1 << 16)
def keywords(identifier: str) -> frozenset[str]:
    """Return every run of lower-case letters in an id, whether or not it is in a table."""
    return frozenset(_KEYWORD.findall(re.sub(r"[A-Z]+[a-z]*", " ", identifier)))


def track_keywords(identifier: str) -> tuple[tuple[str, str], ...]:
    """Return the keywords and tags of the text tracks that an id names, as in `has-es`."""
    return tuple(_TRACK_TAG.findall(identifier))


def is_valid_id(identifier: str) -> bool:
    """Return whether a text can be an id: 1 to 255 printable characters without a slash."""
    return 0 < len(identifier) <= 255 and identifier.isprintable() and "/" not in identifier
