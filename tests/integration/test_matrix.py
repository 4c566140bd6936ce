"""Every fault of the sandbox alone, and all of them together: each row ends in the
state that the server's truth implies, and what is on disk is what the server has. Faults
of events strike runs that listen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from batchcap.domain.models import Row
from batchcap.reports.results import RESULTS, write_results
from batchcap.sandbox import DELIVERY_FAULTS, FAULTS, Sandbox, SandboxOptions
from batchcap.sandbox.caption_text import make_webvtt
from batchcap.sandbox.heygen.videos import language_of
from batchcap.sandbox.mux.jobs import Job
from batchcap.storage.ledger import open_ledger
from tests.harness.rows import heygen_row, mux_row
from tests.harness.runs import ANY_PORT, RunResult, register_webhooks, run_rows

pytestmark = pytest.mark.anyio

LANGUAGES = ("es", "de", "pt-BR")
ROWS = [
    *(
        mux_row(f"film-{n}", LANGUAGES[n % 3], **({"from_language": "en"} if n % 2 else {}))
        for n in range(45)
    ),
    *(heygen_row(f"tr-{n}") for n in range(45)),
]
ALONE = 0.2
TOGETHER = 0.05
JOB_TIMEOUT = 1200.0
"""Seconds; far longer than any job that ends, and shorter than the default to save time."""

MAX_BAD_DOWNLOADS = 2
"""How often a row downloads a file that is not WebVTT before it fails."""


def with_tracks(rows: list[Row]) -> Iterator[Row]:
    """Name the track in every second Mux row, so that creates with and without it are tested."""
    for number, row in enumerate(rows):
        named = row.provider == "mux" and "from_language" not in row.params
        params = {"track_id": f"{row.source_id}-en"} if named else row.params
        yield Row(
            number=number + 1,
            key=row.key,
            provider=row.provider,
            source_id=row.source_id,
            language=row.language,
            target=row.target,
            path=row.path,
            params=params,
        )


def expected_state(sandbox: Sandbox, row: Row) -> str:
    """Return how a row must end according to the server's state."""
    if row.provider == "heygen":
        return state_by_downloads(sandbox, f"{row.source_id}.vtt")
    jobs = sandbox.request_log.creates_for(row.source_id, row.target)
    assert jobs, f"{row.key}: nothing was created"
    last = jobs[-1]
    if last.outcome.ends_after is None:
        return "job_timeout"
    match last.outcome.status:
        case "errored":
            return "job_failed"
        case "cancelled":
            return "job_cancelled"
    return state_by_downloads(sandbox, last.id, f"{last.uploaded_track_id}.vtt")


def state_by_downloads(sandbox: Sandbox, *names: str) -> str:
    """Return how a row ends, given how often its file host served HTML instead of the caption."""
    bad_downloads = sum(
        entry.fault == "not_vtt" and not set(names).isdisjoint(entry.key.split("/"))
        for entry in sandbox.request_log.requests
    )
    return "bad_caption" if bad_downloads >= MAX_BAD_DOWNLOADS else "done"


def expected_caption(row: Row) -> bytes:
    language = row.target or language_of(row.source_id)
    return make_webvtt(row.source_id, language)


def assert_made_once(jobs: list[Job]) -> None:
    """Check that a job was created again only after the one before ended without a caption."""
    for earlier, later in pairwise(jobs):
        assert earlier.status(later.created) in {"errored", "cancelled"}


def assert_sound(sandbox: Sandbox, out: Path, rows: list[Row], result: RunResult) -> None:
    assert result.fatal == []
    assert result.states() == {row.key: expected_state(sandbox, row) for row in rows}
    for row in rows:
        assert_made_once(sandbox.request_log.creates_for(row.source_id, row.target))
        row_result, file = result.by_key[row.key], out / row.path
        assert file.exists() == (row_result["state"] == "done"), row.key
        if row_result["state"] == "done":
            data = file.read_bytes()
            assert data == expected_caption(row)
            assert row_result["sha256"] == hashlib.sha256(data).hexdigest()
            assert row_result["bytes"] == len(data)
    assert_known_to_the_ledger(sandbox, result)
    assert sandbox.request_log.leaks == []
    assert not [path for path in out.rglob("*") if path.name.endswith(".part")]
    assert_results_tell_of_every_row(out, rows)


