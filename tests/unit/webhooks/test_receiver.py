"""The receiver: accepted, refused and rejected events, and its limits."""

from __future__ import annotations

import asyncio
import json
import socket
import zlib

import aiohttp
import anyio
import pytest

from batchcap.domain.errors import FatalError, UsageError
from batchcap.domain.events import Warned, WebhookReceived, WebhookRefused
from batchcap.domain.models import JobState
from batchcap.domain.settings import ListenAddress
from batchcap.webhooks.dedup import RecentIds
from batchcap.webhooks.event import WebhookEvent
from batchcap.webhooks.receiver import Receiver
from batchcap.webhooks.signing import require_secrets
from tests.harness.clock import clock, now
from tests.harness.observers import Recorder
from tests.harness.webhooks import (
    LINK,
    SECRETS,
    ReceiverHarness,
    all_webhooks,
    heygen_event,
    mux_event,
    mux_headers,
    mux_job,
    running_receiver,
)

pytestmark = pytest.mark.anyio

MUX, HEYGEN = all_webhooks()


async def send_raw(
    harness: ReceiverHarness, *parts: bytes, until_closed: bool = False
) -> tuple[bytes, float]:
    """Send bytes; returns the head of the response and the seconds it took.

    With `until_closed`, returns everything until the receiver closes the connection.
    """
    port = int(harness.receiver.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    start = clock()
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        response = await (reader.read() if until_closed else reader.readuntil(b"\r\n\r\n"))
        return response, clock() - start
    finally:
        writer.close()
        await writer.wait_closed()


def request_head(provider: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST /webhooks/{provider} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


async def test_receiver_with_signed_event_passes_it_on_and_acknowledges() -> None:
    async with running_receiver() as harness:
        assert await harness.send("mux", mux_event()) == 200
    (event,) = harness.events
    assert (event.job.state, event.job.link) == (JobState.COMPLETED, LINK)
    assert harness.recorder.of(WebhookReceived) == [WebhookReceived("mux", "rjob_1")]
    assert not harness.recorder.of(Warned)


async def test_receiver_with_duplicate_event_passes_it_on_once() -> None:
    async with running_receiver() as harness:
        for _ in range(3):
            assert await harness.send("mux", mux_event()) == 200
            assert await harness.send("heygen", heygen_event()) == 200
        counts = await harness.health()
    assert [event.provider for event in harness.events] == ["mux", "heygen"]
    assert (counts["received"], counts["duplicates"]) == (2, 4)


async def test_receiver_passes_on_events_of_a_job_in_order_of_arrival() -> None:
    statuses = ["completed", "pending", "processing"]
    async with running_receiver() as harness:
        for status in statuses:
            assert await harness.send("mux", mux_event(status, id=status)) == 200
    assert [event.event_id for event in harness.events] == statuses


async def test_recent_ids_above_maximum_forgets_the_oldest() -> None:
    recent_ids = RecentIds(3)
    for n in (1, 2, 2, 3, 4):
        recent_ids.add(n)
    assert [n in recent_ids for n in (1, 2, 3, 4)] == [False, True, True, True]


async def test_receiver_with_bad_signature_returns_401_and_warns_once_a_minute() -> None:
    body = json.dumps(mux_event()).encode()
    old = mux_headers(body, at=now() - 301)
    async with running_receiver() as harness:
        for headers in ({}, old, mux_headers(body, "another"), mux_headers(b"other")):
            assert await harness.send("mux", body, headers) == 401
        assert await harness.send("heygen", body, {}) == 401
        assert len(harness.recorder.of(Warned)) == 2
        await anyio.sleep(61)
        assert await harness.send("mux", body, {}) == 401
        counts = await harness.health()
    assert counts["bad_signature"] == 6
    assert len(harness.recorder.of(WebhookRefused)) == 6
    assert not harness.events
    messages = [event.message for event in harness.recorder.of(Warned)]
    assert len(messages) == 3
    assert "MUX_WEBHOOK_SECRET" in messages[0]
    assert not any(secret in message for message in messages for secret in SECRETS.values())


async def test_receiver_with_unrelated_event_acknowledges_and_ignores_it() -> None:
    async with running_receiver() as harness:
        assert await harness.send("mux", mux_event(type="video.asset.ready")) == 200
        assert await harness.send("mux", b"no json") == 200
        assert await harness.send("heygen", {"event_type": "avatar_video.success"}) == 200
        counts = await harness.health()
    assert counts["unrelated"] == 3
    assert not harness.events


async def test_health_returns_counts_and_nothing_else() -> None:
    async with running_receiver() as harness:
        assert await harness.health() == {
            "status": "ok",
            "received": 0,
            "bad_signature": 0,
            "duplicates": 0,
            "unrelated": 0,
            "rejected": 0,
        }
        assert (await harness.request("/health", "HEAD"))[0] == 200
        assert (await harness.request("/health", "DELETE"))[0] == 405


async def test_receiver_with_other_path_or_method_returns_404_or_405() -> None:
    async with running_receiver() as harness:
        for path in ("/", "/webhooks", "/webhooks/other", "/../etc/passwd", "/%00", "/healthy"):
            assert (await harness.request(path))[0] == 404, path
        assert (await harness.request("/webhooks/mux"))[0] == 405
        assert (await harness.request("/webhooks/heygen", "OPTIONS"))[0] == 200
        assert sum(count for count in (await harness.health()).values() if count != "ok") == 0


async def test_receiver_accepts_the_public_path_stripped_or_not() -> None:
    async with running_receiver(public_url="https://hooks.example/captions") as harness:
        assert harness.receiver.endpoints() == {
            "mux": "https://hooks.example/captions/webhooks/mux",
            "heygen": "https://hooks.example/captions/webhooks/heygen",
        }
        for path in ("/webhooks/mux", "/captions/webhooks/mux", "/webhooks/mux/"):
            assert (await harness.request(path, "OPTIONS"))[0] == 200, path
        assert (await harness.request("/captions/health"))[0] == 200


async def test_endpoints_without_public_url_have_the_bound_address() -> None:
    async with running_receiver(host="::1" if socket.has_ipv6 else "127.0.0.1") as harness:
        assert harness.receiver.endpoints()["mux"] == f"{harness.receiver.url}/webhooks/mux"
        assert (await harness.request("/health"))[0] == 200


async def test_receiver_with_body_above_1_mib_returns_413() -> None:
    large = b"x" * 2_000_000

    async with running_receiver() as harness:
        assert await harness.send("mux", large) == 413
        response, _ = await send_raw(harness, request_head("mux", "Content-Length: 99999999999"))
        assert b" 413 " in response
        chunk = b"186a0\r\n" + large[:100_000] + b"\r\n"
        response, _ = await send_raw(
            harness, request_head("mux", "Transfer-Encoding: chunked"), *[chunk] * 11
        )
        assert b" 413 " in response
        assert (await harness.health())["rejected"] == 3


async def test_receiver_does_not_decompress_a_body() -> None:
    """A decompression bomb stays small, and the signature covers the bytes as sent."""
    bomb = zlib.compress(b"x" * 5_000_000)
    headers = {**mux_headers(bomb), "Content-Encoding": "deflate"}
    async with running_receiver() as harness:
        assert await harness.send("mux", bomb, headers) == 200
        assert (await harness.health())["unrelated"] == 1


async def test_receiver_without_body_returns_408_after_5_seconds() -> None:
    async with running_receiver() as harness:
        response, seconds = await send_raw(
            harness, request_head("mux", "Content-Length: 100"), b"incomplete", until_closed=True
        )
    assert b" 408 " in response
    assert 5 <= seconds < 8


async def test_receiver_without_complete_head_closes_the_connection() -> None:
    async with running_receiver() as harness:
        response, seconds = await send_raw(
            harness, b"POST /webhooks/mux HTTP/1.1\r\nHo", until_closed=True
        )
    assert response == b""
    assert seconds < 80


async def test_receiver_with_expect_100_asks_for_the_body() -> None:
    body = json.dumps(mux_event()).encode()
    async with running_receiver() as harness:
        assert await harness.send("mux", body, mux_headers(body), expect100=True) == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /webhooks/mux HTTP/1.1\r\nHost: x\r\nMux-Signature: " + b"a" * 90_000 + b"\r\n\r\n",
        request_head("mux", "Content-Length: -1"),
        request_head("mux", "Transfer-Encoding: chunked") + b"zz\r\n",
    ],
    ids=["tls", "version", "header", "length", "chunk"],
)
async def test_receiver_with_malformed_http_returns_400(request_: bytes) -> None:
    async with running_receiver() as harness:
        response, _ = await send_raw(harness, request_)
        assert b" 400 " in response
        assert await harness.send("mux", mux_event()) == 200


