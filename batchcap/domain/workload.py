"""How much there is to do, counted from a ledger before anything is requested."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from batchcap.domain.models import Json

DURATION = "duration"
"""The user's column with the length of the video in seconds, as `manifest mux` writes it."""


class RowRules(msgspec.Struct, frozen=True):
    """What a provider does with a row, by its name and the row's `params`.

    `publishes`: the job adds a track to the source. `reads_source`: the source is read before
    the job is created; without it, sources are not counted.
    """

    publishes: Callable[[str, Json], bool]
    reads_source: Callable[[str, Json], bool] | None


class Workload(msgspec.Struct, frozen=True):
    """The chosen pending rows of one provider.

    `creates` rows need a new job, `with_job` have one already; `published` of the new jobs add
    a track to their source. `sources` are the distinct ones, `shared` those of them with
    several rows, `source_reads` those that are read before a job is created. `timed` is the
    number of creates whose video has a known length, `seconds` the sum of these lengths.
    """

    provider: str
    rows: int
    with_job: int = 0
    creates: int = 0
    published: int = 0
    timed: int = 0
    seconds: float = 0.0
    sources: int = 0
    shared: int = 0
    source_reads: int = 0


class TaskCount(msgspec.Struct, frozen=True):
    """The number of tasks of one provider, language and state."""

    provider: str
    language: str | None
    state: str
    count: int


def video_seconds(meta: Json) -> float | None:
    """Return the length of a row's video, None if its columns do not have it."""
    try:
        seconds = float(meta.get(DURATION, ""))
    except (TypeError, ValueError):
        return None
    return seconds if 0 < seconds < math.inf else None


class UnitCost(msgspec.Struct, frozen=True):
    """What a caption costs: `units` each, or for each minute of its video."""

    units: float
    per_minute: bool = False

    def of(self, meta: Json) -> float | None:
        """Return the units of a row with these columns of the user, None if they are unknown."""
        if not self.per_minute:
            return self.units
        seconds = video_seconds(meta)
        return None if seconds is None else self.units * seconds / 60


class PaidVideo(msgspec.Struct, frozen=True):
    """The units that a completed job was billed, and the length of its video in seconds."""

    units: int
    seconds: float
