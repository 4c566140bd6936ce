"""How webhooks travel: repeated, late, twice, lost, and to where they are wanted now."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.sandbox.webhooks.delivery import retry_delays
from tests.sandbox.client import EPOCH, Client, asking
from tests.sandbox.receiver import Receiver, receiving, rightly_signed, told

pytestmark = pytest.mark.anyio

LIFE = ["pending", "processing", "completed"]
STEADY = {"job_seconds": 50.0, "job_seconds_max": 50.0, "job_sigma": 0.0}
"""Jobs that start after 15 s and end after 50 s."""
ENDLESS = {"job_seconds": 1e6, "job_seconds_max": 1e6}
"""Jobs that are pending for days."""


def ids(receiver: Receiver) -> list[str]:
    return [arrival.body["id"] for arrival in receiver.arrivals]


def gaps(receiver: Receiver) -> list[float]:
    times = [arrival.time for arrival in receiver.arrivals]
    return [after - before for before, after in itertools.pairwise(times)]


async def a_film(client: Client, seconds: float = 1000.0) -> None:
    await client.create("one")
    await asyncio.sleep(seconds)


async def test_an_event_comes_after_the_delay() -> None:
    async with told(webhook_delay=20.0, **STEADY) as (client, receiver):
        start = asyncio.get_running_loop().time()
        await a_film(client)
    times = [arrival.time - start for arrival in receiver.arrivals]
    assert times == pytest.approx([20, 35, 70], abs=0.01)


async def test_an_event_is_sent_until_it_is_taken_at_growing_distances() -> None:
    async with told(webhook_retry=3.0, **ENDLESS) as (client, receiver):
        receiver.answers = iter([500, 302, 404, 429])
        await a_film(client)
        counts = client.sandbox.request_log.webhooks
        assert counts == {("mux", "sent"): 5, ("mux", "retried"): 4, ("mux", "accepted"): 1}
    assert gaps(receiver) == pytest.approx([3, 6, 12, 24], abs=0.01)
    assert len(set(ids(receiver))) == 1
    assert all(rightly_signed(arrival) for arrival in receiver.arrivals)
    earlier = receiver.arrivals[-1].body["attempts"]
    assert [attempt["response_status_code"] for attempt in earlier] == [500, 302, 404, 429]
    assert earlier[0]["max_attempts"] == len(retry_delays(3.0)) + 1


@pytest.mark.parametrize("speed", [1.0, 10.0])
async def test_waits_double_in_sandbox_time(speed: float) -> None:
    async with told(webhook_retry=8.0, speed=speed) as (client, receiver):
        receiver.answers = iter([500] * 4)
        await client.heygen("/v3/video-translations/id-slow")
        await asyncio.sleep(1000)
    assert gaps(receiver) == pytest.approx([8 / speed, 16 / speed, 32 / speed, 64 / speed], 0.01)


async def test_a_receiver_that_never_takes_it_is_given_up_after_a_day() -> None:
    async with told(webhook_retry=60.0) as (client, receiver):
        receiver.answers = itertools.repeat(503)
        await client.heygen("/v3/video-translations/id-slow")
        await asyncio.sleep(10 * 86400)
        counts = client.sandbox.request_log.webhooks
        assert counts["heygen", "given_up"] == 1
        assert counts["heygen", "accepted"] == 0
    assert len(receiver.arrivals) == len(retry_delays(60.0)) + 1
    assert sum(gaps(receiver)) < 86400
    assert sum(retry_delays(60.0)) + 2 * retry_delays(60.0)[-1] > 86400


async def test_a_receiver_that_is_not_there_gets_it_when_it_is() -> None:
    async with receiving() as receiver:
        url = receiver.url
    async with asking(mux_webhook_url=url, webhook_retry=10.0) as client:
        await a_film(client, 5)
        assert client.sandbox.request_log.webhooks["mux", "sent"] == 3
        async with receiving() as later:
            client.sandbox.change(mux_webhook_url=later.url)
            await asyncio.sleep(100)
            assert sorted(later.words) == sorted(LIFE)
            assert [len(each.body["attempts"]) for each in later.arrivals] == [1, 1, 1]
            assert later.arrivals[0].body["attempts"][0]["response_status_code"] is None


async def test_an_attempt_takes_no_more_than_five_seconds() -> None:
    async with told(webhook_retry=10.0) as (client, receiver):
        receiver.seconds = 6.0
        await client.heygen("/v3/video-translations/id-slow")
        await asyncio.sleep(20)
        assert client.sandbox.request_log.webhooks["heygen", "accepted"] == 0
        receiver.seconds = 4.9
        await asyncio.sleep(1000)
        assert client.sandbox.request_log.webhooks["heygen", "accepted"] == 1
    assert gaps(receiver)[0] == pytest.approx(15, abs=0.01)


async def test_only_so_many_are_in_the_air_at_once() -> None:
    async with told() as (client, receiver):
        receiver.seconds = 4.0
        for number in range(100):
            await client.create(f"film-{number}-stuck")
        await asyncio.sleep(1000)
    assert receiver.most == 32
    assert len(receiver.arrivals) == 200


async def test_a_lost_event_never_comes() -> None:
    async with told(faults={"webhook_lost": 0.5}) as (client, receiver):
        for number in range(20):
            await client.create(f"film-{number}")
        await asyncio.sleep(100_000)
        lost = client.sandbox.request_log.webhooks["mux", "lost"]
        assert client.sandbox.request_log.faults == {"webhook_lost": lost}
    assert 15 < lost < 45
    assert len(receiver.arrivals) == 60 - lost


async def test_a_duplicate_comes_although_the_first_was_taken() -> None:
    async with told(faults={"webhook_duplicate": 1.0}, webhook_retry=7.0) as (client, receiver):
        for number in range(5):
            await client.create(f"film-{number}")
        await asyncio.sleep(1000)
    assert len(receiver.arrivals) == 30
    assert len(set(ids(receiver))) == 15
    times: dict[str, list[float]] = {}
    for arrival in receiver.arrivals:
        times.setdefault(arrival.body["id"], []).append(arrival.time)
    apart = {round(second - first, 2) for first, second in times.values()}
    assert apart == {0.0, 7.0}


async def test_reordered_events_come_after_those_that_follow_them() -> None:
    faults = {"webhook_reordered": 1.0}
    async with told(faults=faults, webhook_late_seconds=100.0, **STEADY) as (client, receiver):
        start = asyncio.get_running_loop().time()
        await a_film(client)
    assert receiver.words == LIFE[::-1]
    times = [arrival.time - start for arrival in receiver.arrivals]
    assert times == pytest.approx([150, 250, 350], abs=0.01)
    created = [arrival.body["created_at"] for arrival in receiver.arrivals]
    assert created == sorted(created, reverse=True)


async def test_some_reordered_events_are_overtaken_by_others() -> None:
    async with told(faults={"webhook_reordered": 0.4}) as (client, receiver):
        for number in range(20):
            await client.create(f"film-{number}")
        await asyncio.sleep(1000)
    orders: dict[str, list[str]] = {}
    for arrival, word in zip(receiver.arrivals, receiver.words, strict=True):
        orders.setdefault(arrival.body["data"]["id"], []).append(word)
    assert all(sorted(order) == sorted(LIFE) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) > 3


async def test_a_bad_signature_is_followed_by_a_good_one_where_it_is_refused() -> None:
    async with told(faults={"webhook_bad_signature": 1.0}) as (client, receiver):
        receiver.strict = True
        await a_film(client)
        assert client.sandbox.request_log.webhooks["mux", "accepted"] == 3
        assert client.sandbox.request_log.faults == {"webhook_bad_signature": 6}
    signed: dict[str, list[bool]] = {}
    for arrival in receiver.arrivals:
        signed.setdefault(arrival.type, []).append(rightly_signed(arrival))
    assert list(signed.values()) == [[False, False, True]] * 3


async def test_events_of_strangers_come_beside_ours() -> None:
    async with told(faults={"webhook_foreign": 1.0}, heygen_running=1.0) as (client, receiver):
        mine = {(await client.create(f"film-{number}")).data["id"] for number in range(10)}
        for number in range(20):
            await client.heygen(f"/v3/video-translations/tr-{number}")
        await asyncio.sleep(1000)
    mux = [each for each in receiver.arrivals if each.path == "/mux"]
    strange = [each for each in mux if each.body["object"]["id"] not in mine]
    assert len(mux) == 2 * len(strange) == 60
    assert all(rightly_signed(each) for each in mux)
    assert {each.type for each in strange} == {
        "video.asset.ready",
        "robots.job.translate_captions.completed",
    }
    heygen = [each.body for each in receiver.arrivals if each.path == "/heygen"]
    assert len(heygen) == 40
    assert {each["event_type"] for each in heygen} == {
        "video_translate.success",
        "avatar_video.success",
    }


async def test_events_are_the_same_in_every_run_and_others_with_another_seed() -> None:
    async def run(seed: int) -> list[tuple[str, str]]:
        faults = {"webhook_lost": 0.3, "webhook_duplicate": 0.3, "webhook_reordered": 0.3}
        async with told(seed=seed, faults=faults, webhook_nested="mixed") as (client, receiver):
            for number in range(10):
                await client.create(f"film-{number}")
            await asyncio.sleep(1000)
        return sorted(zip(ids(receiver), receiver.words, strict=True))

    assert await run(1) == await run(1) != await run(2)


async def test_a_url_set_while_it_runs_gets_what_happens_from_then_on() -> None:
    async with receiving() as receiver, asking(**STEADY) as client:
        await client.create("one")
        await client.heygen("/v3/video-translations/id-slow")
        await asyncio.sleep(1)
        url = client.sandbox.url + "/sandbox/options"
        fields = {"mux_webhook_url": receiver.url, "heygen_webhook_url": receiver.url}
        assert (await client.fetch(url, "POST", fields)).status == 200
        assert (await client.fetch(url, "POST", {"mux_webhook_url": "http://a.b/"})).status == 400
        await asyncio.sleep(20)
        client.sandbox.change(mux_webhook_url="")
        await client.create("two-stuck")
        await asyncio.sleep(1)
        client.sandbox.change(mux_webhook_url=receiver.url + "/new")
        await asyncio.sleep(1000)
    told_of = [
        (each.path, each.body.get("event_type") or each.type.rpartition(".")[2])
        for each in receiver.arrivals
    ]
    assert told_of == [
        ("/", "video_translate.success"),
        ("/", "processing"),
        ("/new", "processing"),
        ("/new", "completed"),
    ]


async def test_a_clock_put_forward_tells_what_happened_meanwhile() -> None:
    async with told(job_seconds=1e6, job_seconds_max=1e6) as (client, receiver):
        await client.create("one")
        await client.heygen("/v3/video-translations/id-slow")
        await asyncio.sleep(1)
        client.sandbox.advance(2e6)
        await asyncio.sleep(1)
    assert len(receiver.arrivals) == 4


async def life(state: Path, steps: Any, receiver: Receiver, **options: Any) -> None:
    options |= {"mux_webhook_url": receiver.url, "heygen_webhook_url": receiver.url}
    made = SandboxOptions(epoch=EPOCH, **options)
    async with Sandbox(made, state) as sandbox, aiohttp.ClientSession() as session:
        await steps(Client(sandbox, session))


async def test_after_a_restart_what_is_still_to_come_is_told(tmp_path: Path) -> None:
    async def first(client: Client) -> None:
        await client.create("one")
        gone = (await client.create("two")).data["id"]
        await client.mux(f"/robots/v0/jobs/{gone}/cancel", "POST")
        await client.heygen("/v3/video-translations/id-slow")
        await asyncio.sleep(20)

    async def second(client: Client) -> None:
        await asyncio.sleep(1000)

    options = {**STEADY, "heygen_finish_seconds": 30.0}
    async with receiving() as receiver:
        await life(tmp_path / "s", first, receiver, **options)
        assert len(receiver.arrivals) == 4
        await asyncio.sleep(10_000)
        assert len(receiver.arrivals) == 4
        await life(tmp_path / "s", second, receiver, **options)
    late = [each.body.get("event_type") or each.type for each in receiver.arrivals[4:]]
    assert late == ["video_translate.success", "robots.job.translate_captions.completed"]


@pytest.mark.parametrize("kept", [True, False])
async def test_a_sandbox_that_comes_back_tells_each_thing_once(tmp_path: Path, kept: bool) -> None:
    state = tmp_path / "state.sqlite" if kept else None
    async with receiving() as receiver:
        options = SandboxOptions(mux_webhook_url=receiver.url, **STEADY)  # type: ignore[arg-type]  # all are floats
        async with Sandbox(options, state) as sandbox, aiohttp.ClientSession() as session:
            await Client(sandbox, session).create("one")
            await asyncio.sleep(1)
            await sandbox.stop()
            await sandbox.start()
            await asyncio.sleep(1000)
    assert receiver.words == LIFE


async def test_a_sandbox_that_stops_drops_what_is_in_the_air() -> None:
    async with told(webhook_delay=1.0) as (client, receiver):
        receiver.seconds = 3.0
        for number in range(50):
            await client.create(f"film-{number}")
        await asyncio.sleep(2)
        await client.sandbox.stop()
        seen = len(receiver.arrivals)
        await asyncio.sleep(1000)
        assert len(receiver.arrivals) == seen == 32
        assert len(asyncio.all_tasks()) < 10