async def test_receiver_with_aborted_connections_logs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running_receiver() as harness:
        port = int(harness.receiver.url.rpartition(":")[2])
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request_head("mux", "Content-Length: 100") + b"half")
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.transport.abort()
        await asyncio.sleep(0.1)
        assert await harness.send("mux", mux_event()) == 200
    assert not caplog.records


async def test_receiver_above_64_concurrent_requests_returns_503() -> None:
    release = asyncio.Event()

    async def slow(_event: WebhookEvent) -> None:
        await release.wait()

    async with running_receiver(slow) as harness, anyio.create_task_group() as group:
        for n in range(64):
            group.start_soon(harness.send, "mux", mux_event(id=str(n)))
        await anyio.sleep(0.5)
        assert await harness.send("mux", mux_event(id="another")) == 503
        release.set()
        await anyio.sleep(0.5)
        assert await harness.send("mux", mux_event(id="another")) == 200


async def test_receiver_above_1000_requests_a_second_returns_429() -> None:
    statuses: list[int] = []
    async with running_receiver() as harness:

        async def send() -> None:
            statuses.append(await harness.send("heygen", b"x", {}))

        for _ in range(25):
            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(send)
        assert set(statuses) == {401, 429}
        await anyio.sleep(2)
        assert await harness.send("mux", mux_event()) == 200


