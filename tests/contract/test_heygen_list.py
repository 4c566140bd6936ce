"""HeyGen's list of translations: links for many rows at once, as long as that is worth it.

Against the sandbox over real HTTP; its request log counts. The list is newest first,
100 a page.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from batchcap.domain.models import Job, JobState
from batchcap.domain.protocols import Provider
from batchcap.domain.shutdown import ShutdownToken
from batchcap.providers.heygen.schema import ResponseParser
from batchcap.providers.heygen.v3 import V3
from batchcap.sandbox import Sandbox, SandboxOptions, heygen_ids
from batchcap.transport.api_client import Api
from batchcap.transport.network import Network
from batchcap.transport.sender import HttpSender
from tests.harness.api import make_bucket, running_buckets
from tests.harness.clock import now
from tests.harness.observers import Recorder
from tests.harness.provider import running_provider
from tests.harness.servers import http_server

pytestmark = pytest.mark.anyio


def account(count: int, **options: object) -> SandboxOptions:
    """Return options for an account with `count` completed translations."""
    return SandboxOptions(heygen_account=count, heygen_running=0.0, **options)  # type: ignore[arg-type]  # fields by name


def strangers(count: int) -> list[str]:
    """Return ids of translations that exist and are not on the list."""
    return [f"elsewhere-{number}" for number in range(count)]


def list_requests(sandbox: Sandbox) -> int:
    return sandbox.request_log.count("heygen.v3.list")


def status_requests(sandbox: Sandbox) -> int:
    return sandbox.request_log.count("heygen.v3.statuses")


async def poll(provider: Provider | V3, ids: Iterable[str]) -> tuple[dict[str, Job], int]:
    """Return the jobs that one poll reported, and the number of requests it returned."""
    jobs: dict[str, Job] = {}
    requests = await provider.poll(list(ids), lambda job: jobs.update({job.id or "": job}))
    return jobs, requests


@asynccontextmanager
async def running_api(url: str) -> AsyncIterator[Api]:
    """Open a transport to a server of the test, without rate limits."""
    read_bucket = make_bucket(None)
    sender = HttpSender(url, {}, Network())
    parts: Any = {"stop": ShutdownToken(), "observer": Recorder(), "now": now}
    async with (
        running_buckets(read_bucket),
        Api(sender, "heygen", read=read_bucket, write=read_bucket, **parts) as api,
    ):
        yield api


async def test_poll_of_many_rows_takes_links_from_the_list() -> None:
    ids = list(heygen_ids(300))
    async with Sandbox(account(300)) as sandbox, running_provider(sandbox, "heygen") as running:
        jobs, requests = await poll(running.provider, ids)
        assert jobs.keys() == set(ids)
        assert all(job.state is JobState.COMPLETED and job.link for job in jobs.values())
        assert (requests, list_requests(sandbox), status_requests(sandbox)) == (3, 3, 0)


async def test_statuses_on_several_pages_are_all_reported() -> None:
    ids = [f"id-stuck-{number}" for number in range(10)]
    async with (
        Sandbox(account(0, statuses_page=3)) as sandbox,
        running_provider(sandbox, "heygen") as running,
    ):
        jobs, requests = await poll(running.provider, ids)
        assert jobs.keys() == set(ids)
        assert (requests, status_requests(sandbox)) == (4, 4)


async def test_statuses_with_endless_pages_are_abandoned_after_a_page_per_translation() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        state = {"video_id": "one", "status": "processing"}
        return web.json_response({"data": [state], "has_more": True, "next_token": "again"})

    async with http_server(handle) as url, running_api(url) as api:
        jobs, requests = await poll(V3(api, ResponseParser(Recorder())), ["one", "two", "three"])
    assert jobs.keys() == {"one"}
    assert requests == 3


async def test_poll_of_fewer_rows_than_a_page_reads_no_list() -> None:
    ids = list(heygen_ids(99))
    async with Sandbox(account(99)) as sandbox, running_provider(sandbox, "heygen") as running:
        jobs, requests = await poll(running.provider, ids)
        assert all(jobs[job_id].state is JobState.NOT_RUNNING for job_id in ids)
        assert (requests, list_requests(sandbox), status_requests(sandbox)) == (1, 0, 1)


async def test_list_is_read_once_in_a_run() -> None:
    async with Sandbox(account(250)) as sandbox, running_provider(sandbox, "heygen") as running:
        await poll(running.provider, heygen_ids(250))
        for number in range(3):
            ids = [f"{job_id}-{number}" for job_id in strangers(150)]
            jobs, requests = await poll(running.provider, ids)
            assert jobs.keys() == set(ids)
            assert requests == 2
        assert list_requests(sandbox) == 3


async def test_links_of_rows_that_are_polled_later_are_kept() -> None:
    ids = list(heygen_ids(400))
    async with Sandbox(account(400)) as sandbox, running_provider(sandbox, "heygen") as running:
        await poll(running.provider, ids[::2])
        before = list_requests(sandbox)
        jobs, requests = await poll(running.provider, ids[1::2])
        assert jobs.keys() == set(ids[1::2])
        assert all(job.link for job in jobs.values())
        assert requests == 0
        assert (before, list_requests(sandbox), status_requests(sandbox)) == (4, 4, 0)


async def test_kept_link_is_used_once_and_then_requested() -> None:
    ids = list(heygen_ids(200))
    async with Sandbox(account(200)) as sandbox, running_provider(sandbox, "heygen") as running:
        await poll(running.provider, ids[::2])
        await poll(running.provider, ids[1:3:2])
        jobs, requests = await poll(running.provider, ids[1:3:2])
        assert jobs.keys() == set(ids[1:3:2])
        assert requests == status_requests(sandbox) == 1


async def test_list_is_read_no_further_than_the_last_wanted_row() -> None:
    newest = list(heygen_ids(1000))[::-1]
    async with Sandbox(account(1000)) as sandbox, running_provider(sandbox, "heygen") as running:
        await poll(running.provider, newest[:150])
        assert (list_requests(sandbox), status_requests(sandbox)) == (2, 0)
        jobs, requests = await poll(running.provider, [newest[160], newest[250]])
        assert jobs.keys() == {newest[160], newest[250]}
        assert (requests, list_requests(sandbox)) == (1, 3)


async def test_list_that_resolves_too_few_rows_is_given_up_after_three_pages() -> None:
    newest = list(heygen_ids(2000))[::-1]
    wanted = [newest[0], newest[100], newest[200], *strangers(120)]
    async with Sandbox(account(2000)) as sandbox, running_provider(sandbox, "heygen") as running:
        jobs, requests = await poll(running.provider, wanted)
        assert jobs.keys() == set(wanted)
        assert (requests, list_requests(sandbox), status_requests(sandbox)) == (5, 3, 2)
        await poll(running.provider, [f"more-{job_id}" for job_id in wanted])
        assert list_requests(sandbox) == 3


async def test_row_that_is_not_on_the_list_does_not_cause_the_rest_to_be_read() -> None:
    newest = list(heygen_ids(3000))[::-1]
    async with Sandbox(account(3000)) as sandbox, running_provider(sandbox, "heygen") as running:
        _, requests = await poll(running.provider, newest[:1000])
        assert requests == list_requests(sandbox) == 10
        jobs, requests = await poll(running.provider, strangers(1))
        assert jobs.keys() == set(strangers(1))
        assert requests <= 4
        _, requests = await poll(running.provider, strangers(1))
        assert requests == 1


async def test_page_whose_rows_are_polled_one_by_one_counts_as_worth_reading() -> None:
    newest = list(heygen_ids(1000))[::-1]
    async with Sandbox(account(1000)) as sandbox, running_provider(sandbox, "heygen") as running:
        await poll(running.provider, newest[:100])
        for number in range(100, 1000, 10):
            await poll(running.provider, newest[number : number + 1])
            await poll(running.provider, newest[number + 1 : number + 10])
        assert (list_requests(sandbox), status_requests(sandbox)) == (10, 0)


async def test_list_that_resolves_two_rows_a_page_is_read_to_its_end() -> None:
    newest = list(heygen_ids(900))[::-1]
    wanted = [*newest[0::100], *newest[1::100], *strangers(120)]
    async with Sandbox(account(900)) as sandbox, running_provider(sandbox, "heygen") as running:
        jobs, _ = await poll(running.provider, wanted)
        assert jobs.keys() == set(wanted)
        assert (list_requests(sandbox), status_requests(sandbox)) == (9, 2)


async def test_running_rows_do_not_count_as_resolved() -> None:
    ids = [f"slow-{number}" for number in range(600)]
    options = account(500, heygen_ids=tuple(ids), heygen_finish_seconds=1e6)
    async with Sandbox(options) as sandbox, running_provider(sandbox, "heygen") as running:
        jobs, _ = await poll(running.provider, ids)
        assert {job.state for job in jobs.values()} == {JobState.RUNNING}
        assert jobs.keys() == set(ids)
        assert (list_requests(sandbox), status_requests(sandbox)) == (3, 3)


async def test_row_that_is_running_on_the_list_is_polled_until_it_ends() -> None:
    ids = [f"slow-{number}" for number in range(150)]
    options = account(0, heygen_ids=tuple(ids), heygen_finish_seconds=100.0)
    async with Sandbox(options) as sandbox, running_provider(sandbox, "heygen") as running:
        jobs, _ = await poll(running.provider, ids)
        assert {job.state for job in jobs.values()} == {JobState.RUNNING}
        sandbox.advance(200)
        jobs, _ = await poll(running.provider, ids)
        assert {job.state for job in jobs.values()} == {JobState.NOT_RUNNING}


async def test_kept_links_are_bounded_and_the_oldest_are_dropped() -> None:
    """At most 30,000 are kept."""
    newest = list(heygen_ids(31_000))[::-1]
    async with Sandbox(account(31_000)) as sandbox, running_provider(sandbox, "heygen") as running:
        await poll(running.provider, newest[::50])
        assert list_requests(sandbox) == 310
        _, requests = await poll(running.provider, newest[-2001::50])
        assert requests == 0
        _, requests = await poll(running.provider, newest[1:5000:50])
        assert requests == 1


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_refused_list_is_replaced_by_the_statuses(status: int) -> None:
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        if request.path.endswith("/statuses"):
            ids = request.query["video_translation_ids"].split(",")
            states = [{"video_id": job_id, "status": "completed"} for job_id in ids]
            return web.json_response({"data": states})
        return web.json_response({"error": {"code": "no", "message": "not you"}}, status=status)

    async with http_server(answer) as url, running_api(url) as api:
        v3 = V3(api, ResponseParser(Recorder()))
        for _ in range(3):
            jobs, _ = await poll(v3, strangers(150))
            assert jobs.keys() == set(strangers(150))
    assert paths.count("/v3/video-translations") == 1
    assert paths.count("/v3/video-translations/statuses") == 6


async def test_list_without_end_is_abandoned_for_the_statuses() -> None:
    pages = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal pages
        if request.path.endswith("/statuses"):
            ids = request.query["video_translation_ids"].split(",")
            return web.json_response(
                {"data": [{"id": job_id, "status": "running"} for job_id in ids]}
            )
        pages += 1
        item = {"id": "elsewhere-0", "status": "completed", "vtt_caption_url": "https://h/a"}
        return web.json_response({"data": [item] * 100, "has_more": True, "next_token": "again"})

    async with http_server(answer) as url, running_api(url) as api:
        await poll(V3(api, ResponseParser(Recorder())), strangers(150))
    assert pages == 3
