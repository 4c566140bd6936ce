"""Metrics for Prometheus, as its own parser reads them."""

from __future__ import annotations

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from batchcap.domain.events import JobEnded, RateChanged, RequestEnded, RequestSent, RowEnded
from batchcap.domain.models import Job, JobState, Outcome, RowState
from batchcap.reports.prometheus import PrometheusMetrics
from batchcap.reports.snapshot import BucketState, ProviderState, Snapshot
from tests.harness.rows import CAPTION, row


def _is_number(label: str) -> bool:
    """Whether it is the bound of a histogram, to be put last."""
    return label[:1].isdigit() and "." in label


def samples(metrics: PrometheusMetrics) -> dict[tuple[str, ...], float]:
    """Return each sample by its name and the values of its labels."""
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, *sorted(sample.labels.values(), key=_is_number)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_count_requests_jobs_bytes_and_units() -> None:
    metrics = PrometheusMetrics()
    metrics(RequestSent("mux.read"))
    metrics(RequestEnded("mux.read", "GET", "/jobs", 200, 0.1, 1.5))
    metrics(RequestEnded("mux.read", "GET", "/jobs", 200, 0.1, 0.0))
    metrics(RequestEnded("mux.read", "GET", "/jobs", None, 30.0))
    metrics(RateChanged("mux.read", 5.0))
    metrics(RateChanged("downloads", None))
    metrics(JobEnded(row(), 42.0))
    job = Job(id="j", state=JobState.COMPLETED, units=3)
    outcome = Outcome(state=RowState.DONE, started_at=0, finished_at=1, caption=CAPTION, job=job)
    metrics(RowEnded(row(), outcome))
    found = samples(metrics)
    assert found["batchcap_requests_total", "mux.read", "200"] == 2
    assert found["batchcap_requests_total", "mux.read", "lost"] == 1
    assert found["batchcap_request_wait_seconds_sum", "mux.read"] == 1.5
    assert found["batchcap_request_wait_seconds_bucket", "mux.read", "1.0"] == 2
    assert found["batchcap_rate_limit", "mux.read"] == 5.0
    assert ("batchcap_rate_limit", "downloads") not in found
    assert found["batchcap_job_seconds_bucket", "fake", "30.0"] == 0
    assert found["batchcap_job_seconds_bucket", "fake", "60.0"] == 1
    assert found["batchcap_caption_bytes_total",] == CAPTION.bytes
    assert found["batchcap_units_total",] == 3


def test_metrics_show_where_the_rows_are() -> None:
    counts = dict.fromkeys(("downloading", "failed", "skipped", "invalid"), 0)
    mux = ProviderState(
        name="mux", total=9, waiting=5, at_provider=3, done=1, is_stopped=False, ends_at=None,
        **counts,
    )  # fmt: skip
    bucket = BucketState("mux.read", 5.0, 1.0, 160.0)
    metrics = PrometheusMetrics()
    metrics.update(Snapshot(at=100.0, began=0.0, providers=[mux], buckets=[bucket]))
    found = samples(metrics)
    assert found["batchcap_rows", "mux", "waiting"] == 5
    assert found["batchcap_rows", "mux", "at_provider"] == 3
    assert found["batchcap_rows", "mux", "done"] == 1
    assert found["batchcap_paused_seconds", "mux.read"] == 60.0
    later = BucketState("mux.read", 5.0, 1.0, None)
    metrics.update(Snapshot(at=200.0, began=0.0, providers=[mux], buckets=[later]))
    assert samples(metrics)["batchcap_paused_seconds", "mux.read"] == 0.0


def test_metrics_of_two_runs_do_not_mix() -> None:
    first, second = PrometheusMetrics(), PrometheusMetrics()
    first(RequestEnded("mux.read", "GET", "/", 200, 0.1))
    assert ("batchcap_requests_total", "mux.read", "200") not in samples(second)