async def test_receiver_above_256_connections_closes_the_newest() -> None:
    async with running_receiver() as harness:
        port = int(harness.receiver.url.rpartition(":")[2])
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        await anyio.sleep(0.1)
        closed = sum(reader.at_eof() or reader.exception() is not None for reader, _ in connections)
        assert closed == 300 - 256
        for _, writer in connections:
            writer.close()
        await anyio.sleep(0.1)
        assert await harness.send("mux", mux_event()) == 200


async def test_receiver_with_failing_handler_returns_503_until_it_succeeds() -> None:
    errors = [FatalError("the disk is full"), FatalError("the disk is full")]

    async def store(_event: WebhookEvent) -> None:
        if errors:
            raise errors.pop()

    async with running_receiver(store) as harness:
        assert await harness.send("mux", mux_event()) == 503
        assert await harness.send("mux", mux_event()) == 503
        assert await harness.send("mux", mux_event()) == 200
        counts = await harness.health()
    assert (counts["received"], counts["rejected"], counts["duplicates"]) == (1, 2, 0)
    (warning,) = harness.recorder.of(Warned)
    assert "the disk is full" in warning.message


async def test_receiver_with_slow_handler_returns_503_within_5_seconds() -> None:
    async def slow(_event: WebhookEvent) -> None:
        await anyio.sleep(60)

    async with running_receiver(slow) as harness:
        start = clock()
        assert await harness.send("mux", mux_event()) == 503
        assert clock() - start < 5


