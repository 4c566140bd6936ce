"""Faults: by seed, never endless, and each as it is described."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from batchcap.sandbox import FAULTS, SandboxOptions, parse_faults
from batchcap.sandbox.faults import FaultInjector
from tests.sandbox.client import Client, Reply, asking

pytestmark = pytest.mark.anyio


def test_faults_are_parsed_or_explained() -> None:
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


def drawn(seed: int, order: list[str]) -> dict[str, list[str | None]]:
    faults = FaultInjector(seed, {"throttle": 0.3, "reset": 0.3}, max_streak=2)
    found: dict[str, list[str | None]] = {}
    for key in order:
        found.setdefault(key, []).append(faults.draw_for_request("read", "mux.job", key))
    return found


def test_faults_depend_on_the_seed_and_not_on_the_order_of_requests() -> None:
    keys = [str(number) for number in range(20)] * 4
    assert drawn(1, keys) == drawn(1, sorted(keys)) != drawn(2, keys)


def test_faults_never_hit_a_key_more_often_in_a_row_than_allowed() -> None:
    faults = FaultInjector(0, {"reset": 1.0}, max_streak=2)
    found = [faults.draw_for_request("read", "mux.job", "one") for _ in range(6)]
    assert found == ["reset", "reset", None, "reset", "reset", None]
    assert [faults.hits("job_error", "one", attempt) for attempt in range(3)] == [False] * 3
    faults.configure({"job_error": 1.0}, max_streak=2)
    assert [faults.hits("job_error", "one", attempt) for attempt in range(4)] == [
        *(True, True, False, False)
    ]


async def asked(client: Client) -> Reply:
    return await client.heygen("/v3/video-translations/one")


ANSWERS: dict[str, tuple[set[int], str]] = {
    "throttle": ({429}, "application/json"),
    "server_error": ({500, 502, 503}, "application/json"),
    "html_error": ({502}, "text/html; charset=utf-8"),
    "empty_error": ({503}, "text/plain"),
}


@pytest.mark.parametrize("fault", ANSWERS)
async def test_a_fault_answers_as_described_and_passes(fault: str) -> None:
    async with asking(faults={fault: 1.0}) as client:
        replies = [await asked(client) for _ in range(3)]
        assert client.sandbox.request_log.faults == {fault: 2}
        assert client.sandbox.request_log.count("heygen.v3.video", fault=fault) == 2
    statuses, kind = ANSWERS[fault]
    assert {reply.status for reply in replies[:2]} <= statuses
    assert replies[0].headers["Content-Type"] == kind
    assert replies[2].status == 200


async def test_a_reset_does_nothing_and_answers_nothing() -> None:
    async with asking(faults={"reset": 1.0}, fault_streak=1) as client:
        with pytest.raises(aiohttp.ClientError):
            await client.create("one")
        assert client.sandbox.request_log.creates == []
        assert client.sandbox.request_log.count("mux.create", status=0) == 1
        assert (await client.create("one")).status == 202


async def test_a_lost_create_is_there_although_its_answer_is_not() -> None:
    async with asking(faults={"lost_create": 1.0}, fault_streak=1) as client:
        with pytest.raises(aiohttp.ClientError):
            await client.create("one", passthrough="mine")
        (job,) = client.sandbox.request_log.creates_for("one", "es")
        assert (await client.job(job.id)).data["passthrough"] == "mine"
        assert (await client.create("one")).status == 409


async def test_a_late_create_lands_later() -> None:
    async with asking(faults={"late_create": 1.0}, late_create_seconds=10.0) as client:
        with pytest.raises(aiohttp.ClientError):
            await client.create("one")
        assert (await client.mux("/robots/v0/jobs?asset_id=one")).data == []
        assert client.sandbox.request_log.creates == []
        await asyncio.sleep(11)
        assert len(client.sandbox.request_log.creates) == 1
        (summary,) = (await client.mux("/robots/v0/jobs?asset_id=one")).data
        created = (await client.job(summary["id"])).data["created_at"]
        assert created == int(client.sandbox.request_log.creates[0].created)


async def test_a_cut_body_is_shorter_than_promised() -> None:
    async with asking(faults={"cut_body": 1.0}, fault_streak=1) as client:
        with pytest.raises(aiohttp.ClientPayloadError):
            await asked(client)
        assert (await asked(client)).status == 200


async def test_a_slow_body_takes_its_time() -> None:
    async with asking(faults={"slow_body": 1.0}, slow_body_seconds=40.0) as client:
        start = asyncio.get_running_loop().time()
        reply = await asked(client)
        assert asyncio.get_running_loop().time() - start >= 40
    assert reply.data["id"] == "one"


@pytest.mark.parametrize("fault", ["expired_link", "not_vtt"])
async def test_a_file_host_may_refuse_a_fresh_link(fault: str) -> None:
    async with asking(faults={fault: 1.0}, fault_streak=1) as client:
        link = (await client.ended("one"))["outputs"]["temporary_vtt_url"]
        bad, good = await client.fetch(link), await client.fetch(link)
    assert bad.status == (400 if fault == "expired_link" else 200)
    assert not bad.body.startswith(b"WEBVTT")
    assert good.body.startswith(b"WEBVTT")


JOBS: dict[str, str] = {
    "job_error": "errored",
    "job_cancelled": "cancelled",
    "job_stuck": "processing",
    "missing_link": "completed",
}


@pytest.mark.parametrize("fault", JOBS)
async def test_a_job_may_end_badly(fault: str) -> None:
    async with asking(faults={fault: 1.0}) as client:
        job: dict[str, Any] = await client.ended("one")
    assert job["status"] == JOBS[fault]
    assert "temporary_vtt_url" not in job.get("outputs", {})
    assert fault != "job_error" or job["errors"][0]["retryable"] is True


async def test_a_fresh_job_may_not_be_found_at_first() -> None:
    async with asking(faults={"not_found_after_create": 1.0}) as client:
        created = (await client.create("one")).data["id"]
        assert (await client.job(created)).status == 404
        await asyncio.sleep(3)
        assert (await client.job(created)).status == 200


async def test_a_link_may_be_late_by_fault() -> None:
    async with asking(faults={"late_link": 1.0}, heygen_running=0.0) as client:
        assert (await asked(client)).data["vtt_caption_url"] is None
        await asyncio.sleep(31)
        assert (await asked(client)).data["vtt_caption_url"]


def test_every_fault_is_told_of() -> None:
    assert all(FAULTS.values())
