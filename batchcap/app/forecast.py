"""What a run over an open ledger would do, how long it would take, and what it would cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from batchcap.app.read_only_store import ReadOnlyStore
from batchcap.app.sources import missing_sources
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import Json
from batchcap.domain.settings import Settings
from batchcap.domain.workload import PaidVideo, RowRules, UnitCost, Workload
from batchcap.engine.job_durations import JobDurations
from batchcap.providers import PROVIDERS
from batchcap.sandbox import SandboxOptions
from batchcap.simulation.forecast import MOST_ROWS, Forecast, LaneWork, forecast
from batchcap.simulation.providers import JobLengths, MeasuredLengths

ENOUGH_JOBS = 20
"""Jobs whose lengths a ledger must have recorded before they count more than the assumption."""

_QUANTILES = 200


class Units(msgspec.Struct, frozen=True):
    """Units to expect, as a range."""

    low: float
    high: float


class Expectation(msgspec.Struct, frozen=True):
    """What to expect of a run. `units` is None if they are unknown; `units_reason` says why.

    `measured` is the number of jobs whose lengths the forecast is made of, 0 if their lengths
    are assumed: `lengths` then.
    """

    workloads: list[Workload]
    forecast: Forecast
    units: Units | None
    units_reason: str
    measured: int
    lengths: JobLengths
    sources: int = 0
    """The source captions to fetch."""
    source_reads: Mapping[str, int] = {}
    """The requests that their links take, by bucket."""

    @property
    def rows(self) -> int:
        """The captions to get."""
        return sum(work.rows for work in self.workloads)

    @property
    def creates(self) -> int:
        """The jobs to create."""
        return sum(work.creates for work in self.workloads)

    @property
    def published(self) -> int:
        """The jobs that add a track to their source."""
        return sum(work.published for work in self.workloads)


def expect(
    ledger: LedgerReader,
    settings: Settings,
    *,
    sandbox: bool,
    most_rows: int = MOST_ROWS,
    with_sources: bool = True,
) -> Expectation:
    """Return what a run over the pending rows of a ledger would do, without any request.

    At most `most_rows` rows of a provider are simulated. Without `with_sources`, sources are
    not counted, nor that some have to be read first; that takes half the time.
    """
    works = ledger.workloads(RowRules(_publishes, _reads_source if with_sources else None))
    sources = missing_sources(ledger, settings) if with_sources else {}
    working = {work.provider for work in works}
    works += [Workload(name, 0) for name in sources if name not in working]
    lanes, measured, lengths = [], 0, _assumed(sandbox=sandbox)
    for work in works:
        own, count = job_lengths(ledger, work.provider, sandbox=sandbox)
        if work.creates or work.with_job:
            measured, lengths = count, own
        wanted = sources.get(work.provider, 0)
        lanes.append(_lane(work, settings, own, wanted, is_measured=count > 0))
    units, reason = _units(ledger, works, settings.limits.unit_cost)
    return Expectation(
        workloads=works,
        forecast=forecast(lanes, most_rows),
        units=units,
        units_reason=reason,
        measured=measured,
        lengths=lengths,
        sources=sum(sources.values()),
        source_reads={name: n for lane in lanes for name, n in lane.more_requests.items()},
    )


def job_lengths(ledger: LedgerReader, provider: str, *, sandbox: bool) -> tuple[JobLengths, int]:
    """Return how long a provider's jobs take, and how many jobs were measured.

    With fewer than `ENOUGH_JOBS`, the lengths are assumed, and the number is 0.
    """
    durations = JobDurations(provider, ReadOnlyStore(ledger, "durations."))
    if durations.count < ENOUGH_JOBS:
        return _assumed(sandbox=sandbox), 0
    shares = ((number + 0.5) / _QUANTILES for number in range(_QUANTILES))
    table = tuple(durations.quantile(share) or 0.0 for share in shares)
    return MeasuredLengths(table=table), durations.count


def _assumed(*, sandbox: bool) -> JobLengths:
    if not sandbox:
        return JobLengths()
    options = SandboxOptions()
    return JobLengths(options.job_seconds, options.job_sigma, options.job_seconds_max)


def _publishes(provider: str, params: Json) -> bool:
    spec = PROVIDERS.get(provider)
    return spec is not None and spec.track_rule is not None and spec.track_rule.uploads(params)


def _reads_source(provider: str, params: Json) -> bool:
    spec = PROVIDERS.get(provider)
    track = spec.columns.source_track if spec is not None else None
    return track is not None and track not in params


def _lane(
    work: Workload, settings: Settings, lengths: JobLengths, sources: int, *, is_measured: bool
) -> LaneWork:
    """Return what a provider's lane has to do; `sources` source captions are fetched too."""
    spec = PROVIDERS[work.provider]
    # A source that is read before a job is created needs no other request for its link.
    links = max(0, sources - work.source_reads)
    return LaneWork(
        provider=work.provider,
        rows=work.rows,
        creates=work.creates,
        with_job=work.with_job if spec.creates_jobs else 0,
        source_reads=work.source_reads,
        rates={name: settings.rate(name, rate) for name, rate in spec.rates.items()},
        window=settings.windows.get(work.provider, spec.window),
        lengths=lengths,
        is_measured=is_measured,
        has_webhooks=settings.listening is not None and spec.webhook is not None,
        connections=settings.connections,
        job_timeout=settings.job_timeout,
        more_requests={spec.read: links} if links else {},
    )


def _units(
    ledger: LedgerReader, works: Sequence[Workload], cost: UnitCost | None
) -> tuple[Units | None, str]:
    """Return the units to expect and where they come from, or None and why they are unknown."""
    creates = sum(work.creates for work in works)
    timed, seconds = sum(work.timed for work in works), sum(work.seconds for work in works)
    if not creates:
        return Units(0.0, 0.0), "no job is created"
    if cost is not None and not cost.per_minute:
        return Units(creates * cost.units, creates * cost.units), "from --unit-cost"
    paid = ledger.paid_videos() if cost is None else []
    if cost is None and not paid:
        return None, "no paid job with a known video length is in the ledger; try --unit-cost"
    if timed < creates:
        return None, f"{creates - timed:,} rows have no column duration (seconds)"
    if cost is not None:
        units = cost.units * seconds / 60
        return Units(units, units), "from --unit-cost"
    low, high = _units_per_second(paid)
    return Units(low * seconds, high * seconds), f"from {len(paid):,} paid jobs of this ledger"


def _units_per_second(paid: Sequence[PaidVideo]) -> tuple[float, float]:
    """Return what a second of video cost at least and at most, but for a tenth at either end."""
    costs = sorted(video.units / video.seconds for video in paid)
    tenth = len(costs) // 10
    return costs[tenth], costs[-1 - tenth]