def assert_known_to_the_ledger(sandbox: Sandbox, result: RunResult) -> None:
    last = {
        (job.request.asset_id, job.request.language): job.id for job in sandbox.request_log.creates
    }
    assert set(last.values()) <= {row_result["job_id"] for row_result in result.results}


def assert_results_tell_of_every_row(out: Path, rows: list[Row]) -> None:
    with closing(open_ledger(out)) as ledger:
        write_results(ledger, out)
    lines = [orjson.loads(line) for line in (out / RESULTS).read_bytes().splitlines()]
    assert [line["key"] for line in lines] == [row.key for row in rows]


def hits(sandbox: Sandbox, fault: str) -> int:
    """Return how often a fault occurred: at a request, or at a job or video."""
    fates = {
        "job_error": lambda job: job.outcome.status == "errored",
        "job_cancelled": lambda job: job.outcome.status == "cancelled",
        "job_stuck": lambda job: job.outcome.ends_after is None,
        "missing_link": lambda job: not job.outcome.has_link,
        "not_found_after_create": lambda job: job.outcome.hidden_seconds > 0,
    }
    if fault in fates:
        return sum(map(fates[fault], sandbox.request_log.creates))
    if fault == "late_link":
        return sum(
            sandbox.request_log.count("heygen.v3.video", key=row.source_id) > 1 for row in ROWS
        )
    return sandbox.request_log.faults[fault]


def listening(sandbox: Sandbox) -> dict[str, Any]:
    """Return options of a run whose receiver gets the sandbox's events."""
    return {"on_listening": register_webhooks(sandbox), "listening": ANY_PORT}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("fault", FAULTS)
async def test_run_with_one_fault_ends_every_row_as_the_server_reports(
    tmp_path: Path, fault: str, seed: int
) -> None:
    rows = list(with_tracks(ROWS))
    options = SandboxOptions(seed=seed, faults={fault: ALONE}, job_seconds_max=60.0, gzip=seed == 2)
    async with Sandbox(options) as sandbox:
        heard = listening(sandbox) if fault in DELIVERY_FAULTS else {}
        result = await run_rows(sandbox, tmp_path, rows, job_timeout=JOB_TIMEOUT, **heard)
        assert hits(sandbox, fault) > 0
        assert_sound(sandbox, tmp_path, rows, result)
        assert fault not in DELIVERY_FAULTS or set(result.states().values()) == {"done"}


@pytest.mark.parametrize("version", ["v3", "v2"])
@pytest.mark.parametrize("duplicates", ["refuse_active", "allow"])
@pytest.mark.parametrize(("seed", "listens"), [(11, False), (12, False), (13, True)])
async def test_run_with_all_faults_ends_every_row_as_the_server_reports(
    tmp_path: Path, seed: int, listens: bool, duplicates: str, version: str
) -> None:
    rows = list(with_tracks(ROWS))
    options = SandboxOptions(
        seed=seed,
        faults=dict.fromkeys(FAULTS, TOGETHER),
        duplicates=duplicates,  # type: ignore[arg-type]  # literals by parametrize
        job_seconds_max=60.0,
        gzip=seed % 2 == 0,
    )
    async with Sandbox(options) as sandbox:
        heard = listening(sandbox) if listens else {}
        changes: dict[str, Any] = {"options": {"heygen_api": version}, "job_timeout": JOB_TIMEOUT}
        result = await run_rows(sandbox, tmp_path, rows, **changes, **heard)
        assert len(sandbox.request_log.faults) > (10 if listens else 6)
        assert_sound(sandbox, tmp_path, rows, result)


@pytest.mark.parametrize("seed", [21, 22])
async def test_run_with_retry_jobs_creates_again_only_after_a_job_failed(
    tmp_path: Path, seed: int
) -> None:
    rows = list(with_tracks(ROWS))
    faults = {**dict.fromkeys(FAULTS, TOGETHER), "job_error": 0.4}
    async with Sandbox(SandboxOptions(seed=seed, faults=faults, job_seconds_max=60.0)) as sandbox:
        result = await run_rows(sandbox, tmp_path, rows, retry_jobs=3, job_timeout=JOB_TIMEOUT)
        assert len(sandbox.request_log.creates) > 45
        assert_sound(sandbox, tmp_path, rows, result)
