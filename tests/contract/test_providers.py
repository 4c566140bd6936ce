"""The contract of `Provider`, for every provider, over real HTTP.

A new provider adds its ids to `IDS` and its server to `serve`.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import msgspec
import pytest

from batchcap.captions.file_host import FileHosts
from batchcap.domain.errors import FatalError, LinkExpired, RowError
from batchcap.domain.models import Job, JobRequest, JobState, Row
from batchcap.domain.protocols import Provider
from batchcap.providers import PROVIDERS
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.transport.network import Network
from tests.harness.clock import now
from tests.harness.provider import running_provider, start_job
from tests.harness.rows import heygen_row, mux_row
from tests.harness.servers import chunks
from tests.third_provider.server import AcmeServer
from tests.third_provider.spec import SPEC as THIRD

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("name", [*PROVIDERS, THIRD.name]),
]


@pytest.fixture(autouse=True)
def _third_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROVIDERS, THIRD.name, THIRD)


def serve(name: str, **options: Any) -> AbstractAsyncContextManager[Any]:
    """Return a server of the provider; a server other than the sandbox ignores unknown options."""
    if name == THIRD.name:
        own = options.keys() & AcmeServer.__dataclass_fields__.keys()
        return AcmeServer(**{option: options[option] for option in own})
    return Sandbox(SandboxOptions(**options))


def third_row(source_id: str) -> Row:
    return msgspec.structs.replace(mux_row(source_id), provider=THIRD.name)


ROWS = {"mux": mux_row, "heygen": heygen_row, THIRD.name: third_row}
REPORTS_DURATION = {"mux"}
"""Providers whose completed jobs have the times of their start and end."""

IDS = {
    "mux": {
        "good": "one",
        "fails": "fails",
        "stuck": "stuck",
        "odd": "oddstate",
        "missing": "missing",
    },
    "heygen": {
        "good": "one",
        "fails": "failed",
        "stuck": "stuck",
        "odd": "oddstate",
        "missing": "missing",
    },
    THIRD.name: {
        "good": "one",
        "fails": "fails",
        "stuck": "stuck",
        "odd": "oddstate",
        "missing": "missing",
    },
}


def make_row(name: str, kind: str) -> Row:
    return ROWS[name](f"id-{IDS[name][kind]}-1")


async def get_job(provider: Provider, row: Row, job: Job) -> Job:
    assert job.id is not None
    return await provider.get_job(row, job.id)


async def test_completed_job_leads_to_a_link_with_a_caption(name: str) -> None:
    async with serve(name) as sandbox, running_provider(sandbox, name) as running:
        row = make_row(name, "good")
        job = await start_job(running.provider, row)
        await anyio.sleep(60)
        job = await get_job(running.provider, row, job)
        assert job.state is JobState.COMPLETED
        link = await running.provider.get_download_url(row, job, ())
        assert link is not None
        async with FileHosts(Network(), loopback=True, observer=running.observe, now=now) as hosts:
            with await hosts.open(link) as opened:
                body = b"".join([piece async for piece in chunks(opened)])
        assert body.startswith(b"WEBVTT")
        assert not running.warnings


async def test_poll_reports_every_job_in_few_requests(name: str) -> None:
    async with (
        serve(name, job_seconds=1e6, job_seconds_max=1e6) as sandbox,
        running_provider(sandbox, name) as running,
    ):
        jobs = [
            await start_job(running.provider, ROWS[name](f"many-stuck-{n}")) for n in range(250)
        ]
        ids = [job.id or "" for job in jobs]
        states: dict[str, JobState] = {}
        requests = await running.provider.poll(
            ids, lambda job: states.update({job.id or "": job.state})
        )
        assert [states[job_id] for job_id in ids] == [JobState.RUNNING] * 250
        assert requests <= 10


async def test_poll_reports_jobs_that_have_ended(name: str) -> None:
    async with serve(name) as sandbox, running_provider(sandbox, name) as running:
        rows = [ROWS[name](f"ended-{n}") for n in range(120)]
        ids = [(await start_job(running.provider, row)).id or "" for row in rows]
        await anyio.sleep(60)
        states: dict[str, JobState] = {}
        await running.provider.poll(ids, lambda job: states.update({job.id or "": job.state}))
        await anyio.sleep(60)
        await running.provider.poll(ids, lambda job: states.update({job.id or "": job.state}))
        assert {states[job_id] for job_id in ids} <= {JobState.NOT_RUNNING, JobState.COMPLETED}


async def test_failed_job_has_a_failure_with_a_reason(name: str) -> None:
    async with serve(name) as sandbox, running_provider(sandbox, name) as running:
        row = make_row(name, "fails")
        job = await start_job(running.provider, row)
        await anyio.sleep(60)
        job = await get_job(running.provider, row, job)
        assert job.state is JobState.ERRORED
        assert job.failure is not None
        assert job.failure.code == "job_failed"
        assert job.failure.message


async def test_completed_job_has_its_duration_if_the_provider_reports_it(name: str) -> None:
    async with (
        serve(name, job_seconds=500.0, job_seconds_max=900.0) as sandbox,
        running_provider(sandbox, name) as running,
    ):
        row = make_row(name, "good")
        job = await start_job(running.provider, row)
        assert job.duration is None
        await anyio.sleep(1000)
        job = await get_job(running.provider, row, job)
        if name in REPORTS_DURATION:
            assert job.duration == pytest.approx(
                sandbox.request_log.creates[0].outcome.ends_after, abs=1.0
            )
        else:
            assert job.duration is None


async def test_job_that_never_ends_is_running(name: str) -> None:
    async with serve(name) as sandbox, running_provider(sandbox, name) as running:
        row = make_row(name, "stuck")
        job = await start_job(running.provider, row)
        await anyio.sleep(3600)
        assert (await get_job(running.provider, row, job)).state is JobState.RUNNING


async def test_unknown_status_is_running_and_warned_about_once(name: str) -> None:
    async with (
        serve(name, odd_state_seconds=100) as sandbox,
        running_provider(sandbox, name) as running,
    ):
        row = make_row(name, "odd")
        job = await start_job(running.provider, row)
        for _ in range(3):
            assert (await get_job(running.provider, row, job)).state is JobState.RUNNING
        assert len(running.warnings) == 1


async def test_unknown_id_is_missing_or_refused(name: str) -> None:
    async with serve(name) as sandbox, running_provider(sandbox, name) as running:
        row = make_row(name, "missing")
        try:
            job = await start_job(running.provider, row)
            state = (await get_job(running.provider, row, job)).state
            assert state is JobState.MISSING
        except RowError as error:
            assert error.code == "asset_not_found"


async def test_wrong_credentials_name_the_provider_and_the_variables(name: str) -> None:
    spec = PROVIDERS[name]
    wrong = dict.fromkeys(spec.credentials, "wrong")
    async with serve(name) as sandbox, running_provider(sandbox, name, wrong) as running:
        with pytest.raises(FatalError) as caught:
            job = await start_job(running.provider, make_row(name, "good"))
            await get_job(running.provider, make_row(name, "good"), job)
        assert caught.value.provider == name
        assert all(variable in caught.value.hint for variable in spec.credentials)
        assert "wrong" not in caught.value.message


@pytest.mark.parametrize(
    "fault", ["throttle", "server_error", "html_error", "empty_error", "cut_body", "slow_body"]
)
async def test_temporary_fault_is_retried(name: str, fault: str) -> None:
    async with (
        serve(name, faults={fault: 0.5}, seed=3) as sandbox,
        running_provider(sandbox, name) as running,
    ):
        row = make_row(name, "stuck")
        await running.provider.poll([f"p-{n}" for n in range(5)], lambda job: None)
        prepared = await running.provider.prepare(row)
        assert isinstance(prepared, JobRequest | Job)


async def test_expired_link_is_recognised_and_replaced_by_a_fresh_one(name: str) -> None:
    async with serve(name, link_seconds=100) as sandbox, running_provider(sandbox, name) as running:
        row = make_row(name, "good")
        job = await start_job(running.provider, row)
        await anyio.sleep(60)
        old = await get_job(running.provider, row, job)
        await anyio.sleep(3600)
        async with FileHosts(Network(), loopback=True, observer=running.observe, now=now) as hosts:
            assert old.link is not None
            with pytest.raises(LinkExpired):
                await hosts.open(old.link)
            again = await get_job(running.provider, row, job)
            fresh = await running.provider.get_download_url(row, again, {old.link})
            assert fresh is not None
            assert fresh != old.link
            with await hosts.open(fresh) as body:
                assert (await body()).startswith(b"WEBVTT")


@pytest.mark.parametrize("odd", ["a/../b", "..", ".", "a b", "ä", "a?b=c", "a#b", "%2e%2e"])
async def test_odd_id_stays_one_path_segment(name: str, odd: str) -> None:
    async with (
        serve(name, strict_ids=True, mux_ids=("asset-0001",)) as sandbox,
        running_provider(sandbox, name) as running,
    ):
        row = ROWS[name]("asset-0001")
        assert (await running.provider.get_job(row, odd)).state is JobState.MISSING
