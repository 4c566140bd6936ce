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
from tests.harness.api import bucket, running_buckets
from tests.harness.clock import now
from tests.harness.observers import Recorder
from tests.harness.provider import running_provider
from tests.harness.servers import http_server

pytestmark = pytest.mark.anyio


def account(count: int, **options: object) -> SandboxOptions:
    """A sandbox whose account holds so many translations that are done."""
    return SandboxOptions(heygen_account=count, heygen_running=0.0, **options)  # type: ignore[arg-type]  # fields by name


def strangers(count: int) -> list[str]:
    """Translations that exist and that the list does not name."""
    return [f"elsewhere-{number}" for number in range(count)]


def listed(sandbox: Sandbox) -> int:
    return sandbox.request_log.count("heygen.v3.list")


def statuses(sandbox: Sandbox) -> int:
    return sandbox.request_log.count("heygen.v3.statuses")


async def polled(provider: Provider | V3, ids: Iterable[str]) -> tuple[dict[str, Job], int]:
    """What one poll told, and the requests it says it took."""
    told: dict[str, Job] = {}
    requests = await provider.poll(list(ids), lambda job: told.update({job.id or "": job}))
    return told, requests


@asynccontextmanager
async def talking(url: str) -> AsyncIterator[Api]:
    """A transport to a server of the test's own, without limits."""
    lane = bucket(None)
    sender = HttpSender(url, {}, Network())
    around: Any = {"stop": ShutdownToken(), "observer": Recorder(), "now": now}
    async with (
        running_buckets(lane),
        Api(sender, "heygen", read=lane, write=lane, **around) as api,
    ):
        yield api


async def test_one_page_gives_the_links_of_a_hundred_rows() -> None:
    ids = list(heygen_ids(300))
    async with Sandbox(account(300)) as sandbox, running_provider(sandbox, "heygen") as here:
        told, requests = await polled(here.provider, ids)
        assert told.keys() == set(ids)
        assert all(job.state is JobState.COMPLETED and job.link for job in told.values())
        assert (requests, listed(sandbox), statuses(sandbox)) == (3, 3, 0)


async def test_statuses_on_several_pages_are_all_reported() -> None:
    ids = [f"id-stuck-{number}" for number in range(10)]
    async with (
        Sandbox(account(0, statuses_page=3)) as sandbox,
        running_provider(sandbox, "heygen") as here,
    ):
        jobs, requests = await polled(here.provider, ids)
        assert jobs.keys() == set(ids)
        assert (requests, statuses(sandbox)) == (4, 4)


async def test_statuses_whose_pages_never_end_are_left_after_a_page_per_translation() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        state = {"video_id": "one", "status": "processing"}
        return web.json_response({"data": [state], "has_more": True, "next_token": "again"})

    async with http_server(handle) as url, talking(url) as api:
        jobs, requests = await polled(V3(api, ResponseParser(Recorder())), ["one", "two", "three"])
    assert jobs.keys() == {"one"}
    assert requests == 3


async def test_for_a_few_rows_nobody_reads_the_list() -> None:
    ids = list(heygen_ids(99))
    async with Sandbox(account(99)) as sandbox, running_provider(sandbox, "heygen") as here:
        told, requests = await polled(here.provider, ids)
        assert all(told[one].state is JobState.NOT_RUNNING for one in ids)
        assert (requests, listed(sandbox), statuses(sandbox)) == (1, 0, 1)


async def test_the_list_is_walked_once_in_a_run() -> None:
    async with Sandbox(account(250)) as sandbox, running_provider(sandbox, "heygen") as here:
        await polled(here.provider, heygen_ids(250))
        for number in range(3):
            ids = [f"{one}-{number}" for one in strangers(150)]
            told, requests = await polled(here.provider, ids)
            assert told.keys() == set(ids)
            assert requests == 2
        assert listed(sandbox) == 3


async def test_what_the_list_names_before_its_row_asks_is_kept_for_it() -> None:
    ids = list(heygen_ids(400))
    async with Sandbox(account(400)) as sandbox, running_provider(sandbox, "heygen") as here:
        await polled(here.provider, ids[::2])
        before = listed(sandbox)
        told, requests = await polled(here.provider, ids[1::2])
        assert told.keys() == set(ids[1::2])
        assert all(job.link for job in told.values())
        assert requests == 0
        assert (before, listed(sandbox), statuses(sandbox)) == (4, 4, 0)


async def test_what_was_kept_is_given_once_and_then_asked_for() -> None:
    ids = list(heygen_ids(200))
    async with Sandbox(account(200)) as sandbox, running_provider(sandbox, "heygen") as here:
        await polled(here.provider, ids[::2])
        await polled(here.provider, ids[1:3:2])
        told, requests = await polled(here.provider, ids[1:3:2])
        assert told.keys() == set(ids[1:3:2])
        assert requests == statuses(sandbox) == 1


async def test_the_walk_ends_with_the_last_wanted_row() -> None:
    newest = list(heygen_ids(1000))[::-1]
    async with Sandbox(account(1000)) as sandbox, running_provider(sandbox, "heygen") as here:
        await polled(here.provider, newest[:150])
        assert (listed(sandbox), statuses(sandbox)) == (2, 0)
        told, requests = await polled(here.provider, [newest[160], newest[250]])
        assert told.keys() == {newest[160], newest[250]}
        assert (requests, listed(sandbox)) == (1, 3)


