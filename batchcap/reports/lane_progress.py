"""How far the rows of one provider have come, and when they will have ended."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping

import msgspec

from batchcap.domain.events import JobEnded, RowMoved
from batchcap.domain.models import Outcome, Phase, Row, RowState
from batchcap.reports.eta import Survival, time_left

PACE_WINDOW = 240.0  # seconds in which starts are counted, to know their pace
_ENOUGH = 60.0  # seconds of the window after which the pace counts more than the quota

ENOUGH_JOBS = 20
"""Jobs of this run that must have ended before their lengths alone count."""

ETA_INTERVAL = 2.0  # seconds between two estimates
_LARGEST_CHANGE = 0.3  # share of the time left by which one estimate differs from the last
_SMOOTHING = 20.0  # seconds in which an estimate follows two thirds of a change


class Outlook(msgspec.Struct, frozen=True):
    """What is known of a provider's rows before the first of them starts.

    `pending` rows are to be worked on; `bucket` is the quota that each of them needs to start, or
    to end if the provider creates no jobs; `read_bucket` is the one of which it needs `reads`
    requests before it ends. `lengths` weighs the seconds that jobs may take.
    `notice` is how long the end of a job stays unnoticed on average.
    """

    pending: int
    bucket: str
    creates_jobs: bool
    read_bucket: str
    reads: float
    lengths: Mapping[float, float]
    notice: float


class LaneProgress:
    """Follows the rows of one provider. Times are the loop's."""

    def __init__(self, outlook: Outlook) -> None:
        self._outlook = outlook
        self._phases: dict[int, Phase] = {}
        self._began: dict[int, float] = {}
        self._lengths: Counter[float] = Counter()
        self._samples: deque[tuple[float, int]] = deque()
        self._passed = self._gone = 0
        self._estimated_at: float | None = None
        self._passed_at = math.inf
        self.ended: Counter[RowState] = Counter()
        self.is_stopped = False
        self.ends_at: float | None = None

    def row_moved(self, event: RowMoved, now: float, age: float) -> None:
        """Take in that a row is in another phase; its job is `age` seconds old."""
        number = event.row.number
        self._phases[number] = event.phase
        if event.phase is Phase.AT_PROVIDER:
            self._passed += self._outlook.creates_jobs
            self._began[number] = now - age
        else:
            self._began.pop(number, None)

    def job_ended(self, event: JobEnded) -> None:
        """Take in how long a job took."""
        self._lengths[_rounded(event.seconds)] += 1

    def row_ended(self, row: Row, outcome: Outcome, now: float) -> None:
        """Take in that a row ended."""
        self.ended[outcome.state] += 1
        self._passed += not self._outlook.creates_jobs
        self._passed_at = now
        self._forget(row)

    def row_held_back(self, row: Row) -> None:
        """Take in that a row stays pending in this run."""
        self._forget(row)

    def _forget(self, row: Row) -> None:
        self._gone += 1
        self._phases.pop(row.number, None)
        self._began.pop(row.number, None)

    def count(self, phase: Phase) -> int:
        """Return the number of rows in a phase; those that were not started yet wait."""
        inside = sum(value is phase for value in self._phases.values())
        if phase is not Phase.WAITING:
            return inside
        return max(0, self._outlook.pending - self._gone - len(self._phases)) + inside

    def estimate(self, now: float, rate: float | None, pause: float) -> None:
        """Estimate anew when the rows will have ended, unless that was done just now.

        `rate` is that of the quota that limits the rows, which is paused for `pause` seconds.
        """
        before = self._estimated_at
        if before is not None and now - before < ETA_INTERVAL:
            return
        self._estimated_at = now
        passed = 0.0 if before is None else now - before
        if pause:  # a pause is no part of the pace
            self._samples = deque((at + passed, count) for at, count in self._samples)
        self._samples.append((now, self._passed))
        while self._samples[0][0] < now - PACE_WINDOW:
            self._samples.popleft()
        left = self._seconds_left(now, rate)
        if left is None or self.ends_at is None or pause:
            self.ends_at = None if left is None else now + pause + left
        else:
            largest = _LARGEST_CHANGE * max(30.0, self.ends_at - now)
            change = (now + left - self.ends_at) * min(1.0, passed / _SMOOTHING)
            self.ends_at += max(-largest, min(largest, change))

    def _seconds_left(self, now: float, rate: float | None) -> float | None:
        waiting = 0 if self.is_stopped else self.count(Phase.WAITING)
        pace = self._pace(rate)
        if not self._outlook.creates_jobs:
            left = waiting + len(self._phases)
            idle = now - self._passed_at if self._phases else 0.0  # the next one may take as long
            return max(left / pace, idle) if pace else None
        if not waiting and not self._phases:
            return 0.0
        if waiting and not pace:
            return None
        ages = [now - began for began in self._began.values()]
        jobs = Survival(self._known_lengths(), ages)
        return time_left(waiting, pace, ages, jobs) + self._outlook.notice

    def _known_lengths(self) -> Mapping[float, float]:
        """Return the lengths of jobs of this run, or of earlier ones until enough have ended."""
        if self._lengths.total() >= ENOUGH_JOBS:
            return self._lengths
        lengths = dict(self._outlook.lengths)
        for seconds, count in self._lengths.items():
            lengths[seconds] = lengths.get(seconds, 0.0) + count
        return lengths

    def _pace(self, rate: float | None) -> float | None:
        """Return how many rows pass a second: as counted, or as the quota allows at first."""
        (began, first), (now, last) = self._samples[0], self._samples[-1]
        seconds, count = now - began, last - first
        if rate and seconds < _ENOUGH:
            return rate
        return count / seconds if count and seconds else None


def _rounded(seconds: float) -> float:
    """Round to two digits, so that few different lengths are kept."""
    return float(f"{max(seconds, 0.5):.2g}")
