"""Faults: drawn by seed, limited in a row, and each as described."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from batchcap.sandbox import FAULTS, SandboxOptions, parse_faults
from batchcap.sandbox.faults import FaultInjector
from tests.sandbox.client import Response, SandboxClient, sandbox_client

pytestmark = pytest.mark.anyio


def test_parse_faults_with_invalid_text_explains_it() -> None:
    assert parse_faults(["throttle=0.05", "lost_create=1"]) == {
        "throttle": 0.05,
        "lost_create": 1.0,
    }
    with pytest.raises(ValueError, match=r"unknown fault 'nope'; known faults: throttle, server"):
        parse_faults(["nope=0.1"])
    for text in ("throttle=x", "throttle=2", "throttle=-1", "throttle="):
        with pytest.raises(ValueError, match="share"):
            parse_faults([text])
    with pytest.raises(ValueError, match="unknown fault"):
        SandboxOptions(faults={"nope": 1.0})


def draw(seed: int, order: list[str]) -> dict[str, list[str | None]]:
    faults = FaultInjector(seed, {"throttle": 0.3, "reset": 0.3}, max_streak=2)
    faults_by_key: dict[str, list[str | None]] = {}
    for key in order:
        faults_by_key.setdefault(key, []).append(faults.draw_for_request("read", "mux.job", key))
    return faults_by_key


def test_faults_depend_on_the_seed_and_not_on_the_order_of_requests() -> None:
    keys = [str(number) for number in range(20)] * 4
    assert draw(1, keys) == draw(1, sorted(keys)) != draw(2, keys)


def test_faults_hit_a_key_at_most_max_streak_times_in_a_row() -> None:
    faults = FaultInjector(0, {"reset": 1.0}, max_streak=2)
    drawn = [faults.draw_for_request("read", "mux.job", "one") for _ in range(6)]
    assert drawn == ["reset", "reset", None, "reset", "reset", None]
    assert [faults.hits("job_error", "one", attempt) for attempt in range(3)] == [False] * 3
    faults.configure({"job_error": 1.0}, max_streak=2)
    assert [faults.hits("job_error", "one", attempt) for attempt in range(4)] == [
        *(True, True, False, False)
    ]


async def get_video(client: SandboxClient) -> Response:
    return await client.heygen("/v3/video-translations/one")


RESPONSES: dict[str, tuple[set[int], str]] = {
    "throttle": ({429}, "application/json"),
    "server_error": ({500, 502, 503}, "application/json"),
    "html_error": ({502}, "text/html; charset=utf-8"),
    "empty_error": ({503}, "text/plain"),
}


@pytest.mark.parametrize("fault", RESPONSES)
async def test_fault_responds_as_described_and_passes(fault: str) -> None:
    async with sandbox_client(faults={fault: 1.0}) as client:
        responses = [await get_video(client) for _ in range(3)]
        assert client.sandbox.request_log.faults == {fault: 2}
        assert client.sandbox.request_log.count("heygen.v3.video", fault=fault) == 2
    statuses, content_type = RESPONSES[fault]
    assert {response.status for response in responses[:2]} <= statuses
    assert responses[0].headers["Content-Type"] == content_type
    assert responses[2].status == 200


async def test_reset_sends_no_response_and_creates_nothing() -> None:
    async with sandbox_client(faults={"reset": 1.0}, fault_streak=1) as client:
        with pytest.raises(aiohttp.ClientError):
            await client.create("one")
        assert client.sandbox.request_log.creates == []
        assert client.sandbox.request_log.count("mux.create", status=0) == 1
        assert (await client.create("one")).status == 202


async def test_lost_create_creates_a_job_without_a_response() -> None:
    async with sandbox_client(faults={"lost_create": 1.0}, fault_streak=1) as client:
        with pytest.raises(aiohttp.ClientError):
            await client.create("one", passthrough="text")
        (job,) = client.sandbox.request_log.creates_for("one", "es")
        assert (await client.get_job(job.id)).data["passthrough"] == "text"
        assert (await client.create("one")).status == 409


async def test_late_create_creates_the_job_later() -> None:
    async with sandbox_client(faults={"late_create": 1.0}, late_create_seconds=10.0) as client:
        with pytest.raises(aiohttp.ClientError):
            await client.create("one")
        assert (await client.mux("/robots/v0/jobs?asset_id=one")).data == []
        assert client.sandbox.request_log.creates == []
        await asyncio.sleep(11)
        assert len(client.sandbox.request_log.creates) == 1
        (summary,) = (await client.mux("/robots/v0/jobs?asset_id=one")).data
        created = (await client.get_job(summary["id"])).data["created_at"]
        assert created == int(client.sandbox.request_log.creates[0].created)


async def test_cut_body_is_shorter_than_its_content_length() -> None:
    async with sandbox_client(faults={"cut_body": 1.0}, fault_streak=1) as client:
        with pytest.raises(aiohttp.ClientPayloadError):
            await get_video(client)
        assert (await get_video(client)).status == 200


async def test_slow_body_takes_slow_body_seconds() -> None:
    async with sandbox_client(faults={"slow_body": 1.0}, slow_body_seconds=40.0) as client:
        start = asyncio.get_running_loop().time()
        response = await get_video(client)
        assert asyncio.get_running_loop().time() - start >= 40
    assert response.data["id"] == "one"


@pytest.mark.parametrize("fault", ["expired_link", "not_vtt"])
async def test_file_host_fault_refuses_a_fresh_link_once(fault: str) -> None:
    async with sandbox_client(faults={fault: 1.0}, fault_streak=1) as client:
        link = (await client.run_job("one"))["outputs"]["temporary_vtt_url"]
        first, second = await client.fetch(link), await client.fetch(link)
    assert first.status == (400 if fault == "expired_link" else 200)
    assert not first.body.startswith(b"WEBVTT")
    assert second.body.startswith(b"WEBVTT")


STATUS_BY_FAULT: dict[str, str] = {
    "job_error": "errored",
    "job_cancelled": "cancelled",
    "job_stuck": "processing",
    "missing_link": "completed",
}


@pytest.mark.parametrize("fault", STATUS_BY_FAULT)
async def test_job_fault_changes_how_the_job_ends(fault: str) -> None:
    async with sandbox_client(faults={fault: 1.0}) as client:
        job: dict[str, Any] = await client.run_job("one")
    assert job["status"] == STATUS_BY_FAULT[fault]
    assert "temporary_vtt_url" not in job.get("outputs", {})
    assert fault != "job_error" or job["errors"][0]["retryable"] is True


async def test_not_found_after_create_hides_a_new_job_for_a_while() -> None:
    async with sandbox_client(faults={"not_found_after_create": 1.0}) as client:
        created = (await client.create("one")).data["id"]
        assert (await client.get_job(created)).status == 404
        await asyncio.sleep(3)
        assert (await client.get_job(created)).status == 200


async def test_late_link_fault_delays_the_caption_link() -> None:
    async with sandbox_client(faults={"late_link": 1.0}, heygen_running=0.0) as client:
        assert (await get_video(client)).data["vtt_caption_url"] is None
        await asyncio.sleep(31)
        assert (await get_video(client)).data["vtt_caption_url"]


def test_every_fault_has_a_description() -> None:
    assert all(FAULTS.values())
