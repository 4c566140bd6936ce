"""How long a run will take and what it will request, from one rehearsal for each provider.

The rehearsal runs the real engine on virtual time, at most `MOST_ROWS` rows of a provider. More
rows are scaled: what takes longest in steady state (a bucket, the window of jobs, the machine)
grows with the rows, and what comes on top (the last jobs' end) stays. The range comes from the
spread of the job lengths, because those of the last jobs are unknown. Equal lanes have equal
forecasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal, cast

import msgspec

from batchcap.simulation.providers import JobLengths, TypicalLengths
from batchcap.simulation.rehearsal import Scenario, rehearse

MOST_ROWS = 10_000
"""Most rows of a provider that are simulated."""

_MOST_ROWS_WITHOUT_QUOTA = 3_000
"""Likewise if no quota slows the run down: then it polls far more often."""

_SIMULATED = {"mux", "heygen"}
"""Providers that are simulated; for another one, a request of each bucket a row is assumed."""

WINDOW, MACHINE, JOBS = "window", "machine", "jobs"
"""What may take longest beside a bucket: the jobs open at once, the machine, single jobs."""

_CPU_SECONDS = 0.003
"""Seconds that a machine needs for a caption, with its download."""

_QUOTA_SPREAD = (0.97, 1.05)
_MACHINE_SPREAD = (0.2, 4.0)
_ASSUMED_SPREAD, _MEASURED_SPREAD = 1.6, 1.25
"""By what factor the mean length of jobs may differ from what is assumed or was measured."""

_LISTED_SHARE = 0.05
"""Requests a caption if the list of an account has its translations, against some 1.03."""

_NOTICED = 60.0
"""Seconds until the end of a job is noticed, at most."""

_UNLUCKY = 0.025
"""Share of the runs whose last jobs are longer, or all shorter, than the range allows for."""


class LaneWork(msgspec.Struct, frozen=True):
    """What there is to do at one provider, and what limits it.

    `rates` are those of its buckets, less what is left to other programs. `more_requests`, by
    bucket, come on top of those of the rows. `is_measured`: the lengths come from jobs of this
    ledger.
    """

    provider: str
    rows: int
    creates: int
    with_job: int
    source_reads: int
    rates: Mapping[str, float | None]
    window: int
    lengths: JobLengths
    is_measured: bool = False
    has_webhooks: bool = False
    connections: int = 64
    job_timeout: float = 7200.0
    more_requests: Mapping[str, int] = {}


class Seconds(msgspec.Struct, frozen=True):
    """A range of seconds, and the most likely value in it."""

    low: float
    likely: float
    high: float


class Forecast(msgspec.Struct, frozen=True):
    """What to expect of a run.

    `limit` is what takes longest: a bucket, `WINDOW`, `MACHINE` or `JOBS`; None if there is
    nothing to do. `is_scaled`: there are more rows than were simulated, `simulated`.
    """

    requests: dict[str, int]
    seconds: Seconds
    limit: str | None
    simulated: int
    is_scaled: bool

    @property
    def bottleneck(self) -> str | None:
        """The bucket that decides how long the run takes, None if none does."""
        return None if self.limit in {WINDOW, MACHINE, JOBS} else self.limit


def forecast(lanes: Sequence[LaneWork], most_rows: int = MOST_ROWS) -> Forecast:
    """Return what to expect if the lanes start now, each beside the others."""
    forecasts = [_of_lane(lane, most_rows) for lane in lanes if lane.rows or lane.more_requests]
    if not forecasts:
        return Forecast({}, Seconds(0.0, 0.0, 0.0), None, 0, is_scaled=False)
    longest = max(forecasts, key=lambda part: part.seconds.likely)
    return Forecast(
        requests={bucket: count for part in forecasts for bucket, count in part.requests.items()},
        seconds=Seconds(
            *(
                max(getattr(part.seconds, end) for part in forecasts)
                for end in ("low", "likely", "high")
            )
        ),
        limit=longest.limit,
        simulated=max(part.simulated for part in forecasts),
        is_scaled=any(part.is_scaled for part in forecasts),
    )


def _of_lane(lane: LaneWork, most_rows: int) -> Forecast:
    most_rows = min(most_rows, MOST_ROWS if _has_quota(lane) else _MOST_ROWS_WITHOUT_QUOTA)
    simulated = min(lane.rows, most_rows) if lane.provider in _SIMULATED else 0
    if simulated:
        result = rehearse(_scenario(lane, simulated))
        growth = lane.rows / simulated
        requests = {bucket: round(count * growth) for bucket, count in result.requests.items()}
        rest = result.makespan - max(_phases(lane, simulated, result.requests).values())
    else:
        requests = dict.fromkeys(lane.rates, lane.rows)
        rest = lane.lengths.quantile(0.5) if lane.creates or lane.with_job else 0.0
    requests = {name: n + lane.more_requests.get(name, 0) for name, n in requests.items()}
    phases = _phases(lane, lane.rows, requests)
    limit = max(phases, key=phases.__getitem__)
    likely = phases[limit] + max(0.0, rest)
    low, high = _range(lane, phases)
    return Forecast(
        requests=requests,
        seconds=Seconds(min(low, likely), likely, max(high, likely)),
        limit=limit if 2 * phases[limit] >= likely else JOBS,
        simulated=simulated,
        is_scaled=0 < simulated < lane.rows,
    )


def _has_quota(lane: LaneWork) -> bool:
    """Return whether the quota slows the run down more than the window does."""
    rates = [rate for rate in lane.rates.values() if rate is not None]
    if len(rates) < len(lane.rates):
        return False
    return not lane.creates or min(rates) <= lane.window / _mean(lane.lengths)


def _scenario(lane: LaneWork, rows: int) -> Scenario:
    share = rows / lane.rows
    return Scenario(
        provider=cast(Literal["mux", "heygen"], lane.provider),
        rows=rows,
        rates=lane.rates,
        lengths=TypicalLengths(base=lane.lengths, count=rows),
        connections=lane.connections,
        window=lane.window,
        events_lost=0.0 if lane.has_webhooks else None,
        running=round(lane.with_job * share) if lane.creates or lane.with_job else 0,
        asset_reads=min(1.0, lane.source_reads / max(1, lane.creates)),
    )


def _phases(lane: LaneWork, rows: int, requests: Mapping[str, int]) -> dict[str, float]:
    """Return how long each of the things that limit a run takes for some rows, in seconds."""
    phases = {MACHINE: rows * _CPU_SECONDS}
    if lane.creates or lane.with_job:
        phases[WINDOW] = max(0, rows - lane.window) * _mean(lane.lengths) / lane.window
    for bucket, count in requests.items():
        if rate := lane.rates[bucket]:
            phases[bucket] = count / rate
    return phases


def _range(lane: LaneWork, phases: Mapping[str, float]) -> tuple[float, float]:
    """Return the seconds that a run takes at least and at most, but for an outage."""
    has_jobs = bool(lane.creates or lane.with_job)
    spread = _MEASURED_SPREAD if lane.is_measured else _ASSUMED_SPREAD
    quota_low, quota_high = _QUOTA_SPREAD
    if not has_jobs:  # whether the list of the account helps, and the rate, are unknown before
        quota_low, quota_high = _LISTED_SHARE, 1.5
    spreads = {MACHINE: _MACHINE_SPREAD, WINDOW: (1 / spread, spread)}
    ranges = [
        (seconds * low, seconds * high)
        for name, seconds in phases.items()
        for low, high in [spreads.get(name, (quota_low, quota_high))]
    ]
    first, last = _last_jobs(lane, spread) if has_jobs else (0.0, _NOTICED)
    return max(low for low, _ in ranges) + first, max(high for _, high in ranges) + last


def _last_jobs(lane: LaneWork, spread: float) -> tuple[float, float]:
    """Return by how many seconds the last jobs outlast what the quota or the window allows."""
    lengths, rows = lane.lengths, lane.rows
    all_short, one_long = _UNLUCKY ** (1 / rows), (1 - _UNLUCKY) ** (1 / rows)
    low = min(lengths.quantile(all_short), lengths.quantile(0.5)) / spread
    high = min(lengths.quantile(one_long) * spread, lane.job_timeout)
    return low, high + _NOTICED


def _mean(lengths: JobLengths) -> float:
    return fmean(lengths.quantile((number + 0.5) / 200) for number in range(200))
