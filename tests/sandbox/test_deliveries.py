"""Delivery of webhooks: retries, timeouts, faults, restarts and changes of the URL."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from batchcap.sandbox.webhooks.sender import retry_delays
from tests.sandbox.client import SandboxClient, sandbox_client
from tests.sandbox.receiver import FakeReceiver, fake_receiver, is_signed, sandbox_and_receiver

pytestmark = pytest.mark.anyio

STATUSES = ["pending", "processing", "completed"]
STEADY: dict[str, Any] = {"job_seconds": 50.0, "job_seconds_max": 50.0, "job_sigma": 0.0}
"""Options for jobs that start after 15 s and end after 50 s."""
ENDLESS: dict[str, Any] = {"job_seconds": 1e6, "job_seconds_max": 1e6}
"""Options for jobs that are pending for days."""


def intervals(receiver: FakeReceiver) -> list[float]:
    times = [arrival.time for arrival in receiver.arrivals]
    return [after - before for before, after in itertools.pairwise(times)]


async def create_and_wait(client: SandboxClient, seconds: float = 1000.0) -> None:
    await client.create("one")
    await asyncio.sleep(seconds)


async def test_event_with_delay_is_sent_after_it() -> None:
    async with sandbox_and_receiver(webhook_delay=20.0, **STEADY) as (client, receiver):
        start = asyncio.get_running_loop().time()
        await create_and_wait(client)
    times = [arrival.time - start for arrival in receiver.arrivals]
    assert times == pytest.approx([20, 35, 70], abs=0.01)


async def test_refused_event_is_retried_at_growing_intervals_until_accepted() -> None:
    async with sandbox_and_receiver(webhook_retry=3.0, **ENDLESS) as (client, receiver):
        receiver.statuses = iter([500, 302, 404, 429])
        await create_and_wait(client)
        counts = client.sandbox.request_log.webhooks
        assert counts == {("mux", "sent"): 5, ("mux", "retried"): 4, ("mux", "accepted"): 1}
    assert intervals(receiver) == pytest.approx([3, 6, 12, 24], abs=0.01)
    assert len(set(receiver.mux_ids)) == 1
    assert all(is_signed(arrival) for arrival in receiver.arrivals)
    attempts = receiver.arrivals[-1].body["attempts"]
    assert [attempt["response_status_code"] for attempt in attempts] == [500, 302, 404, 429]
    assert attempts[0]["max_attempts"] == len(retry_delays(3.0)) + 1


@pytest.mark.parametrize("speed", [1.0, 10.0])
async def test_retry_delays_double_in_sandbox_time(speed: float) -> None:
    async with sandbox_and_receiver(webhook_retry=8.0, speed=speed) as (client, receiver):
        receiver.statuses = iter([500] * 4)
        await client.heygen("/v3/video-translations/id-slow")
        await asyncio.sleep(1000)
    assert intervals(receiver) == pytest.approx(
        [8 / speed, 16 / speed, 32 / speed, 64 / speed], 0.01
    )


async def test_event_never_accepted_is_given_up_after_a_day() -> None:
    async with sandbox_and_receiver(webhook_retry=60.0) as (client, receiver):
        receiver.statuses = itertools.repeat(503)
        await client.heygen("/v3/video-translations/id-slow")
        await asyncio.sleep(10 * 86400)
        counts = client.sandbox.request_log.webhooks
        assert counts["heygen", "given_up"] == 1
        assert counts["heygen", "accepted"] == 0
    assert len(receiver.arrivals) == len(retry_delays(60.0)) + 1
    assert sum(intervals(receiver)) < 86400
    assert sum(retry_delays(60.0)) + 2 * retry_delays(60.0)[-1] > 86400


async def test_event_to_unreachable_receiver_is_delivered_to_the_next_url() -> None:
    async with fake_receiver() as receiver:
        url = receiver.url
    async with sandbox_client(mux_webhook_url=url, webhook_retry=10.0) as client:
        await create_and_wait(client, 5)
        assert client.sandbox.request_log.webhooks["mux", "sent"] == 3
        async with fake_receiver() as later:
            client.sandbox.change(mux_webhook_url=later.url)
            await asyncio.sleep(100)
            assert sorted(later.mux_statuses) == sorted(STATUSES)
            assert [len(arrival.body["attempts"]) for arrival in later.arrivals] == [1, 1, 1]
            assert later.arrivals[0].body["attempts"][0]["response_status_code"] is None


async def test_mux_attempt_without_response_times_out_after_5_seconds() -> None:
    async with sandbox_and_receiver(webhook_retry=10.0) as (client, receiver):
        receiver.delay = 5.1
        await client.create("one")
        await asyncio.sleep(10)
        assert client.sandbox.request_log.webhooks["mux", "accepted"] == 0
        receiver.delay = 4.9
        await asyncio.sleep(1000)
        assert client.sandbox.request_log.webhooks["mux", "accepted"] == 3
    first = [
        arrival.time for arrival in receiver.arrivals if arrival.body["type"].endswith("pending")
    ]
    assert first[1] - first[0] == pytest.approx(15, abs=0.01)


async def test_heygen_attempt_without_response_times_out_after_10_seconds() -> None:
    async with sandbox_and_receiver(webhook_retry=10.0) as (client, receiver):
        receiver.delay = 10.1
        await client.heygen("/v3/video-translations/id-slow")
        await asyncio.sleep(20)
        assert client.sandbox.request_log.webhooks["heygen", "accepted"] == 0
        receiver.delay = 9.9
        await asyncio.sleep(1000)
        assert client.sandbox.request_log.webhooks["heygen", "accepted"] == 1
    assert intervals(receiver)[0] == pytest.approx(20, abs=0.01)


async def test_open_attempts_are_limited_to_32() -> None:
    async with sandbox_and_receiver() as (client, receiver):
        receiver.delay = 4.0
        for number in range(100):
            await client.create(f"film-{number}-stuck")
        await asyncio.sleep(1000)
    assert receiver.max_concurrent == 32
    assert len(receiver.arrivals) == 200


async def test_lost_event_is_never_sent() -> None:
    async with sandbox_and_receiver(faults={"webhook_lost": 0.5}) as (client, receiver):
        for number in range(20):
            await client.create(f"film-{number}")
        await asyncio.sleep(100_000)
        lost = client.sandbox.request_log.webhooks["mux", "lost"]
        assert client.sandbox.request_log.faults == {"webhook_lost": lost}
    assert 15 < lost < 45
    assert len(receiver.arrivals) == 60 - lost


async def test_duplicate_event_is_sent_although_the_first_was_accepted() -> None:
    faults = {"webhook_duplicate": 1.0}
    async with sandbox_and_receiver(faults=faults, webhook_retry=7.0) as (client, receiver):
        for number in range(5):
            await client.create(f"film-{number}")
        await asyncio.sleep(1000)
    assert len(receiver.arrivals) == 30
    assert len(set(receiver.mux_ids)) == 15
    times: dict[str, list[float]] = {}
    for arrival in receiver.arrivals:
        times.setdefault(arrival.body["id"], []).append(arrival.time)
    distances = {round(second - first, 2) for first, second in times.values()}
    assert distances == {0.0, 7.0}


async def test_reordered_events_arrive_in_reverse_order() -> None:
    options = {"faults": {"webhook_reordered": 1.0}, "webhook_late_seconds": 100.0, **STEADY}
    async with sandbox_and_receiver(**options) as (client, receiver):
        start = asyncio.get_running_loop().time()
        await create_and_wait(client)
    assert receiver.mux_statuses == STATUSES[::-1]
    times = [arrival.time - start for arrival in receiver.arrivals]
    assert times == pytest.approx([150, 250, 350], abs=0.01)
    created = [arrival.body["created_at"] for arrival in receiver.arrivals]
    assert created == sorted(created, reverse=True)


async def test_partly_reordered_events_arrive_in_several_orders() -> None:
    async with sandbox_and_receiver(faults={"webhook_reordered": 0.4}) as (client, receiver):
        for number in range(20):
            await client.create(f"film-{number}")
        await asyncio.sleep(1000)
    orders: dict[str, list[str]] = {}
    for arrival, status in zip(receiver.arrivals, receiver.mux_statuses, strict=True):
        orders.setdefault(arrival.body["data"]["id"], []).append(status)
    assert all(sorted(order) == sorted(STATUSES) for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) > 3


async def test_refused_bad_signature_is_followed_by_a_valid_one() -> None:
    async with sandbox_and_receiver(faults={"webhook_bad_signature": 1.0}) as (client, receiver):
        receiver.checks_signatures = True
        await create_and_wait(client)
        assert client.sandbox.request_log.webhooks["mux", "accepted"] == 3
        assert client.sandbox.request_log.faults == {"webhook_bad_signature": 6}
    signed: dict[str, list[bool]] = {}
    for arrival in receiver.arrivals:
        signed.setdefault(arrival.type, []).append(is_signed(arrival))
    assert list(signed.values()) == [[False, False, True]] * 3


async def test_foreign_events_are_sent_beside_own_ones() -> None:
    faults = {"webhook_foreign": 1.0}
    async with sandbox_and_receiver(faults=faults, heygen_running=1.0) as (client, receiver):
        own_ids = {(await client.create(f"film-{number}")).data["id"] for number in range(10)}
        for number in range(20):
            await client.heygen(f"/v3/video-translations/tr-{number}")
        await asyncio.sleep(1000)
    mux = [arrival for arrival in receiver.arrivals if arrival.path == "/mux"]
    foreign = [arrival for arrival in mux if arrival.body["object"]["id"] not in own_ids]
    assert len(mux) == 2 * len(foreign) == 60
    assert all(is_signed(arrival) for arrival in mux)
    assert {arrival.type for arrival in foreign} == {
        "video.asset.ready",
        "robots.job.translate_captions.completed",
    }
    heygen = [arrival.body for arrival in receiver.arrivals if arrival.path == "/heygen"]
    assert len(heygen) == 40
    assert {body["event_type"] for body in heygen} == {
        "video_translate.success",
        "avatar_video.success",
    }


async def test_events_depend_on_the_seed_only() -> None:
    async def run(seed: int) -> list[tuple[str, str]]:
        faults = {"webhook_lost": 0.3, "webhook_duplicate": 0.3, "webhook_reordered": 0.3}
        options = {"seed": seed, "faults": faults, "webhook_nested": "mixed"}
        async with sandbox_and_receiver(**options) as (client, receiver):
            for number in range(10):
                await client.create(f"film-{number}")
            await asyncio.sleep(1000)
        return sorted(zip(receiver.mux_ids, receiver.mux_statuses, strict=True))

    assert await run(1) == await run(1) != await run(2)


async def test_url_set_at_run_time_receives_events_from_then_on() -> None:
    async with fake_receiver() as receiver, sandbox_client(**STEADY) as client:
        await client.create("one")
        await client.heygen("/v3/video-translations/id-slow")
        await asyncio.sleep(1)
        urls = {"mux_webhook_url": receiver.url, "heygen_webhook_url": receiver.url}
        assert (await client.control("/options", "POST", urls)).status == 200
        elsewhere = {"mux_webhook_url": "http://a.b/"}
        assert (await client.control("/options", "POST", elsewhere)).status == 400
        await asyncio.sleep(20)
        client.sandbox.change(mux_webhook_url="")
        await client.create("two-stuck")
        await asyncio.sleep(1)
        client.sandbox.change(mux_webhook_url=receiver.url + "/new")
        await asyncio.sleep(1000)
    arrivals = [
        (arrival.path, arrival.body.get("event_type") or arrival.type.rpartition(".")[2])
        for arrival in receiver.arrivals
    ]
    assert arrivals == [
        ("/", "video_translate.success"),
        ("/", "processing"),
        ("/new", "processing"),
        ("/new", "completed"),
    ]


async def test_clock_put_forward_sends_events_of_the_skipped_time() -> None:
    async with sandbox_and_receiver(**ENDLESS) as (client, receiver):
        await client.create("one")
        await client.heygen("/v3/video-translations/id-slow")
        await asyncio.sleep(1)
        client.sandbox.advance(2e6)
        await asyncio.sleep(1)
    assert len(receiver.arrivals) == 4


async def test_restart_sends_only_events_that_are_due_later(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite"
    async with fake_receiver() as receiver:
        options = {
            **STEADY,
            "heygen_finish_seconds": 30.0,
            "mux_webhook_url": receiver.url,
            "heygen_webhook_url": receiver.url,
        }
        async with sandbox_client(state, **options) as client:
            await client.create("one")
            cancelled = (await client.create("two")).data["id"]
            await client.cancel_job(cancelled)
            await client.heygen("/v3/video-translations/id-slow")
            await asyncio.sleep(20)
        assert len(receiver.arrivals) == 4
        await asyncio.sleep(10_000)
        assert len(receiver.arrivals) == 4
        async with sandbox_client(state, **options):
            await asyncio.sleep(1000)
    later = [arrival.body.get("event_type") or arrival.type for arrival in receiver.arrivals[4:]]
    assert later == ["video_translate.success", "robots.job.translate_captions.completed"]


@pytest.mark.parametrize("has_state_file", [True, False])
async def test_stopped_and_restarted_sandbox_sends_each_event_once(
    tmp_path: Path, has_state_file: bool
) -> None:
    state = tmp_path / "state.sqlite" if has_state_file else None
    async with (
        fake_receiver() as receiver,
        sandbox_client(state, mux_webhook_url=receiver.url, **STEADY) as client,
    ):
        await client.create("one")
        await asyncio.sleep(1)
        await client.sandbox.stop()
        await client.sandbox.start()
        await asyncio.sleep(1000)
    assert receiver.mux_statuses == STATUSES


async def test_stop_drops_open_attempts_and_queued_events() -> None:
    async with sandbox_and_receiver(webhook_delay=1.0) as (client, receiver):
        receiver.delay = 3.0
        for number in range(50):
            await client.create(f"film-{number}")
        await asyncio.sleep(2)
        await client.sandbox.stop()
        arrived = len(receiver.arrivals)
        await asyncio.sleep(1000)
        assert len(receiver.arrivals) == arrived == 32
        assert len(asyncio.all_tasks()) < 10
