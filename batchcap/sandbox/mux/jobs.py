"""Mux Robots jobs: facts written down at the create, states read off the clock."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from batchcap.sandbox import random_draws
from batchcap.sandbox.mux.assets import Asset, Track, asset

ACTIVE = ("pending", "processing")
TERMINAL = ("completed", "errored", "cancelled")
ODD = "reticulating"
"""A status word that no document has."""


class CreateRequest(msgspec.Struct, frozen=True):
    """A create as it was accepted, with the defaults filled in."""

    asset_id: str
    track_id: str
    language: str
    upload: bool
    track_name: str
    replace: str
    parameters: dict[str, object]
    """What the API echoes."""
    passthrough: str | None = None

    @property
    def key(self) -> str:
        """What it is about: asset, source track and language."""
        return f"{self.asset_id}/{self.track_id}/{self.language}"


class JobOutcome(msgspec.Struct, frozen=True):
    """What will become of a job, drawn when it is made; durations in seconds.

    `ends` None is a job that never ends; `odd` is how long it shows an odd word.
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
    """One job. Only a cancel ever changes it; all else follows from the clock."""

    id: str
    request: CreateRequest
    outcome: JobOutcome
    created: float
    settles: float
    """Seconds that its track is preparing."""
    cancelled: float | None = None

    @property
    def ends(self) -> float | None:
        """The sandbox time at which it ends if nobody cancels it."""
        return None if self.outcome.ends_after is None else self.created + self.outcome.ends_after

    def status(self, now: float) -> str:
        """The status word at that sandbox time."""
        # Times are compared, not ages: a difference of unix times is rounded, and the
        # status at the very time of a change has to be the new one.
        if self.cancelled is not None and now >= self.cancelled:
            return "cancelled"
        outcome, created = self.outcome, self.created
        if outcome.ends_after is not None and now >= created + outcome.ends_after:
            return outcome.status
        if now < created + outcome.unknown_status_seconds:
            return ODD
        return "pending" if now < created + outcome.starts_after else "processing"

    def changes(self) -> list[tuple[float, str]]:
        """Every status word that it shows, and from which sandbox time on, the first first."""
        ages = {
            0.0,
            self.outcome.unknown_status_seconds,
            self.outcome.starts_after,
            self.outcome.ends_after,
        }
        times = {self.created + age for age in ages if age is not None}
        if self.cancelled is not None:
            times = {time for time in times if time < self.cancelled} | {self.cancelled}
        found = [(time, self.status(time)) for time in sorted(times)]
        words = ["", *(word for _, word in found)]
        return [each for before, each in zip(words, found, strict=False) if each[1] != before]

    def updated(self, now: float) -> float:
        """The time of its last change of state."""
        if self.cancelled is not None and now >= self.cancelled:
            return self.cancelled
        if self.ends is not None and now >= self.ends:
            return self.ends
        starts = self.created + self.outcome.starts_after
        return starts if now >= starts else self.created

    def done(self, now: float) -> bool:
        """Whether it completed."""
        return self.status(now) == "completed"

    def track(self, now: float) -> Track | None:
        """The text track that it has put on its asset by then."""
        if not (self.outcome.has_track and self.done(now)):
            return None
        ready = self.ends is not None and now >= self.ends + self.settles
        return Track(
            id=self.track_id,
            language=self.request.language,
            name=self.request.track_name,
            source="uploaded",
            status="ready" if ready else "preparing",
        )

    @property
    def track_id(self) -> str:
        """The id of the track that it uploads."""
        return f"track_{random_draws.name(20, 'uploaded', self.id)}"


class JobBook:
    """Every job ever created, by id, by asset and in order.

    A job older than `lifetime` is gone from the API; its track stays on the asset.
    """

    def __init__(self, lifetime: float) -> None:
        self.lifetime = lifetime
        self._ids: dict[str, Job] = {}
        self._assets: defaultdict[str, list[Job]] = defaultdict(list)
        self._order: list[Job] = []

    def __iter__(self) -> Iterator[Job]:
        return iter(self._order)

    def add(self, job: Job) -> None:
        """Keep a job; jobs come in the order of their creation."""
        self._ids[job.id] = job
        self._assets[job.request.asset_id].append(job)
        self._order.append(job)

    def get(self, identifier: str, now: float) -> Job | None:
        """The job of that id, None where it is unknown or deleted by age."""
        job = self._ids.get(identifier)
        return None if job is None or job.created + self.lifetime <= now else job

    def equal(self, order: CreateRequest) -> list[Job]:
        """Every job for the same caption, whatever became of it, oldest first."""
        return [job for job in self._assets.get(order.asset_id, ()) if job.request.key == order.key]

    def kept(self, now: float, asset_id: str | None = None) -> list[Job]:
        """The jobs that the API still knows, oldest first."""
        jobs = self._order if asset_id is None else self._assets.get(asset_id, [])
        first = bisect_right(jobs, now - self.lifetime, key=lambda job: job.created)
        return jobs[first:] if first else jobs

    def tracks(self, known: Asset, now: float) -> list[Track]:
        """The text tracks of an asset by now, its jobs' among them."""
        tracks = list(known.tracks)
        for job in self._assets.get(known.id, ()):
            new = job.track(now)
            if new is not None:
                tracks = [track for track in tracks if not _replaced(track, new, job)]
                tracks.append(new)
        return tracks

    def track(self, asset_id: str, track_id: str, now: float) -> Track | None:
        """One text track of an asset by now."""
        known = asset(asset_id)
        found: Iterable[Track] = () if known is None else self.tracks(known, now)
        return next((track for track in found if track.id == track_id), None)


def clashes(track: Track, language: str, name: str) -> bool:
    """Whether a new track of that language and name collides with this one."""
    return track.language.lower() == language.lower() or track.name == name


def replaceable(track: Track, replace: str) -> bool:
    """Whether `replace_existing_tracks` lets a new track take this one's place."""
    return replace == "replace_all" or (
        replace == "replace_generated" and track.source.startswith("generated")
    )


def _replaced(track: Track, new: Track, job: Job) -> bool:
    return clashes(track, new.language, new.name) and replaceable(track, job.request.replace)
