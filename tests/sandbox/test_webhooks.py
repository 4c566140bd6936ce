"""What the sandbox tells of a job or a translation, and how it is written and signed."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import aiohttp
import pytest

from batchcap.sandbox import SandboxOptions
from batchcap.sandbox.mux.jobs import CreateRequest, Job, JobOutcome
from tests.sandbox.client import EPOCH, asking
from tests.sandbox.receiver import Arrival, rightly_signed, signature, told

pytestmark = pytest.mark.anyio

LIFE = ["pending", "processing", "completed"]


async def test_each_state_of_a_job_is_told_once_and_in_its_time() -> None:
    async with told() as (client, receiver):
        created = (await client.create("one", passthrough="mine")).data
        await asyncio.sleep(100)
        job = (await client.job(created["id"])).data
        (kept,) = client.sandbox.request_log.creates
    assert receiver.words == LIFE
    assert [arrival.type.rpartition(".")[0] for arrival in receiver.arrivals] == [
        "robots.job.translate_captions"
    ] * 3
    bodies = [arrival.body for arrival in receiver.arrivals]
    assert [body["data"]["status"] for body in bodies] == LIFE
    assert bodies[0]["data"] == created
    assert bodies[2]["data"] == job
    assert [body["object"] for body in bodies] == [{"type": "job", "id": job["id"]}] * 3
    assert len({body["id"] for body in bodies}) == 3
    assert bodies[0]["created_at"].endswith("Z")
    assert all(body["attempts"] == [] for body in bodies)
    times = [arrival.time - receiver.arrivals[0].time for arrival in receiver.arrivals]
    assert times == pytest.approx(
        [0, kept.outcome.starts_after, kept.outcome.ends_after], abs=0.001
    )


async def test_an_event_is_signed_over_its_time_and_its_bytes() -> None:
    async with told(webhook_secret_mux="other") as (client, receiver):
        await client.create("one")
        await asyncio.sleep(100)
        await client.fetch(client.sandbox.url + "/sandbox/clock", "POST", {"advance": 5000})
        await client.create("two")
        await asyncio.sleep(100)
        now = client.sandbox.now()
    assert len(receiver.arrivals) == 6
    for arrival in receiver.arrivals:
        assert rightly_signed(arrival, "other")
        assert not rightly_signed(arrival, "whsec_sandbox_mux")
    stamps = [int(each.headers["mux-signature"][2:].split(",")[0]) for each in receiver.arrivals]
    assert stamps[0] == int(EPOCH)
    assert now - 102 < stamps[3] <= now - 100


async def test_the_job_that_an_event_tells_of_is_already_so() -> None:
    seen: list[tuple[str, str]] = []
    async with told(heygen_running=1.0) as (client, receiver):

        async def ask(arrival: Arrival) -> None:
            if arrival.path == "/mux":
                job = arrival.body["data"]
                seen.append((job["status"], (await client.job(job["id"])).data["status"]))
            else:
                video_id = arrival.body["event_data"]["video_translate_id"]
                video = (await client.heygen(f"/v3/video-translations/{video_id}")).data
                seen.append(("completed", video["status"]))

        receiver.meanwhile = ask
        for number in range(20):
            await client.create(f"film-{number}")
            await client.heygen(f"/v3/video-translations/tr-{number}")
        await asyncio.sleep(100)
    assert len(seen) == 80
    assert all(told_of == found for told_of, found in seen)


@pytest.mark.parametrize("nested", [True, False, "mixed"])
async def test_a_job_is_nested_under_the_type_or_flat(nested: bool | str) -> None:
    async with told(webhook_nested=nested) as (client, receiver):
        for number in range(8):
            await client.create(f"film-{number}")
        await asyncio.sleep(100)
    found = []
    for body in (arrival.body for arrival in receiver.arrivals):
        found.append(list(body["data"]) == [body["type"]])
        job = body["data"][body["type"]] if found[-1] else body["data"]
        assert job["id"] == body["object"]["id"]
    assert set(found) == ({True, False} if nested == "mixed" else {nested})


async def test_types_are_named_as_in_v1_where_that_is_asked_for() -> None:
    async with told(webhook_names="v1") as (client, receiver):
        await client.create("one")
        await asyncio.sleep(100)
    assert [arrival.type for arrival in receiver.arrivals] == [
        f"robots.v1.job.translate_captions.{word}" for word in LIFE
    ]


@pytest.mark.parametrize("outputs", [True, False])
async def test_the_completed_event_has_the_outputs_or_not(outputs: bool) -> None:
    async with told(webhook_outputs=outputs) as (client, receiver):
        await client.create("one")
        await asyncio.sleep(100)
    assert [("outputs" in arrival.body["data"]) for arrival in receiver.arrivals] == [
        *(False, False, outputs)
    ]


ENDS = {
    "one-fails": ["pending", "processing", "errored"],
    "one-cancelled": ["pending", "processing", "cancelled"],
    "one-stuck": ["pending", "processing"],
    "one-oddstate": ["unknown_status", "completed"],
}


@pytest.mark.parametrize("asset_id", ENDS)
async def test_a_job_may_end_in_other_ways(asset_id: str) -> None:
    async with told() as (client, receiver):
        await client.create(asset_id)
        await asyncio.sleep(1000)
    assert receiver.words == ENDS[asset_id]
    assert ("errors" in receiver.arrivals[-1].body["data"]) == (asset_id == "one-fails")


async def test_a_cancel_is_told_at_once_and_nothing_after_it() -> None:
    async with told(job_seconds=50, job_seconds_max=50, job_sigma=0) as (client, receiver):
        created = (await client.create("one")).data["id"]
        await asyncio.sleep(20)
        start = asyncio.get_running_loop().time()
        assert (await client.mux(f"/robots/v0/jobs/{created}/cancel", "POST")).status == 200
        await asyncio.sleep(1000)
    assert receiver.words == ["pending", "processing", "cancelled"]
    assert receiver.arrivals[-1].time - start < 0.01
    assert receiver.arrivals[-1].body["data"]["status"] == "cancelled"


async def test_a_create_that_lands_late_is_told_of_although_nobody_asks() -> None:
    faults = {"late_create": 1.0}
    async with told(faults=faults, late_create_seconds=10.0) as (client, receiver):
        with pytest.raises(aiohttp.ClientError):
            await client.create("one")
        await asyncio.sleep(9)
        assert receiver.words == []
        await asyncio.sleep(100)
    assert receiver.words == LIFE


@pytest.mark.parametrize("header", ["signature", "heygen-signature", "x-heygen-signature"])
async def test_a_translation_that_ran_at_the_first_look_tells_its_end(header: str) -> None:
    async with told(webhook_header=header) as (client, receiver):
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
        assert arrival.headers[header] == signature("whsec_sandbox_heygen", arrival.raw)
        assert {"signature", "heygen-signature", "x-heygen-signature"} & {
            name.lower() for name in arrival.headers
        } == {header}


async def test_a_translation_that_had_ended_before_or_never_ends_is_not_told_of() -> None:
    async with told(heygen_running=0.0) as (client, receiver):
        for video_id in ("plain", "id-failed", "id-latelink", "id-stuck", "id-missing"):
            await client.heygen(f"/v3/video-translations/{video_id}")
        await asyncio.sleep(1000)
    assert receiver.arrivals == []


async def test_every_look_at_a_running_translation_makes_one_event() -> None:
    async with told(heygen_running=1.0) as (client, receiver):
        for _ in range(3):
            await client.heygen("/v3/video-translations?limit=100")
            await client.heygen("/v3/video-translations/statuses?video_translation_ids=a,b")
        await asyncio.sleep(100)
        journal = (await client.fetch(client.sandbox.url + "/sandbox/request-log")).json
    ids = [arrival.body["event_data"]["video_translate_id"] for arrival in receiver.arrivals]
    assert len(ids) == len(set(ids)) == 102
    assert journal["videos_ended"].keys() == set(ids)


async def test_options_that_make_a_translation_longer_make_its_event_later() -> None:
    async with told(heygen_finish_seconds=10.0) as (client, receiver):
        await client.heygen("/v3/video-translations/id-slow")
        start = asyncio.get_running_loop().time()
        client.sandbox.change(heygen_finish_seconds=30.0)
        await asyncio.sleep(100)
    (arrival,) = receiver.arrivals
    assert arrival.time - start == pytest.approx(30, abs=0.01)


async def test_without_a_url_nothing_is_sent() -> None:
    async with asking() as client:
        await client.create("one")
        await client.heygen("/v3/video-translations/id-slow")
        await asyncio.sleep(100)
        journal = (await client.fetch(client.sandbox.url + "/sandbox/request-log")).json
    assert journal["webhooks"] == {"mux": {}, "heygen": {}}


async def test_the_journal_counts_webhooks_and_knows_when_a_job_ended() -> None:
    async with told() as (client, _):
        await client.create("one")
        await client.create("one-stuck")
        await asyncio.sleep(100)
        journal = (await client.fetch(client.sandbox.url + "/sandbox/request-log")).json
        job = client.sandbox.request_log.creates[0]
    assert journal["webhooks"]["mux"] == {"sent": 5, "accepted": 5}
    assert [create["ended"] for create in journal["creates"]] == [job.ends, None]


async def test_the_environment_has_the_secrets() -> None:
    async with asking(webhook_secret_heygen="word") as client:
        assert client.around["MUX_WEBHOOK_SECRET"] == "whsec_sandbox_mux"
        assert client.around["HEYGEN_WEBHOOK_SECRET"] == "word"


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
def test_events_never_leave_the_machine(url: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        SandboxOptions(mux_webhook_url=url)
    with pytest.raises(ValueError, match="loopback"):
        SandboxOptions().with_changes(heygen_webhook_url=url)


@pytest.mark.parametrize("url", ["", "http://localhost:1/", "http://127.8.9.1:1", "http://[::1]/x"])
def test_loopback_has_many_names(url: str) -> None:
    assert SandboxOptions(mux_webhook_url=url).mux_webhook_url == url


FATES: list[dict[str, Any]] = [
    {"starts_after": 0.3, "ends_after": 1.0},
    {"starts_after": 0.0, "ends_after": 1.0, "status": "errored"},
    {"starts_after": 0.3, "ends_after": None},
    {"starts_after": 0.3, "ends_after": 4.0, "unknown_status_seconds": 4.0},
    {"starts_after": 0.3, "ends_after": 4.0, "unknown_status_seconds": 0.1},
    {"starts_after": 0.3, "ends_after": None, "unknown_status_seconds": 2.0},
]


@pytest.mark.parametrize("cancelled", [None, 0.0, 0.2, 0.7])
@pytest.mark.parametrize("fate", FATES)
def test_the_changes_of_a_job_are_those_of_its_status(
    fate: dict[str, Any], cancelled: float | None
) -> None:
    created = EPOCH + 1 / 3
    order = CreateRequest(
        "a", "t", "es", upload=True, track_name="n", replace="fail", parameters={}
    )
    job = Job("id", order, JobOutcome(**fate), created, 0.5)
    job.cancelled = None if cancelled is None else created + cancelled
    changes = job.status_changes()
    assert changes[0][0] == created
    for (when, word), (following, _) in zip(changes, [*changes[1:], (1e12, "")], strict=True):
        assert job.status(when) == job.status((when + min(following, when + 9)) / 2) == word
    words = [word for _, word in changes]
    assert all(before != after for before, after in pairwise(words))
    assert words[-1] == job.status(1e12)
