"""Mux Robots jobs. The outcome is fixed at creation; the status follows from the clock."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from batchcap.sandbox import random_draws
from batchcap.sandbox.mux.assets import Asset, Track, find_asset

ACTIVE = ("pending", "processing")
_ISO_639_1 = {"eng": "en", "spa": "es", "fra": "fr", "deu": "de", "por": "pt", "zho": "zh"}
"""Codes of ISO 639-3 that Mux maps; the real list has all of them."""

TERMINAL = ("completed", "errored", "cancelled")
UNKNOWN_STATUS = "unknown_status"
"""A status that no document mentions."""


class CreateRequest(msgspec.Struct, frozen=True):
    """An accepted create, with the defaults filled in."""

    asset_id: str
    track_id: str
    language: str
    upload: bool
    track_name: str
    replace: str
    parameters: dict[str, object]
    """The parameters as the API returns them."""
    passthrough: str | None = None

    @property
    def caption_key(self) -> str:
        """The caption that is asked for: asset, source track and language."""
        return f"{self.asset_id}/{self.track_id}/{self.language}"


class JobOutcome(msgspec.Struct, frozen=True):
    """How a job will go, drawn when it is created. Durations in seconds from then on.

    `ends_after` is None for a job that never ends. For `unknown_status_seconds` it shows an
    undocumented status, for `hidden_seconds` a GET of it returns 404.
    """

    starts_after: float
    ends_after: float | None
    status: str = "completed"
    error: dict[str, object] | None = None
    unknown_status_seconds: float = 0.0
    hidden_seconds: float = 0.0
    has_link: bool = True
    has_track: bool = True
    units: int = 1


class Job(msgspec.Struct):
    """A job. Only a cancel changes it; everything else follows from the clock."""

    id: str
    request: CreateRequest
    outcome: JobOutcome
    created: float
    track_delay: float
    """Seconds for which its track is preparing."""
    cancelled: float | None = None

    @property
    def ends(self) -> float | None:
        """The sandbox time at which it ends unless it is cancelled."""
        ends_after = self.outcome.ends_after
        return None if ends_after is None else self.created + ends_after

    def status(self, now: float) -> str:
        """Return the status at that sandbox time."""
        # Compare times, not ages: the difference of two unix times is rounded, and at the
        # exact time of a change the status must be the new one.
        if self.cancelled is not None and now >= self.cancelled:
            return "cancelled"
        outcome, created = self.outcome, self.created
        if outcome.ends_after is not None and now >= created + outcome.ends_after:
            return outcome.status
        if now < created + outcome.unknown_status_seconds:
            return UNKNOWN_STATUS
        return "pending" if now < created + outcome.starts_after else "processing"

    def status_changes(self) -> list[tuple[float, str]]:
        """Return every status that it shows with the sandbox time of the change, in order."""
        outcome = self.outcome
        ages = {0.0, outcome.unknown_status_seconds, outcome.starts_after, outcome.ends_after}
        times = {self.created + age for age in ages if age is not None}
        if self.cancelled is not None:
            times = {time for time in times if time < self.cancelled} | {self.cancelled}
        changes: list[tuple[float, str]] = []
        for time in sorted(times):
            status = self.status(time)
            if not changes or changes[-1][1] != status:
                changes.append((time, status))
        return changes

    def updated_at(self, now: float) -> float:
        """Return the time of its last change before `now`."""
        if self.cancelled is not None and now >= self.cancelled:
            return self.cancelled
        if self.ends is not None and now >= self.ends:
            return self.ends
        starts = self.created + self.outcome.starts_after
        return starts if now >= starts else self.created

    def is_completed(self, now: float) -> bool:
        """Return whether it has completed."""
        return self.status(now) == "completed"

    def uploaded_track(self, now: float) -> Track | None:
        """Return the text track that it has added to its asset, or None if there is none yet."""
        if not (self.outcome.has_track and self.is_completed(now)):
            return None
        is_ready = self.ends is not None and now >= self.ends + self.track_delay
        return Track(
            id=self.uploaded_track_id,
            language=self.request.language,
            name=self.request.track_name,
            source="uploaded",
            status="ready" if is_ready else "preparing",
        )

    @property
    def uploaded_track_id(self) -> str:
        """The id of the track that it uploads."""
        return f"track_{random_draws.hex_digits(20, 'uploaded', self.id)}"


class JobStore:
    """Every job that was ever created, by id, by asset and in order of creation.

    The API no longer shows a job older than `lifetime`; its track stays on the asset.
    """

    def __init__(self, lifetime: float) -> None:
        self.lifetime = lifetime
        self._by_id: dict[str, Job] = {}
        self._by_asset: defaultdict[str, list[Job]] = defaultdict(list)
        self._in_order: list[Job] = []
        self.deleted_tracks: set[str] = set()

    def __len__(self) -> int:
        return len(self._in_order)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._in_order)

    def add(self, job: Job) -> None:
        """Add a job. Jobs must be added in the order of their creation."""
        self._by_id[job.id] = job
        self._by_asset[job.request.asset_id].append(job)
        self._in_order.append(job)

    def get(self, job_id: str, now: float) -> Job | None:
        """Return the job of that id, or None if it is unknown or was deleted by age."""
        job = self._by_id.get(job_id)
        return None if job is None or job.created + self.lifetime <= now else job

    def equal(self, request: CreateRequest) -> list[Job]:
        """Return all jobs with the same parameters, whatever their status, oldest first."""
        return [
            job
            for job in self._by_asset.get(request.asset_id, ())
            if job.request.parameters == request.parameters
        ]

    def for_caption(self, request: CreateRequest) -> list[Job]:
        """Return all jobs for the same caption, whatever their status, oldest first."""
        return [
            job
            for job in self._by_asset.get(request.asset_id, ())
            if job.request.caption_key == request.caption_key
        ]

    def replaced_tracks(self, job: Job) -> list[Track]:
        """Return the tracks that a job that uploaded one replaced."""
        asset = find_asset(job.request.asset_id)
        if asset is None or job.ends is None or job.request.replace == "fail":
            return []
        before = self._tracks(asset, job.ends, until=job)
        new = job.uploaded_track(job.ends)
        return [track for track in before if new and _is_replaced(track, new, job)]

    def unexpired(self, now: float, asset_id: str | None = None) -> list[Job]:
        """Return the jobs that the API still shows, oldest first."""
        jobs = self._in_order if asset_id is None else self._by_asset.get(asset_id, [])
        first = bisect_right(jobs, now - self.lifetime, key=lambda job: job.created)
        return jobs[first:] if first else jobs

    def delete_track(self, track_id: str) -> None:
        """Delete a text track from its asset."""
        self.deleted_tracks.add(track_id)

    def tracks(self, asset: Asset, now: float) -> list[Track]:
        """Return the text tracks of an asset, with those that its jobs have uploaded."""
        tracks = self._tracks(asset, now)
        if self.deleted_tracks:
            return [track for track in tracks if track.id not in self.deleted_tracks]
        return tracks

    def _tracks(self, asset: Asset, now: float, until: Job | None = None) -> list[Track]:
        tracks = list(asset.tracks)
        for job in self._by_asset.get(asset.id, ()):
            if job is until:
                break
            uploaded = job.uploaded_track(now)
            if uploaded is not None:
                tracks = [track for track in tracks if not _is_replaced(track, uploaded, job)]
                tracks.append(uploaded)
        return tracks

    def track(self, asset_id: str, track_id: str, now: float) -> Track | None:
        """Return one text track of an asset, or None if there is none."""
        asset = find_asset(asset_id)
        tracks: Iterable[Track] = () if asset is None else self.tracks(asset, now)
        return next((track for track in tracks if track.id == track_id), None)


def conflicts(track: Track, language: str, name: str) -> bool:
    """Return whether a track is in the way of a new one, as Mux judges it.

    Region and script of the languages do not count, nor the case of the names.
    """
    same_name = track.name.strip().casefold() == name.strip().casefold()
    return _primary(track.language) == _primary(language) or same_name


def _primary(language: str) -> str:
    primary = language.partition("-")[0].lower()
    return _ISO_639_1.get(primary, primary)


def can_be_replaced(track: Track, replace: str) -> bool:
    """Return whether `replace_existing_tracks` allows a new track to replace this one."""
    return replace == "replace_all" or (
        replace == "replace_generated" and track.source.startswith("generated")
    )


def _is_replaced(track: Track, uploaded: Track, job: Job) -> bool:
    conflicting = conflicts(track, uploaded.language, uploaded.name)
    return conflicting and can_be_replaced(track, job.request.replace)