async def test_receiver_without_secret_does_not_start() -> None:
    address = ListenAddress("127.0.0.1", 0)
    with pytest.raises(UsageError, match="HEYGEN_WEBHOOK_SECRET") as caught:
        require_secrets(all_webhooks(), {"MUX_WEBHOOK_SECRET": "x"}, address)
    assert "MUX_WEBHOOK_SECRET" not in caught.value.message
    with pytest.raises(UsageError, match="MUX_WEBHOOK_SECRET and HEYGEN_WEBHOOK_SECRET"):
        Receiver(address, all_webhooks(), {}, lambda _event: None, Recorder(), now)
    require_secrets([MUX], {"MUX_WEBHOOK_SECRET": "x"}, address)


async def test_insecure_receiver_passes_on_untrusted_events_and_still_checks_secrets() -> None:
    async with running_receiver(secrets={"HEYGEN_WEBHOOK_SECRET": "s"}, insecure=True) as harness:
        assert await harness.send("mux", mux_event(), {}) == 200
        assert await harness.send("mux", mux_event("processing", id="2"), {}) == 200
        assert await harness.send("heygen", heygen_event(), {}) == 401
    ended, running = harness.events
    assert (ended.job.state, ended.job.link, ended.job.track) == (JobState.NOT_RUNNING, None, None)
    assert running.job.state is JobState.RUNNING


async def test_receiver_has_endpoints_of_the_given_webhooks_only() -> None:
    async with running_receiver(webhooks=[HEYGEN]) as harness:
        assert await harness.send("mux", mux_event()) == 404
        assert await harness.send("heygen", heygen_event()) == 200


async def test_receiver_on_taken_port_raises_with_a_hint() -> None:
    async with running_receiver() as harness:
        port = int(harness.receiver.url.rpartition(":")[2])
        with pytest.raises(FatalError, match=f"cannot listen on 127.0.0.1:{port}") as caught:
            async with running_receiver(port=port):
                pass
    assert caught.value.hint


async def test_receiver_on_foreign_address_raises() -> None:
    with pytest.raises(FatalError, match="cannot listen on"):
        async with running_receiver(host="192.0.2.1"):
            pass


async def test_leaving_receiver_finishes_open_requests_and_accepts_no_new_ones() -> None:
    statuses: list[int] = []

    async def store(_event: WebhookEvent) -> None:
        await anyio.sleep(3)

    async with anyio.create_task_group() as group:
        async with running_receiver(store) as harness:

            async def send() -> None:
                statuses.append(await harness.send("mux", mux_event()))

            group.start_soon(send)
            await anyio.sleep(1)
            start = clock()
        assert 1.5 < clock() - start < 4
        with pytest.raises(aiohttp.ClientConnectionError):
            await harness.request("/health")
    assert statuses == [200]


async def test_leaving_receiver_waits_at_most_5_seconds() -> None:
    async with running_receiver() as harness:
        port = int(harness.receiver.url.rpartition(":")[2])
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        for _, writer in connections[1:]:
            writer.write(request_head("mux", "Content-Length: 9"))
        await anyio.sleep(0.1)
        start = clock()
    assert clock() - start < 8
    for _, writer in connections:
        writer.close()


async def test_cancelled_receiver_does_not_wait() -> None:
    async def store(_event: WebhookEvent) -> None:
        await anyio.sleep(3)

    start = clock()
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with running_receiver(store) as harness:
                group.start_soon(_send_until_closed, harness)
                await anyio.sleep(0.5)
                scope.cancel()
                await anyio.sleep(1)
        assert clock() - start < 2.6


async def _send_until_closed(harness: ReceiverHarness) -> None:
    with pytest.raises(aiohttp.ClientConnectionError):
        await harness.send("mux", mux_event(data=mux_job()))


async def test_responses_do_not_name_the_server_software() -> None:
    async with running_receiver() as harness:
        for path in ("/health", "/"):
            response, _ = await send_raw(
                harness, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            )
            assert b"aiohttp" not in response
            assert b"Python" not in response
