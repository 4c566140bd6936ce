"""One suite for every provider over real HTTP, against the sandbox or a server of its own.

A further provider adds its words to `IDS` and a server to `serve`.
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
    """Return a server of the provider; options that only the sandbox has are for it alone."""
    if name == THIRD.name:
        own = options.keys() & AcmeServer.__dataclass_fields__.keys()
        return AcmeServer(**{option: options[option] for option in own})
    return Sandbox(SandboxOptions(**options))


def third_row(source_id: str) -> Row:
    return msgspec.structs.replace(mux_row(source_id), provider=THIRD.name)


ROWS = {"mux": mux_row, "heygen": heygen_row, THIRD.name: third_row}
TELLS_HOW_LONG = {"mux"}
"""Whose finished jobs say when they began and ended."""

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


def row(name: str, kind: str) -> Row:
    return ROWS[name](f"id-{IDS[name][kind]}-1")


async def looked(provider: Provider, row: Row, job: Job) -> Job:
    assert job.id is not None
    return await provider.get_job(row, job.id)


async def test_a_job_is_followed_to_a_link_that_holds_a_caption(name: str) -> None:
    async with serve(name) as sandbox, running_provider(sandbox, name) as here:
        mine = row(name, "good")
        job = await start_job(here.provider, mine)
        await anyio.sleep(60)
        job = await looked(here.provider, mine, job)
        assert job.state is JobState.COMPLETED
        link = await here.provider.get_download_url(mine, job, ())
        assert link is not None
        async with FileHosts(Network(), loopback=True, observer=here.observe, now=now) as hosts:
            with await hosts.open(link) as opened:
                body = b"".join([piece async for piece in chunks(opened)])
        assert body.startswith(b"WEBVTT")
        assert not here.warnings


async def test_a_poll_tells_of_every_job_in_few_requests(name: str) -> None:
    async with (
        serve(name, job_seconds=1e6, job_seconds_max=1e6) as sandbox,
        running_provider(sandbox, name) as here,
    ):
        jobs = [await start_job(here.provider, ROWS[name](f"many-stuck-{n}")) for n in range(250)]
        ids = [job.id or "" for job in jobs]
        told: dict[str, JobState] = {}
        requests = await here.provider.poll(ids, lambda job: told.update({job.id or "": job.state}))
        assert [told[one] for one in ids] == [JobState.RUNNING] * 250
        assert requests <= 10


async def test_a_poll_tells_that_a_job_is_not_running_any_more(name: str) -> None:
    async with serve(name) as sandbox, running_provider(sandbox, name) as here:
        rows = [ROWS[name](f"ended-{n}") for n in range(120)]
        ids = [(await start_job(here.provider, one)).id or "" for one in rows]
        await anyio.sleep(60)
        told: dict[str, JobState] = {}
        await here.provider.poll(ids, lambda job: told.update({job.id or "": job.state}))
        await anyio.sleep(60)
        await here.provider.poll(ids, lambda job: told.update({job.id or "": job.state}))
        assert {told[one] for one in ids} <= {JobState.NOT_RUNNING, JobState.COMPLETED}


async def test_a_failed_job_is_a_failure_with_a_reason(name: str) -> None:
    async with serve(name) as sandbox, running_provider(sandbox, name) as here:
        mine = row(name, "fails")
        job = await start_job(here.provider, mine)
        await anyio.sleep(60)
        job = await looked(here.provider, mine, job)
        assert job.state is JobState.ERRORED
        assert job.failure is not None
        assert job.failure.code == "job_failed"
        assert job.failure.message


async def test_an_ended_job_tells_how_long_it_took_or_nothing(name: str) -> None:
    async with (
        serve(name, job_seconds=500.0, job_seconds_max=900.0) as sandbox,
        running_provider(sandbox, name) as here,
    ):
        mine = row(name, "good")
        job = await start_job(here.provider, mine)
        assert job.duration is None
        await anyio.sleep(1000)
        job = await looked(here.provider, mine, job)
        if name in TELLS_HOW_LONG:
            assert job.duration == pytest.approx(
                sandbox.request_log.creates[0].outcome.ends_after, abs=1.0
            )
        else:
            assert job.duration is None


async def test_a_job_that_runs_is_running(name: str) -> None:
    async with serve(name) as sandbox, running_provider(sandbox, name) as here:
        mine = row(name, "stuck")
        job = await start_job(here.provider, mine)
        await anyio.sleep(3600)
        assert (await looked(here.provider, mine, job)).state is JobState.RUNNING


async def test_a_state_never_seen_before_is_running_and_told_once(name: str) -> None:
    async with (
        serve(name, odd_state_seconds=100) as sandbox,
        running_provider(sandbox, name) as here,
    ):
        mine = row(name, "odd")
        job = await start_job(here.provider, mine)
        for _ in range(3):
            assert (await looked(here.provider, mine, job)).state is JobState.RUNNING
        assert len(here.warnings) == 1


async def test_an_id_that_does_not_exist_is_told(name: str) -> None:
    async with serve(name) as sandbox, running_provider(sandbox, name) as here:
        mine = row(name, "missing")
        try:
            job = await start_job(here.provider, mine)
            state = (await looked(here.provider, mine, job)).state
            assert state is JobState.MISSING
        except RowError as error:
            assert error.code == "asset_not_found"


async def test_wrong_credentials_name_the_provider_and_the_variables(name: str) -> None:
    spec = PROVIDERS[name]
    wrong = dict.fromkeys(spec.credentials, "wrong")
    async with serve(name) as sandbox, running_provider(sandbox, name, wrong) as here:
        with pytest.raises(FatalError) as caught:
            job = await start_job(here.provider, row(name, "good"))
            await looked(here.provider, row(name, "good"), job)
        assert caught.value.provider == name
        assert all(variable in caught.value.hint for variable in spec.credentials)
        assert "wrong" not in caught.value.message


@pytest.mark.parametrize(
    "fault", ["throttle", "server_error", "html_error", "empty_error", "cut_body", "slow_body"]
)
async def test_what_passes_is_waited_out(name: str, fault: str) -> None:
    async with (
        serve(name, faults={fault: 0.5}, seed=3) as sandbox,
        running_provider(sandbox, name) as here,
    ):
        mine = row(name, "stuck")
        await here.provider.poll([f"p-{n}" for n in range(5)], lambda job: None)
        prepared = await here.provider.prepare(mine)
        assert isinstance(prepared, JobRequest | Job)


async def test_an_expired_link_is_told_apart_and_a_fresh_one_is_had(name: str) -> None:
    async with serve(name, link_seconds=100) as sandbox, running_provider(sandbox, name) as here:
        mine = row(name, "good")
        job = await start_job(here.provider, mine)
        await anyio.sleep(60)
        old = await looked(here.provider, mine, job)
        await anyio.sleep(3600)
        async with FileHosts(Network(), loopback=True, observer=here.observe, now=now) as hosts:
            assert old.link is not None
            with pytest.raises(LinkExpired):
                await hosts.open(old.link)
            again = await looked(here.provider, mine, job)
            fresh = await here.provider.get_download_url(mine, again, {old.link})
            assert fresh is not None
            assert fresh != old.link
            with await hosts.open(fresh) as body:
                assert (await body()).startswith(b"WEBVTT")


@pytest.mark.parametrize("odd", ["a/../b", "..", ".", "a b", "ä", "a?b=c", "a#b", "%2e%2e"])
async def test_an_odd_id_stays_one_path_segment(name: str, odd: str) -> None:
    async with (
        serve(name, strict_ids=True, mux_ids=("asset-0001",)) as sandbox,
        running_provider(sandbox, name) as here,
    ):
        mine = ROWS[name]("asset-0001")
        assert (await here.provider.get_job(mine, odd)).state is JobState.MISSING
