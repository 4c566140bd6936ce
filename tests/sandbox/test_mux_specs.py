"""The sandbox's Mux, and every request of its adapter, conform to tests/specs."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from schemathesis import Case

from batchcap.domain.models import JobState, RowHistory
from batchcap.domain.protocols import JobControl, JobHistory
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.sandbox.http_types import Request
from tests.harness.accounts import manifest_of
from tests.harness.openapi import Specification, requests_to
from tests.harness.provider import running_provider, start_job
from tests.harness.rows import mux_row
from tests.harness.runs import run_rows
from tests.sandbox.conftest import SLOW_JOBS, SandboxThread

MUX = Specification.load("mux-robots-v0.openapi.json")
mux_schema = MUX.schemathesis()


def authorization(environment: Mapping[str, str]) -> str:
    pair = f"{environment['MUX_TOKEN_ID']}:{environment['MUX_TOKEN_SECRET']}"
    return f"Basic {b64encode(pair.encode()).decode()}"


@mux_schema.parametrize()
@settings(suppress_health_check=list(HealthCheck))
def test_mux_conforms_to_its_specification(case: Case[Any], threaded_sandbox: Sandbox) -> None:
    environment = threaded_sandbox.environment()
    case.headers["Authorization"] = authorization(environment)
    case.call_and_validate(base_url=environment["MUX_BASE_URL"])


EXAMPLES = [50, pytest.param(300, marks=[pytest.mark.nightly, pytest.mark.timeout(0)])]


@pytest.mark.parametrize("examples", EXAMPLES)
def test_mux_conforms_over_the_links_of_its_specification(
    sandbox_thread: SandboxThread, examples: int
) -> None:
    def start() -> tuple[str, dict[str, str]]:
        environment = sandbox_thread.start(SLOW_JOBS).environment()
        return environment["MUX_BASE_URL"], {"Authorization": authorization(environment)}

    statuses = MUX.follow_links(start, lambda: sandbox_thread.advance(1.0), examples, steps=12)
    create, cancel = "createTranslateCaptionsJob", "cancelJob"
    expected = [(create, 202), (create, 409), (create, 422), (cancel, 200), (cancel, 409)]
    reads = ("getTranslateCaptionsJob", "listJobs", "getAsset", "listAssets")
    for operation in (*expected, ("deleteTrack", 204), *((read, 200) for read in reads)):
        assert statuses[operation], dict(statuses)


@pytest.mark.anyio
async def test_mux_requests_of_a_run_conform_to_the_specification(tmp_path: Path) -> None:
    received: list[Request] = []
    special = ["id-fails", "id-missing", "id-has-es", "id-nolink", "år~ %2F,+ø", "id-noplayback"]
    rows = [mux_row(source) for source in [*special, *(f"film-{n}" for n in range(230))]]
    rows.append(
        mux_row(
            "film-parameters",
            passthrough="mine",
            track_name="Español",
            never_translate=["Mux"],
            replace_existing_tracks="replace_all",
            upload_to_mux=True,
        )
    )
    options = SandboxOptions(faults={"lost_create": 0.1}, job_seconds=30, job_seconds_max=60)
    async with Sandbox(options) as sandbox:
        sandbox.on_request = received.append
        await run_rows(sandbox, tmp_path, rows, settle=5.0)
    operations = Counter(map(MUX.check_request, requests_to("mux", received)))
    assert operations.keys() == {
        "createTranslateCaptionsJob",
        "getTranslateCaptionsJob",
        "listJobs",
        "getAsset",
    }


@pytest.mark.anyio
async def test_mux_requests_of_a_manifest_conform_to_the_specification(tmp_path: Path) -> None:
    received: list[Request] = []
    async with Sandbox(SandboxOptions(mux_account=250)) as sandbox:
        sandbox.on_request = received.append
        await manifest_of(sandbox, tmp_path / "v.csv", "es")
    operations = Counter(map(MUX.check_request, requests_to("mux", received)))
    assert operations == {"listAssets": 3}


@pytest.mark.anyio
async def test_mux_requests_that_take_jobs_back_conform_to_the_specification() -> None:
    received: list[Request] = []
    options = SandboxOptions(job_seconds=5, job_seconds_max=9)
    async with Sandbox(options) as sandbox, running_provider(sandbox, "mux") as mux:
        assert isinstance(mux.provider, JobControl)
        for source_id in ("år~ %2F,+ø-stuck", "film"):
            row = mux_row(source_id)
            job = await start_job(mux.provider, row)
            await asyncio.sleep(60)
            sandbox.on_request = received.append
            assert (await mux.provider.cancel_job(row, job.id or "")).state is not JobState.RUNNING
            await mux.provider.remove_track(row, job.id or "")
    operations = Counter(map(MUX.check_request, requests_to("mux", received)))
    assert operations.keys() >= {"cancelJob", "deleteTrack", "getTranslateCaptionsJob"}


@pytest.mark.anyio
async def test_mux_requests_of_audit_and_rebuild_conform_to_the_specification() -> None:
    received: list[Request] = []
    async with Sandbox(SandboxOptions()) as sandbox, running_provider(sandbox, "mux") as mux:
        assert isinstance(mux.provider, JobHistory)
        row = mux_row("år~ %2F,+ø")
        job = await start_job(mux.provider, row)
        sandbox.on_request = received.append
        assert [job.id for job in await mux.provider.list_jobs(row.source_id)] == [job.id]
        existing = await mux.provider.find_existing_job(row, RowHistory(), 0.0)
        assert existing is not None
        assert existing.id == job.id
    operations = Counter(map(MUX.check_request, requests_to("mux", received)))
    assert operations.keys() >= {"listJobs", "getTranslateCaptionsJob"}