async def test_a_list_that_settles_too_little_is_given_up_after_three_pages() -> None:
    newest = list(heygen_ids(2000))[::-1]
    wanted = [newest[0], newest[100], newest[200], *strangers(120)]
    async with Sandbox(account(2000)) as sandbox, running_provider(sandbox, "heygen") as here:
        told, requests = await polled(here.provider, wanted)
        assert told.keys() == set(wanted)
        assert (requests, listed(sandbox), statuses(sandbox)) == (5, 3, 2)
        await polled(here.provider, [f"more-{one}" for one in wanted])
        assert listed(sandbox) == 3


async def test_one_row_that_the_list_does_not_name_is_not_looked_for_to_its_end() -> None:
    newest = list(heygen_ids(3000))[::-1]
    async with Sandbox(account(3000)) as sandbox, running_provider(sandbox, "heygen") as here:
        _, requests = await polled(here.provider, newest[:1000])
        assert requests == listed(sandbox) == 10
        told, requests = await polled(here.provider, strangers(1))
        assert told.keys() == set(strangers(1))
        assert requests <= 4
        _, requests = await polled(here.provider, strangers(1))
        assert requests == 1


async def test_a_page_whose_rows_come_to_it_one_by_one_was_worth_it() -> None:
    newest = list(heygen_ids(1000))[::-1]
    async with Sandbox(account(1000)) as sandbox, running_provider(sandbox, "heygen") as here:
        await polled(here.provider, newest[:100])
        for number in range(100, 1000, 10):
            await polled(here.provider, newest[number : number + 1])
            await polled(here.provider, newest[number + 1 : number + 10])
        assert (listed(sandbox), statuses(sandbox)) == (10, 0)


async def test_a_list_that_settles_two_rows_a_page_is_read_to_its_end() -> None:
    newest = list(heygen_ids(900))[::-1]
    wanted = [*newest[0::100], *newest[1::100], *strangers(120)]
    async with Sandbox(account(900)) as sandbox, running_provider(sandbox, "heygen") as here:
        told, _ = await polled(here.provider, wanted)
        assert told.keys() == set(wanted)
        assert (listed(sandbox), statuses(sandbox)) == (9, 2)


async def test_rows_that_run_are_no_reason_to_read_on() -> None:
    running = [f"slow-{number}" for number in range(600)]
    options = account(500, heygen_ids=tuple(running), heygen_finish_seconds=1e6)
    async with Sandbox(options) as sandbox, running_provider(sandbox, "heygen") as here:
        told, _ = await polled(here.provider, running)
        assert {job.state for job in told.values()} == {JobState.RUNNING}
        assert told.keys() == set(running)
        assert (listed(sandbox), statuses(sandbox)) == (3, 3)


async def test_a_row_that_the_list_calls_running_is_asked_about_until_it_ends() -> None:
    ids = [f"slow-{number}" for number in range(150)]
    options = account(0, heygen_ids=tuple(ids), heygen_finish_seconds=100.0)
    async with Sandbox(options) as sandbox, running_provider(sandbox, "heygen") as here:
        told, _ = await polled(here.provider, ids)
        assert {job.state for job in told.values()} == {JobState.RUNNING}
        sandbox.advance(200)
        told, _ = await polled(here.provider, ids)
        assert {job.state for job in told.values()} == {JobState.NOT_RUNNING}


async def test_links_that_wait_for_their_rows_are_kept_within_bounds() -> None:
    """30,000 of them; the first to come are the first to go."""
    newest = list(heygen_ids(31_000))[::-1]
    async with Sandbox(account(31_000)) as sandbox, running_provider(sandbox, "heygen") as here:
        await polled(here.provider, newest[::50])
        assert listed(sandbox) == 310
        _, requests = await polled(here.provider, newest[-2001::50])
        assert requests == 0
        _, requests = await polled(here.provider, newest[1:5000:50])
        assert requests == 1


@pytest.mark.parametrize("status", [400, 403, 422])
async def test_where_the_list_is_refused_the_statuses_do(status: int) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path.endswith("/statuses"):
            ids = request.query["video_translation_ids"].split(",")
            found = [{"video_id": one, "status": "completed"} for one in ids]
            return web.json_response({"data": found})
        return web.json_response({"error": {"code": "no", "message": "not you"}}, status=status)

    async with http_server(answer) as url, talking(url) as api:
        v3 = V3(api, ResponseParser(Recorder()))
        for _ in range(3):
            told, _ = await polled(v3, strangers(150))
            assert told.keys() == set(strangers(150))
    assert asked.count("/v3/video-translations") == 1
    assert asked.count("/v3/video-translations/statuses") == 6


async def test_a_list_that_never_ends_is_given_up() -> None:
    pages = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal pages
        if request.path.endswith("/statuses"):
            ids = request.query["video_translation_ids"].split(",")
            return web.json_response({"data": [{"id": one, "status": "running"} for one in ids]})
        pages += 1
        item = {"id": "elsewhere-0", "status": "completed", "vtt_caption_url": "https://h/a"}
        return web.json_response({"data": [item] * 100, "has_more": True, "next_token": "again"})

    async with http_server(answer) as url, talking(url) as api:
        await polled(V3(api, ResponseParser(Recorder())), strangers(150))
    assert pages == 3
