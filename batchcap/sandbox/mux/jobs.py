"""Mux Robots jobs. The outcome is fixed at creation; the status follows from the clock."""

from __future__ import annotations

from typing import Literal

import msgspec

from batchcap.sandbox import random_draws
from batchcap.sandbox.mux.assets import Track

ACTIVE = ("pending", "processing")
TERMINAL = ("completed", "errored", "cancelled")
UploadConflict = Literal["errored", "no_track"]
"""The outcome of a job that cannot upload its track, because another track is in the way."""

UNKNOWN_STATUS = "unknown_status"
"""A status that Mux's documents do not mention."""


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
    """The future course of a job, drawn when it is created. Durations in seconds from then on.

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
    """A job. Only a cancel and other jobs for its asset change it; the clock does the rest."""

    id: str
    request: CreateRequest
    outcome: JobOutcome
    created: float
    track_delay: float
    """Seconds for which the uploaded track has the status `preparing`."""
    cancelled: float | None = None
    upload_conflict: Literal["", "errored", "no_track"] = ""
    """Whether a track that was added while the job ran prevents the upload of its own track."""

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
            is_refused = self.upload_conflict == "errored" and outcome.status == "completed"
            return "errored" if is_refused else outcome.status
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

    @property
    def has_track(self) -> bool:
        """Whether it uploads a track if it completes."""
        return self.outcome.has_track and not self.upload_conflict

    def uploaded_track(self, now: float) -> Track | None:
        """Return the text track that it has added to its asset, or None if there is none yet."""
        if not (self.has_track and self.is_completed(now)):
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
