"""Why Mux refuses a create, found by reading the asset: the message is only prose."""

from __future__ import annotations

from batchcap.domain.errors import RowError, RowSkipped
from batchcap.domain.models import Job, JobRequest, JobState, Row
from batchcap.providers.mux.assets import Asset, Track
from batchcap.providers.mux.manifest_rules import NO_UPLOAD, uploads_track
from batchcap.providers.mux.schema import replaces
from batchcap.transport.response import sanitize


def check_request(request: JobRequest, asset: Asset, on_existing: str) -> Job | None:
    """Return the caption that is in the way of a create, None if nothing explains its refusal.

    Raises:
        RowError: The asset explains it, and there is no caption to take.
        RowSkipped: There is one, and the user does not want it.
    """
    row = request.row
    _check_playback(asset)
    _check_source(asset, request.body["parameters"]["track_id"])
    if not uploads_track(row.params):
        return None
    if not replaces(row) and (existing := existing_caption(row, asset, on_existing)):
        return existing
    if tracks := _tracks_that_stay(asset, row):
        raise RowError("language_exists", _explain_tracks(asset, row, tracks))
    return None


def _tracks_that_stay(asset: Asset, row: Row) -> list[Track]:
    """Return the tracks in the way of a row's that `replace_existing_tracks` does not replace."""
    rule = row.params.get("replace_existing_tracks", "fail")
    return [
        track
        for track in asset.tracks_in_the_way(row.target, row.params.get("track_name"))
        if rule == "fail" or (rule == "replace_generated" and not track.is_generated)
    ]


def _check_playback(asset: Asset) -> None:
    if not asset.has_usable_playback_id:
        policies = asset.policies or "no playback id at all"
        message = f"asset {asset.id} has no public or signed playback id ({policies})"
        raise RowError("rejected", message)


def _check_source(asset: Asset, track_id: str) -> None:
    source = asset.track(track_id)
    if source is None:
        raise RowError("track_not_found", f"asset {asset.id} has no text track {track_id}")
    if not source.ready:
        message = f"text track {track_id} of asset {asset.id} is {sanitize(source.status)}"
        raise RowError("track_not_ready", message, retryable=source.status == "preparing")


def has_caption(asset: Asset, tag: str) -> bool:
    """Return whether an asset has a text track in exactly that language, or is making one."""
    track = asset.in_language(tag)
    return track is not None and track.status not in {"errored", "deleted"}


def existing_caption(row: Row, asset: Asset, on_existing: str) -> Job | None:
    """Return the caption if the asset has one in the target language, as --on-existing says.

    Raises:
        RowError: "language_exists", with `fail`.
        RowSkipped: With `skip`.
    """
    track = asset.in_language(row.target)
    if track is None or not has_caption(asset, row.target):
        return None
    message = f"asset {asset.id} has text track {sanitize(track.id)} in {row.target} already"
    match on_existing:
        case "skip":
            raise RowSkipped(message)
        case "fail":
            raise RowError("language_exists", message)
        case _:
            return Job(id=None, state=JobState.COMPLETED, track=track.id)


def keep_source_track(asset: Asset, row: Row, track_id: str) -> None:
    """Refuse a create that would replace the track that it translates.

    Raises:
        RowError: "language_exists".
    """
    tracks = asset.tracks_in_the_way(row.target, row.params.get("track_name"))
    if uploads_track(row.params) and any(track.id == track_id for track in tracks):
        raise RowError("language_exists", _explain_tracks(asset, row, tracks))


def _explain_tracks(asset: Asset, row: Row, tracks: list[Track]) -> str:
    """Explain a refusal by Mux's rule: primary language or name, in any status."""
    listed = ", ".join(
        sanitize(f"{track.id} ({track.language}, {track.name}, {track.status})") for track in tracks
    )
    return (
        f"asset {asset.id} has tracks in the way of {row.target}: {listed}. Mux allows one text "
        f"track for each language, regions and scripts not counted, and for each name; {NO_UPLOAD}"
        f". --on-existing takes or skips a track in {row.target} itself only"
    )
