"""What Mux would refuse of a record, so that the manifest is refused before the start."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from batchcap.domain.languages import canonical, primary_language
from batchcap.domain.models import Json
from batchcap.manifest import converters
from batchcap.manifest.messages import InvalidValue, quote
from batchcap.providers.mux.schema import MAX_PASSTHROUGH, passthrough

MAX_TERMS = 100
MAX_TERM_LENGTH = 100
REPLACEMENTS = ("fail", "replace_all", "replace_generated")

PLAYBACK_URLS = r"(?:https?://)?(?:stream|player|image)\.mux\.com/(\w+)(?:[./?#].*)?"
IS_PLAYBACK_ID = (
    "{} is a playback id, not the id of the asset, which is on the asset's page in the dashboard "
    "(or in the answer of GET https://api.mux.com/video/v1/playback-ids/ID)"
)

NO_UPLOAD = "upload_to_mux=false makes the caption without a track (try one row first)"
"""The way out if two tracks cannot be on one asset."""

PUBLISHED = "adds a text track to its asset, which players offer to viewers"
"""What a job does beside making a caption, unless the row says otherwise."""


def terms(value: Any) -> list[str]:
    """Accept terms that stay untranslated: 1 to 100 of 1 to 100 characters, without < and >.

    Characters must be visible, and the ones that Unicode's compatibility form (NFKC) has. Accents
    are composed, which looks the same.

    Raises:
        InvalidValue: Mux would refuse them.
    """
    items = [unicodedata.normalize("NFC", term) for term in converters.terms(value)]
    if not 1 <= len(items) <= MAX_TERMS:
        raise InvalidValue(f"has {len(items)} terms; Mux accepts 1 to {MAX_TERMS}")
    for term in items:
        if not 1 <= len(term) <= MAX_TERM_LENGTH:
            raise InvalidValue(
                f"{quote(term)} has {len(term)} characters; Mux accepts 1 to {MAX_TERM_LENGTH}"
            )
        if "<" in term or ">" in term:
            raise InvalidValue(f"{quote(term)} holds '<' or '>', which Mux refuses")
        converters.check_visible(term)
        if (plain := unicodedata.normalize("NFKC", term)) != term:
            raise InvalidValue(f"{quote(term)} holds characters that Mux refuses: {quote(plain)}?")
    return items


def replacement(value: Any) -> str:
    """Accept a value of `replace_existing_tracks`.

    Raises:
        InvalidValue: It is none of the three.
    """
    text = converters.text(value)
    if text not in REPLACEMENTS:
        raise InvalidValue(f"{quote(text)} is none of {', '.join(REPLACEMENTS)}")
    return text


def uploads_track(params: Json) -> bool:
    """Return whether a row adds a text track to its asset."""
    return bool(params.get("upload_to_mux", True))


def problems(params: Json, targets: Sequence[str | None]) -> list[str]:
    """Return what is wrong with the parameters and the target languages of a record together."""
    wrong = _same_language(params.get("from_language"), targets)
    length = len(passthrough("0" * 20, params.get("passthrough")))
    if length >= MAX_PASSTHROUGH:
        wrong.append(
            f"passthrough: {length} characters with batchcap's own; it must stay under "
            f"{MAX_PASSTHROUGH}"
        )
    if not uploads_track(params):
        if params.get("replace_existing_tracks", "fail") != "fail":
            wrong.append("replace_existing_tracks: replaces nothing with upload_to_mux=false")
        return wrong
    if "track_name" in params and len(targets) > 1:
        wrong.append("track_name: one name for several languages; names are unique on an asset")
    return wrong or _sibling_problems(params.get("from_language"), targets)


def _same_language(source: str | None, targets: Sequence[str | None]) -> list[str]:
    languages = {canonical(target): target for target in targets if target}
    target = languages.get(canonical(source)) if source else None
    return [f"to_language_code: {target} is the source language too"] if target else []


def _sibling_problems(source: str | None, targets: Sequence[str | None]) -> list[str]:
    tags = [*filter(None, [source]), *filter(None, targets)]
    return [
        f"to_language_code: {first} and {second} cannot both be tracks of one asset, because "
        f"Mux ignores region and script; {NO_UPLOAD}"
        for first, second in combinations(tags, 2)
        if primary_language(first) == primary_language(second)
    ]
