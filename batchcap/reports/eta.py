"""When a provider's rows will have ended: from the quota, the open jobs and learned lengths.

Rows that wait start one after the other, as fast as the quota allows. The last row ends when
the last job does, whose length is unknown. So the time left is a median: the time after which
it is as likely as not that all jobs have ended. How many jobs take longer than a time is
estimated from those that ended and those that still run (Kaplan and Meier): early in a run
only short jobs have ended, so they alone would promise too much.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Mapping

_MEDIAN = math.log(2)
"""The number of jobs expected to run when the chance that none does is one half."""

_TAIL = 0.3
"""Beyond the longest job known, jobs run on for this share of its length on average."""

_UNKNOWN = 1e-6
"""A share of jobs below which nothing is known of how long they run on."""

_GRID = 8
"""Ages are rounded to this many steps for each doubling."""

_LONGEST = 1e7  # seconds


class Survival:
    """The share of jobs that takes longer than some time.

    `ended` counts the jobs that ended by their seconds; `ages` are the seconds for which the
    open ones have run.
    """

    def __init__(self, ended: Mapping[float, float], ages: Collection[float]) -> None:
        ages, left = sorted(ages), sum(ended.values())
        self._times, self._shares, self._areas = [0.0], [1.0], [0.0]
        for time in sorted(ended):
            at_risk = left + len(ages) - bisect_left(ages, time)
            share = self._shares[-1] * (1 - ended[time] / at_risk)
            area = (self._shares[-1] + share) / 2 * (time - self._times[-1])
            self._times.append(time)
            self._shares.append(share)
            self._areas.append(self._areas[-1] + area)
            left -= ended[time]

    def share(self, time: float) -> float:
        """Return the share of jobs that takes longer than `time` seconds."""
        place = bisect_right(self._times, time)
        if place == len(self._times):
            return self._shares[-1] * math.exp(-(time - self._times[-1]) / self._tail)
        began, ends = self._times[place - 1], self._times[place]
        high, low = self._shares[place - 1], self._shares[place]
        return high + (low - high) * (time - began) / (ends - began)

    def area(self, time: float) -> float:
        """Return the integral of the share from 0 to `time`."""
        place = bisect_right(self._times, time) - 1
        high, seconds = self._shares[place], time - self._times[place]
        if place == len(self._times) - 1:
            return self._areas[place] + high * self._tail * (1 - math.exp(-seconds / self._tail))
        return self._areas[place] + (high + self.share(time)) / 2 * seconds

    @property
    def _tail(self) -> float:
        return max(1.0, _TAIL * self._times[-1])

    def left(self, age: float, after: float) -> float:
        """Return the chance that a job of this age runs for `after` seconds more."""
        share = self.share(age)
        if share <= _UNKNOWN:
            return math.exp(-after / (_TAIL * age))
        return self.share(age + after) / share


def time_left(waiting: int, pace: float | None, ages: Collection[float], jobs: Survival) -> float:
    """Return the seconds after which it is as likely as not that all jobs have ended.

    `waiting` jobs are still to be created, `pace` of them a second; `ages` are the seconds for
    which the open ones have run.

    Raises:
        ValueError: Jobs wait, and there is no pace.
    """
    if waiting and not pace:
        raise ValueError("jobs wait without a pace")
    creating = waiting / pace if pace else 0.0
    groups = Counter(round(math.log2(max(age, 1.0)) * _GRID) for age in ages)
    started = [(2 ** (at / _GRID), count) for at, count in groups.items()]

    def running(after: float) -> float:
        count = (pace or 0.0) * (jobs.area(after) - jobs.area(after - creating))
        for age, jobs_open in started:
            count += jobs_open * jobs.left(age, after)
        return count

    return _first_below(_MEDIAN, running, creating)


def _first_below(limit: float, running: Callable[[float], float], low: float) -> float:
    """Return the first time from `low` on at which a falling count is below a limit."""
    if running(low) <= limit:
        return low
    step = 1.0
    while running(low + step) > limit and step < _LONGEST:
        step *= 2
    high = low + step
    while high - low > max(0.5, 0.005 * high):
        middle = (low + high) / 2
        low, high = (middle, high) if running(middle) > limit else (low, middle)
    return high
