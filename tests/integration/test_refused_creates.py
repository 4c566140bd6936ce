"""A provider that refuses creates: paid captions are downloaded, other rows stay pending."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.storage.ledger import open_ledger
from tests.harness.rows import mux_row
from tests.harness.runs import run_rows

pytestmark = pytest.mark.anyio

ROWS = [mux_row(f"film-{number}") for number in range(12)]
DASHBOARD = "https://dashboard.mux.com/organizations/sandbox/environments/sandbox/settings/"

REFUSALS = [
    ("units", "robots_units_limit_exceeded", "billing"),
    ("workflow", "robots_workflow_not_available", "billing"),
    ("terms", "forbidden", "robots"),
    ("scope", "unauthorized", ""),
]


def codes(results: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(result["state"], result["error"] and result["error"]["code"]) for result in results]


@pytest.mark.parametrize(("refusal", "kind", "page"), REFUSALS)
async def test_refused_creates_leave_paid_jobs_running_and_rows_pending(
    tmp_path: Path, refusal: Any, kind: str, page: str
) -> None:
    options = SandboxOptions(create_limit=5, create_refusal=refusal)
    async with Sandbox(options) as sandbox:
        result = await run_rows(sandbox, tmp_path, ROWS, windows={"mux": 6})
        assert sandbox.request_log.count("mux.create") <= 5 + 6
    (fatal,) = result.fatal
    assert kind in fatal.message
    assert "batchcap resume" in fatal.hint
    expected = [("done", None)] * 5 + [("pending", "units_exhausted")] * 7
    assert sorted(codes(result.results)) == sorted(expected)
    if page:
        assert DASHBOARD + page in fatal.message


async def test_refused_creates_with_jobs_of_an_earlier_run_fetch_them(tmp_path: Path) -> None:
    options = SandboxOptions(job_seconds=900, job_seconds_max=1000)
    async with Sandbox(options) as sandbox:
        result = await run_rows(sandbox, tmp_path, ROWS[:5], job_timeout=10.0)
        assert codes(result.results) == [("failed", "job_timeout")] * 5
        with closing(open_ledger(tmp_path)) as ledger:
            ledger.requeue_failed(None)
        sandbox.change(create_limit=0)
        result = await run_rows(sandbox, tmp_path, ROWS)
        assert len(sandbox.request_log.creates) == 5
    assert codes(result.results) == [("done", None)] * 5 + [("pending", "units_exhausted")] * 7


async def test_refused_creates_are_tried_again_by_the_next_run(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions(create_limit=5)) as sandbox:
        await run_rows(sandbox, tmp_path, ROWS)
        again = await run_rows(sandbox, tmp_path)
        assert codes(again.results).count(("pending", "units_exhausted")) == 7
        sandbox.change(create_limit=None)
        result = await run_rows(sandbox, tmp_path)
        assert codes(result.results) == [("done", None)] * 12
        assert len(sandbox.request_log.creates) == 12
    assert result.fatal == []


async def test_refused_creates_do_not_wait_for_the_quota_of_creates(tmp_path: Path) -> None:
    rows = [mux_row(f"film-{number}", track_id="t") for number in range(400)]
    limits = SandboxOptions.documented(create_limit=3)
    rates = {"mux.write": 1.0, "mux.read": 5.0, "heygen": 5.0}
    async with Sandbox(limits) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows, rates=rates)
        assert sandbox.request_log.count("mux.create") <= 5
        assert sandbox.request_log.requests[-1].time - sandbox.request_log.requests[0].time < 120
    assert codes(result.results).count(("pending", "units_exhausted")) == 397


async def test_refused_creates_error_is_forgotten_when_the_next_run_records(
    tmp_path: Path,
) -> None:
    async with Sandbox(SandboxOptions(create_limit=0)) as sandbox:
        await run_rows(sandbox, tmp_path, ROWS[:1])
    with closing(open_ledger(tmp_path)) as ledger:
        assert codes(list(ledger.results())) == [("pending", "units_exhausted")]
        async with ledger.recording(threads=False):
            assert codes(list(ledger.results())) == [("pending", None)]
