"""The counts of a run for Prometheus, by prometheus-client (`pip install 'batchcap[metrics]'`)."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from batchcap.domain.events import Event, JobEnded, RateChanged, RequestEnded, RowEnded
from batchcap.reports.snapshot import Snapshot

_WAITS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200)
_JOBS = (1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
"""Bounds of histograms, in seconds."""


_STATES = ("waiting", "at_provider", "downloading", "done", "failed", "skipped", "invalid")


class PrometheusMetrics:
    """Counts events in a registry of its own. An `Observer`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._rows = Gauge(
            "batchcap_rows",
            "Rows of the ledger by state; those of this run that are pending by phase",
            ("provider", "state"),
            registry=registry,
        )
        self._requests = Counter(
            "batchcap_requests",
            "HTTP requests by bucket and status; `lost` without a response",
            ("bucket", "status"),
            registry=registry,
        )
        self._waits = Histogram(
            "batchcap_request_wait_seconds",
            "Seconds for which requests waited for their quota",
            ("bucket",),
            buckets=_WAITS,
            registry=registry,
        )
        self._rate = Gauge(
            "batchcap_rate_limit",
            "Requests per second that a bucket allows; absent without a limit",
            ("bucket",),
            registry=registry,
        )
        self._paused = Gauge(
            "batchcap_paused_seconds",
            "Seconds that a bucket pauses from now on",
            ("bucket",),
            registry=registry,
        )
        self._jobs = Histogram(
            "batchcap_job_seconds",
            "Seconds that jobs took at the provider",
            ("provider",),
            buckets=_JOBS,
            registry=registry,
        )
        self._bytes = Counter(
            "batchcap_caption_bytes", "Bytes of captions on disk", registry=registry
        )
        self._units = Counter("batchcap_units", "Units billed by providers", registry=registry)
        self._handlers: dict[type[Event], Callable[..., None]] = {
            RequestEnded: self._request_ended,
            RateChanged: self._rate_changed,
            JobEnded: self._job_ended,
            RowEnded: self._row_ended,
        }

    def __call__(self, event: Event) -> None:
        """Count one event."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def update(self, snapshot: Snapshot) -> None:
        """Set what is no count of events: where the rows are now."""
        for provider in snapshot.providers:
            for state in _STATES:
                self._rows.labels(provider.name, state).set(getattr(provider, state))
        for bucket in snapshot.buckets:
            until = bucket.paused_until
            self._paused.labels(bucket.name).set(0.0 if until is None else until - snapshot.at)

    def _request_ended(self, event: RequestEnded) -> None:
        status = "lost" if event.status is None else str(event.status)
        self._requests.labels(event.bucket, status).inc()
        self._waits.labels(event.bucket).observe(event.waited)

    def _rate_changed(self, event: RateChanged) -> None:
        if event.rate is not None:
            self._rate.labels(event.bucket).set(event.rate)

    def _job_ended(self, event: JobEnded) -> None:
        self._jobs.labels(event.row.provider).observe(event.seconds)

    def _row_ended(self, event: RowEnded) -> None:
        if event.outcome.caption is not None:
            self._bytes.inc(event.outcome.caption.bytes)
        if event.outcome.job is not None:
            self._units.inc(event.outcome.job.units)
