"""What a run knows of its rows before the first of them starts, for the time that is left."""

from __future__ import annotations

from collections.abc import Callable

from batchcap.app.forecast import job_lengths
from batchcap.app.sources import missing_sources
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.settings import Settings
from batchcap.engine.poller import MIN_SWEEP_INTERVAL, SECONDS_PER_JOB, SWEEP_INTERVAL
from batchcap.providers import PROVIDERS
from batchcap.reports.lane_progress import ENOUGH_JOBS, Outlook
from batchcap.reports.tracker import RunTracker
from batchcap.simulation.providers import JobLengths

_READS = 1.1  # GETs that a job takes, with its share of the sweeps
_QUANTILES = 100
_ASSUMED_WEIGHT = 4.0  # jobs for which lengths count that were not measured


def run_tracker(
    ledger: LedgerReader, settings: Settings, now: Callable[[], float], *, sandbox: bool
) -> RunTracker:
    """Return what follows a run over the chosen pending rows of a ledger, by its events."""
    outlooks = {}
    for name, pending in ledger.pending_by_provider().items():
        spec = PROVIDERS[name]
        lengths, measured = job_lengths(ledger, name, sandbox=sandbox)
        outlooks[name] = Outlook(
            pending=pending,
            bucket=spec.write if spec.creates_jobs else spec.read,
            creates_jobs=spec.creates_jobs,
            read_bucket=spec.read,
            reads=_READS if spec.creates_jobs else 1.0,
            lengths=_weighed(lengths, ENOUGH_JOBS if measured else _ASSUMED_WEIGHT),
            notice=_notice(pending, has_webhooks=settings.listening is not None),
        )
    sources = sum(missing_sources(ledger, settings).values())
    return RunTracker(ledger.totals(), outlooks, now, sources)


def _weighed(lengths: JobLengths, weight: float) -> dict[float, float]:
    """Return lengths of jobs with weights that sum up to `weight`."""
    weighed: dict[float, float] = {}
    for number in range(_QUANTILES):
        seconds = lengths.quantile((number + 0.5) / _QUANTILES)
        weighed[seconds] = weighed.get(seconds, 0.0) + weight / _QUANTILES
    return weighed


def _notice(jobs: int, *, has_webhooks: bool) -> float:
    """Return how long the end of one of the last jobs stays unnoticed on average."""
    if has_webhooks:
        return 1.0
    return min(max(MIN_SWEEP_INTERVAL, jobs * SECONDS_PER_JOB), SWEEP_INTERVAL) / 2
