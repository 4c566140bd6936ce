"""Webhook events of jobs and videos: which are sent, when, and how they are signed."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from batchcap.sandbox import SandboxOptions
from batchcap.sandbox.mux.jobs import CreateRequest, Job, JobOutcome
from tests.sandbox.client import EPOCH, sandbox_client
from tests.sandbox.receiver import Arrival, hmac_hex, is_signed, sandbox_and_receiver

pytestmark = pytest.mark.anyio

STATUSES = ["pending", "processing", "completed"]


async def test_job_sends_one_event_per_status_at_its_time() -> None:
    async with sandbox_and_receiver() as (client, receiver):
        created = (await client.create("one", passthrough="text")).data
        await asyncio.sleep(100)
        job = (await client.get_job(created["id"])).data
        (logged_job,) = client.sandbox.request_log.creates
    assert receiver.mux_statuses == STATUSES
    assert [arrival.type.rpartition(".")[0] for arrival in receiver.arrivals] == [
        "robots.job.translate_captions"
    ] * 3
    bodies = [arrival.body for arrival in receiver.arrivals]
    assert [body["data"]["status"] for body in bodies] == STATUSES
    assert bodies[0]["data"] == created
    assert bodies[2]["data"] == job
    assert [body["object"] for body in bodies] == [{"type": "job", "id": job["id"]}] * 3
    assert len({body["id"] for body in bodies}) == 3
    assert bodies[0]["created_at"].endswith("Z")
    assert all(body["attempts"] == [] for body in bodies)
    times = [arrival.time - receiver.arrivals[0].time for arrival in receiver.arrivals]
    assert times == pytest.approx(
        [0, logged_job.outcome.starts_after, logged_job.outcome.ends_after], abs=0.001
    )


async def test_mux_signature_covers_time_and_body() -> None:
    async with sandbox_and_receiver(webhook_secret_mux="other") as (client, receiver):
        await client.create("one")
        await asyncio.sleep(100)
        await client.control("/clock", "POST", {"advance": 5000})
        await client.create("two")
        await asyncio.sleep(100)
        now = client.sandbox.now()
    assert len(receiver.arrivals) == 6
    for arrival in receiver.arrivals:
        assert is_signed(arrival, "other")
        assert not is_signed(arrival, "whsec_sandbox_mux")
    timestamps = [
        int(arrival.headers["mux-signature"][2:].split(",")[0]) for arrival in receiver.arrivals
    ]
    assert timestamps[0] == int(EPOCH)
    assert now - 102 < timestamps[3] <= now - 100


async def test_api_shows_the_status_that_an_event_reports() -> None:
    statuses: list[tuple[str, str]] = []
    async with sandbox_and_receiver(heygen_running=1.0) as (client, receiver):

        async def compare(arrival: Arrival) -> None:
            if arrival.path == "/mux":
                job = arrival.body["data"]
                statuses.append((job["status"], (await client.get_job(job["id"])).data["status"]))
            else:
                video_id = arrival.body["event_data"]["video_translate_id"]
                video = (await client.heygen(f"/v3/video-translations/{video_id}")).data
                statuses.append(("completed", video["status"]))

        receiver.before_response = compare
        for number in range(20):
            await client.create(f"film-{number}")
            await client.heygen(f"/v3/video-translations/tr-{number}")
        await asyncio.sleep(100)
    assert len(statuses) == 80
    assert all(in_event == in_api for in_event, in_api in statuses)


@pytest.mark.parametrize("nested", [True, False, "mixed"])
async def test_webhook_nested_option_nests_the_job_under_the_type(nested: bool | str) -> None:
    async with sandbox_and_receiver(webhook_nested=nested) as (client, receiver):
        for number in range(8):
            await client.create(f"film-{number}")
        await asyncio.sleep(100)
    are_nested = []
    for body in (arrival.body for arrival in receiver.arrivals):
        are_nested.append(list(body["data"]) == [body["type"]])
        job = body["data"][body["type"]] if are_nested[-1] else body["data"]
        assert job["id"] == body["object"]["id"]
    assert set(are_nested) == ({True, False} if nested == "mixed" else {nested})


async def test_webhook_names_v1_changes_the_event_types() -> None:
    async with sandbox_and_receiver(webhook_names="v1") as (client, receiver):
        await client.create("one")
        await asyncio.sleep(100)
    assert [arrival.type for arrival in receiver.arrivals] == [
        f"robots.v1.job.translate_captions.{status}" for status in STATUSES
    ]


@pytest.mark.parametrize("outputs", [True, False])
async def test_webhook_outputs_option_decides_about_outputs(outputs: bool) -> None:
    async with sandbox_and_receiver(webhook_outputs=outputs) as (client, receiver):
        await client.create("one")
        await asyncio.sleep(100)
    assert [("outputs" in arrival.body["data"]) for arrival in receiver.arrivals] == [
        *(False, False, outputs)
    ]


EVENTS_BY_ASSET = {
    "one-fails": ["pending", "processing", "errored"],
    "one-cancelled": ["pending", "processing", "cancelled"],
    "one-stuck": ["pending", "processing"],
    "one-oddstate": ["unknown_status", "completed"],
}


@pytest.mark.parametrize("asset_id", EVENTS_BY_ASSET)
async def test_job_with_keyword_sends_the_events_of_its_end(asset_id: str) -> None:
    async with sandbox_and_receiver() as (client, receiver):
        await client.create(asset_id)
        await asyncio.sleep(1000)
    assert receiver.mux_statuses == EVENTS_BY_ASSET[asset_id]
    assert ("errors" in receiver.arrivals[-1].body["data"]) == (asset_id == "one-fails")


async def test_cancelled_job_sends_its_last_event_at_once() -> None:
    options = {"job_seconds": 50.0, "job_seconds_max": 50.0, "job_sigma": 0.0}
    async with sandbox_and_receiver(**options) as (client, receiver):
        created = (await client.create("one")).data["id"]
        await asyncio.sleep(20)
        start = asyncio.get_running_loop().time()
        assert (await client.cancel_job(created)).status == 200
        await asyncio.sleep(1000)
    assert receiver.mux_statuses == ["pending", "processing", "cancelled"]
    assert receiver.arrivals[-1].time - start < 0.01
    assert receiver.arrivals[-1].body["data"]["status"] == "cancelled"


async def test_delayed_create_sends_events_without_further_requests() -> None:
    faults = {"late_create": 1.0}
    async with sandbox_and_receiver(faults=faults, late_create_seconds=10.0) as (client, receiver):
        with pytest.raises(aiohttp.ClientError):
            await client.create("one")
        await asyncio.sleep(9)
        assert receiver.mux_statuses == []
        await asyncio.sleep(100)
    assert receiver.mux_statuses == STATUSES


@pytest.mark.parametrize("header", ["signature", "heygen-signature", "x-heygen-signature"])
async def test_video_running_at_first_request_sends_an_event_at_its_end(header: str) -> None:
    async with sandbox_and_receiver(webhook_header=header) as (client, receiver):
        await client.heygen("/v3/video-translations/film-slow-es")
        await client.heygen("/v3/video-translations/other-slow-failed-de")
        assert receiver.arrivals == []
        await asyncio.sleep(100)
        detail = (await client.heygen("/v3/video-translations/film-slow-es")).data
        failed = (await client.heygen("/v3/video-translations/other-slow-failed-de")).data
    success, fail = (arrival.body for arrival in receiver.arrivals)
    assert success["event_type"] == "video_translate.success"
    assert success["event_data"] == {
        "video_translate_id": "film-slow-es",
        "url": detail["video_url"],
        "callback_id": None,
        "output_language": "es",
    }
    assert fail["event_type"] == "video_translate.fail"
    assert fail["event_data"]["message"] == failed["failure_message"]
    assert "url" not in fail["event_data"]
    for arrival in receiver.arrivals:
        assert arrival.path == "/heygen"
        assert b"vtt" not in arrival.raw
        assert arrival.headers[header] == hmac_hex("whsec_sandbox_heygen", arrival.raw)
        is_legacy = header == "signature"
        assert arrival.body.keys() >= {"event_type", "event_data"}
        assert ("created_at" in arrival.body) is not is_legacy
        assert arrival.headers.get("Heygen-Event-Id") == arrival.body.get("event_id")
        assert ("Heygen-Timestamp" in arrival.headers) is not is_legacy
        assert {"signature", "heygen-signature", "x-heygen-signature"} & {
            name.lower() for name in arrival.headers
        } == {header}


async def test_preflight_video_sends_a_preflight_event_and_fails() -> None:
    async with sandbox_and_receiver() as (client, receiver):
        await client.heygen("/v3/video-translations/id-preflight")
        await asyncio.sleep(100)
        detail = (await client.heygen("/v3/video-translations/id-preflight")).data
    (arrival,) = receiver.arrivals
    assert arrival.body["event_type"] == "video_translate.preflight.download_failed"
    assert arrival.body["event_data"]["message"] == detail["failure_message"]
    assert detail["status"] == "failed"


async def test_heygen_event_sent_again_keeps_its_id_and_body_and_has_a_new_timestamp() -> None:
    async with sandbox_and_receiver(webhook_retry=60.0) as (client, receiver):
        receiver.statuses = iter([503])
        await client.heygen("/v3/video-translations/id-slow")
        await asyncio.sleep(100)
    first, second = receiver.arrivals
    assert first.raw == second.raw
    for name in ("Heygen-Event-Id", "Heygen-Signature"):
        assert first.headers[name] == second.headers[name]
    stamps = [int(arrival.headers["Heygen-Timestamp"]) for arrival in receiver.arrivals]
    assert stamps[1] - stamps[0] in {60, 61}


async def test_video_ended_before_first_request_or_stuck_sends_no_event() -> None:
    async with sandbox_and_receiver(heygen_running=0.0) as (client, receiver):
        for video_id in ("plain", "id-failed", "id-latelink", "id-stuck", "id-missing"):
            await client.heygen(f"/v3/video-translations/{video_id}")
        await asyncio.sleep(1000)
    assert receiver.arrivals == []


async def test_video_requested_repeatedly_sends_one_event() -> None:
    async with sandbox_and_receiver(heygen_running=1.0) as (client, receiver):
        for _ in range(3):
            await client.heygen("/v3/video-translations?limit=100")
            await client.heygen("/v3/video-translations/statuses?video_translation_ids=a,b")
        await asyncio.sleep(100)
        request_log = (await client.control("/request-log")).json
    ids = [arrival.body["event_data"]["video_translate_id"] for arrival in receiver.arrivals]
    assert len(ids) == len(set(ids)) == 102
    assert request_log["videos_ended"].keys() == set(ids)


async def test_longer_finish_seconds_delays_the_event_of_a_running_video() -> None:
    async with sandbox_and_receiver(heygen_finish_seconds=10.0) as (client, receiver):
        await client.heygen("/v3/video-translations/id-slow")
        start = asyncio.get_running_loop().time()
        client.sandbox.change(heygen_finish_seconds=30.0)
        await asyncio.sleep(100)
    (arrival,) = receiver.arrivals
    assert arrival.time - start == pytest.approx(30, abs=0.01)


async def test_sandbox_without_webhook_url_sends_nothing() -> None:
    async with sandbox_client() as client:
        await client.create("one")
        await client.heygen("/v3/video-translations/id-slow")
        await asyncio.sleep(100)
        request_log = (await client.control("/request-log")).json
    assert request_log["webhooks"] == {"mux": {}, "heygen": {}}


async def test_request_log_counts_webhooks_and_has_end_times() -> None:
    async with sandbox_and_receiver() as (client, _):
        await client.create("one")
        await client.create("one-stuck")
        await asyncio.sleep(100)
        request_log = (await client.control("/request-log")).json
        job = client.sandbox.request_log.creates[0]
    assert request_log["webhooks"]["mux"] == {"sent": 5, "accepted": 5}
    assert [create["ended"] for create in request_log["creates"]] == [job.ends, None]


async def test_environment_contains_the_webhook_secrets() -> None:
    async with sandbox_client(webhook_secret_heygen="other") as client:
        assert client.environment["MUX_WEBHOOK_SECRET"] == "whsec_sandbox_mux"
        assert client.environment["HEYGEN_WEBHOOK_SECRET"] == "other"


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/hook",
        "http://example.com/hook",
        "http://10.0.0.1/hook",
        "http://169.254.169.254/",
        "http://0.0.0.0:80/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1:99999/",
        "127.0.0.1:80",
        "/hook",
    ],
)
def test_webhook_url_off_loopback_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        SandboxOptions(mux_webhook_url=url)
    with pytest.raises(ValueError, match="loopback"):
        SandboxOptions().with_changes(heygen_webhook_url=url)


@pytest.mark.parametrize("url", ["", "http://localhost:1/", "http://127.8.9.1:1", "http://[::1]/x"])
def test_webhook_url_on_loopback_is_accepted(url: str) -> None:
    assert SandboxOptions(mux_webhook_url=url).mux_webhook_url == url


OUTCOMES: list[dict[str, Any]] = [
    {"starts_after": 0.3, "ends_after": 1.0},
    {"starts_after": 0.0, "ends_after": 1.0, "status": "errored"},
    {"starts_after": 0.3, "ends_after": None},
    {"starts_after": 0.3, "ends_after": 4.0, "unknown_status_seconds": 4.0},
    {"starts_after": 0.3, "ends_after": 4.0, "unknown_status_seconds": 0.1},
    {"starts_after": 0.3, "ends_after": None, "unknown_status_seconds": 2.0},
]


@pytest.mark.parametrize("cancelled", [None, 0.0, 0.2, 0.7])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_status_changes_agree_with_status(outcome: dict[str, Any], cancelled: float | None) -> None:
    created = EPOCH + 1 / 3
    request = CreateRequest(
        "a", "t", "es", upload=True, track_name="n", replace="fail", parameters={}
    )
    job = Job("id", request, JobOutcome(**outcome), created, 0.5)
    job.cancelled = None if cancelled is None else created + cancelled
    changes = job.status_changes()
    assert changes[0][0] == created
    for (time, status), (next_time, _) in zip(changes, [*changes[1:], (1e12, "")], strict=True):
        in_between = (time + min(next_time, time + 9)) / 2
        assert job.status(time) == job.status(in_between) == status
    statuses = [status for _, status in changes]
    assert all(before != after for before, after in pairwise(statuses))
    assert statuses[-1] == job.status(1e12)
