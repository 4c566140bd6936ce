"""The sandbox's Mux, and every request of its adapter, conform to tests/specs."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from schemathesis import Case

from batchcap.domain.models import JobState
from batchcap.domain.protocols import JobControl
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.sandbox.http_types import Request
from tests.harness.accounts import manifest_of
from tests.harness.openapi import Specification, requests_to
from tests.harness.provider import running_provider, start_job
from tests.harness.rows import mux_row
from tests.harness.runs import run_rows

MUX = Specification.load("mux-robots-v0.openapi.json")
mux_schema = MUX.schemathesis()


@mux_schema.parametrize()
@settings(suppress_health_check=list(HealthCheck))
def test_mux_conforms_to_its_specification(case: Case[Any], threaded_sandbox: Sandbox) -> None:
    environment = threaded_sandbox.environment()
    pair = f"{environment['MUX_TOKEN_ID']}:{environment['MUX_TOKEN_SECRET']}"
    case.headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    case.call_and_validate(base_url=environment["MUX_BASE_URL"])


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
