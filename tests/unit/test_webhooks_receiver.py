"""The endpoint: what passes, what is refused, and that everything is bounded."""

from __future__ import annotations

import asyncio
import json
import socket
import zlib
from typing import Any

import aiohttp
import anyio
import pytest

from batchcap.errors import FatalError, UsageError
from batchcap.events import Warned, WebhookReceived, WebhookRefused
from batchcap.model import JobState
from batchcap.settings import ListenAddress
from batchcap.webhooks.dedup import RecentIds
from batchcap.webhooks.event import WebhookEvent
from batchcap.webhooks.receiver import Receiver
from batchcap.webhooks.signing import require_secrets
from tests.fakes import Recorder, clock, now
from tests.senders import (
    LINK,
    SECRETS,
    Post,
    heygen_event,
    mux_event,
    mux_headers,
    mux_job,
    receiving,
    webhooks,
)

pytestmark = pytest.mark.anyio

MUX, HEYGEN = webhooks()


async def health(post: Post) -> dict[str, Any]:
    status, body = await post.get("/health")
    assert status == 200
    shown: dict[str, Any] = json.loads(body)
    return shown


async def raw(post: Post, *pieces: bytes, until_closed: bool = False) -> tuple[bytes, float]:
    """Say something on the wire; returns the answer's head and the seconds it took."""
    port = int(post.receiver.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = clock()
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        said = await (reader.read() if until_closed else reader.readuntil(b"\r\n\r\n"))
        return said, clock() - began
    finally:
        writer.close()
        await writer.wait_closed()


def head(name: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST /webhooks/{name} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


async def test_a_signed_mux_event_is_handed_on_with_its_link_and_acknowledged() -> None:
    async with receiving() as post:
        assert await post.send("mux", mux_event()) == 200
    (notice,) = post.notices
    assert (notice.job.state, notice.job.link) == (JobState.COMPLETED, LINK)
    assert post.recorder.of(WebhookReceived) == [WebhookReceived("mux", "rjob_1")]
    assert not post.recorder.of(Warned)


async def test_an_event_that_comes_again_is_acknowledged_and_handed_on_once() -> None:
    async with receiving() as post:
        for _ in range(3):
            assert await post.send("mux", mux_event()) == 200
            assert await post.send("heygen", heygen_event()) == 200
        shown = await health(post)
    assert [notice.provider for notice in post.notices] == ["mux", "heygen"]
    assert (shown["received"], shown["duplicates"]) == (2, 4)


async def test_events_of_one_job_in_any_order_are_each_handed_on() -> None:
    words = ["completed", "pending", "processing"]
    async with receiving() as post:
        for word in words:
            assert await post.send("mux", mux_event(word, id=word)) == 200
    assert [notice.event_id for notice in post.notices] == words


async def test_the_memory_for_duplicates_is_bounded() -> None:
    recent = RecentIds(3)
    for n in (1, 2, 2, 3, 4):
        recent.add(n)
    assert [n in recent for n in (1, 2, 3, 4)] == [False, True, True, True]


async def test_a_bad_signature_is_refused_counted_and_told_once_a_minute() -> None:
    body = json.dumps(mux_event()).encode()
    old = mux_headers(body, at=now() - 301)
    async with receiving() as post:
        for headers in ({}, old, mux_headers(body, "another"), mux_headers(b"other")):
            assert await post.send("mux", body, headers) == 401
        assert await post.send("heygen", body, {}) == 401
        assert len(post.recorder.of(Warned)) == 2
        await anyio.sleep(61)
        assert await post.send("mux", body, {}) == 401
        shown = await health(post)
    assert shown["bad_signature"] == 6
    assert len(post.recorder.of(WebhookRefused)) == 6
    assert not post.notices
    told = [event.message for event in post.recorder.of(Warned)]
    assert len(told) == 3
    assert "MUX_WEBHOOK_SECRET" in told[0]
    assert not any(secret in message for message in told for secret in SECRETS.values())


async def test_what_is_about_something_else_is_acknowledged_and_left_alone() -> None:
    async with receiving() as post:
        assert await post.send("mux", mux_event(type="video.asset.ready")) == 200
        assert await post.send("mux", b"no json") == 200
        assert await post.send("heygen", {"event_type": "avatar_video.success"}) == 200
        shown = await health(post)
    assert shown["unrelated"] == 3
    assert not post.notices


async def test_health_tells_counts_and_nothing_secret() -> None:
    async with receiving() as post:
        assert await health(post) == {
            "status": "ok",
            "received": 0,
            "bad_signature": 0,
            "duplicates": 0,
            "unrelated": 0,
            "rejected": 0,
        }
        assert (await post.get("/health", "HEAD"))[0] == 200
        assert (await post.get("/health", "DELETE"))[0] == 405


async def test_other_paths_and_methods_are_not_there() -> None:
    async with receiving() as post:
        for path in ("/", "/webhooks", "/webhooks/other", "/../etc/passwd", "/%00", "/healthy"):
            assert (await post.get(path))[0] == 404, path
        assert (await post.get("/webhooks/mux"))[0] == 405
        assert (await post.get("/webhooks/heygen", "OPTIONS"))[0] == 200
        assert sum(count for count in (await health(post)).values() if count != "ok") == 0


async def test_the_public_path_is_understood_whether_the_proxy_strips_it_or_not() -> None:
    async with receiving(public_url="https://hooks.example/captions") as post:
        assert post.receiver.endpoints() == {
            "mux": "https://hooks.example/captions/webhooks/mux",
            "heygen": "https://hooks.example/captions/webhooks/heygen",
        }
        for path in ("/webhooks/mux", "/captions/webhooks/mux", "/webhooks/mux/"):
            assert (await post.get(path, "OPTIONS"))[0] == 200, path
        assert (await post.get("/captions/health"))[0] == 200


async def test_endpoints_are_the_bound_address_where_nothing_else_is_known() -> None:
    async with receiving(host="::1" if socket.has_ipv6 else "127.0.0.1") as post:
        assert post.receiver.endpoints()["mux"] == f"{post.receiver.url}/webhooks/mux"
        assert (await post.get("/health"))[0] == 200


async def test_a_body_above_a_mebibyte_is_413_however_it_comes() -> None:
    large = b"x" * 2_000_000

    async with receiving() as post:
        assert await post.send("mux", large) == 413
        said, _ = await raw(post, head("mux", "Content-Length: 99999999999"))
        assert b" 413 " in said
        chunk = b"186a0\r\n" + large[:100_000] + b"\r\n"
        said, _ = await raw(post, head("mux", "Transfer-Encoding: chunked"), *[chunk] * 11)
        assert b" 413 " in said
        assert (await health(post))["rejected"] == 3


async def test_a_compressed_body_is_taken_as_it_was_sent() -> None:
    """A bomb stays small, and a signature is over the bytes on the wire."""
    bomb = zlib.compress(b"x" * 5_000_000)
    headers = {**mux_headers(bomb), "Content-Encoding": "deflate"}
    async with receiving() as post:
        assert await post.send("mux", bomb, headers) == 200
        assert (await health(post))["unrelated"] == 1


async def test_a_body_that_does_not_come_is_given_up_after_5_seconds() -> None:
    async with receiving() as post:
        said, took = await raw(
            post, head("mux", "Content-Length: 100"), b"begun", until_closed=True
        )
    assert b" 408 " in said
    assert 5 <= took < 8


async def test_a_head_that_does_not_come_is_given_up() -> None:
    async with receiving() as post:
        said, took = await raw(post, b"POST /webhooks/mux HTTP/1.1\r\nHo", until_closed=True)
    assert said == b""
    assert took < 80


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked() -> None:
    body = json.dumps(mux_event()).encode()
    async with receiving() as post:
        assert await post.send("mux", body, mux_headers(body), expect100=True) == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /webhooks/mux HTTP/1.1\r\nHost: x\r\nMux-Signature: " + b"a" * 90_000 + b"\r\n\r\n",
        head("mux", "Content-Length: -1"),
        head("mux", "Transfer-Encoding: chunked") + b"zz\r\n",
    ],
    ids=["tls", "version", "header", "length", "chunk"],
)
async def test_what_is_no_http_is_answered_400_and_nothing_breaks(request_: bytes) -> None:
    async with receiving() as post:
        said, _ = await raw(post, request_)
        assert b" 400 " in said
        assert await post.send("mux", mux_event()) == 200


async def test_who_goes_away_in_the_middle_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    async with receiving() as post:
        port = int(post.receiver.url.rpartition(":")[2])
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head("mux", "Content-Length: 100") + b"half")
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.transport.abort()
        await asyncio.sleep(0.1)
        assert await post.send("mux", mux_event()) == 200
    assert not caplog.records


async def test_too_many_at_once_are_told_to_come_again() -> None:
    go_on = asyncio.Event()

    async def slow(_notice: WebhookEvent) -> None:
        await go_on.wait()

    async with receiving(slow) as post, anyio.create_task_group() as group:
        for n in range(64):
            group.start_soon(post.send, "mux", mux_event(id=str(n)))
        await anyio.sleep(0.5)
        assert await post.send("mux", mux_event(id="one more")) == 503
        go_on.set()
        await anyio.sleep(0.5)
        assert await post.send("mux", mux_event(id="one more")) == 200


async def test_too_many_a_second_are_told_to_come_again() -> None:
    answers: list[int] = []
    async with receiving() as post:

        async def send() -> None:
            answers.append(await post.send("heygen", b"x", {}))

        for _ in range(25):
            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(send)
        assert set(answers) == {401, 429}
        await anyio.sleep(2)
        assert await post.send("mux", mux_event()) == 200


async def test_idle_connections_are_bounded() -> None:
    async with receiving() as post:
        port = int(post.receiver.url.rpartition(":")[2])
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        await anyio.sleep(0.1)
        shut = sum(reader.at_eof() or reader.exception() is not None for reader, _ in opened)
        assert shut == 300 - 256
        for _, writer in opened:
            writer.close()
        await anyio.sleep(0.1)
        assert await post.send("mux", mux_event()) == 200


async def test_an_event_that_could_not_be_kept_is_asked_for_again() -> None:
    full = [FatalError("the disk is full"), FatalError("the disk is full")]

    async def keep(_notice: WebhookEvent) -> None:
        if full:
            raise full.pop()

    async with receiving(keep) as post:
        assert await post.send("mux", mux_event()) == 503
        assert await post.send("mux", mux_event()) == 503
        assert await post.send("mux", mux_event()) == 200
        shown = await health(post)
    assert (shown["received"], shown["rejected"], shown["duplicates"]) == (1, 2, 0)
    (warned,) = post.recorder.of(Warned)
    assert "the disk is full" in warned.message


async def test_a_keeping_that_takes_too_long_is_given_up_within_the_provider_s_5_seconds() -> None:
    async def slow(_notice: WebhookEvent) -> None:
        await anyio.sleep(60)

    async with receiving(slow) as post:
        began = clock()
        assert await post.send("mux", mux_event()) == 503
        assert clock() - began < 5


async def test_without_a_secret_it_does_not_start() -> None:
    where = ListenAddress("127.0.0.1", 0)
    with pytest.raises(UsageError, match="HEYGEN_WEBHOOK_SECRET") as caught:
        require_secrets(webhooks(), {"MUX_WEBHOOK_SECRET": "x"}, where)
    assert "MUX_WEBHOOK_SECRET" not in caught.value.message
    with pytest.raises(UsageError, match="MUX_WEBHOOK_SECRET and HEYGEN_WEBHOOK_SECRET"):
        Receiver(where, webhooks(), {}, lambda _notice: None, Recorder(), now)
    require_secrets([MUX], {"MUX_WEBHOOK_SECRET": "x"}, where)


async def test_insecure_events_are_hearsay_and_a_secret_is_checked_all_the_same() -> None:
    async with receiving(secrets={"HEYGEN_WEBHOOK_SECRET": "s"}, insecure=True) as post:
        assert await post.send("mux", mux_event(), {}) == 200
        assert await post.send("mux", mux_event("processing", id="2"), {}) == 200
        assert await post.send("heygen", heygen_event(), {}) == 401
    ended, running = post.notices
    assert (ended.job.state, ended.job.link, ended.job.track) == (JobState.ENDED, None, None)
    assert running.job.state is JobState.RUNNING


async def test_only_the_given_providers_have_an_endpoint() -> None:
    async with receiving(which=[HEYGEN]) as post:
        assert await post.send("mux", mux_event()) == 404
        assert await post.send("heygen", heygen_event()) == 200


async def test_a_taken_port_is_told_with_what_to_do() -> None:
    async with receiving() as post:
        port = int(post.receiver.url.rpartition(":")[2])
        with pytest.raises(FatalError, match=f"cannot listen on 127.0.0.1:{port}") as caught:
            async with receiving(port=port):
                pass
    assert caught.value.hint


async def test_an_address_that_is_not_ours_is_told() -> None:
    with pytest.raises(FatalError, match="cannot listen on"):
        async with receiving(host="192.0.2.1"):
            pass


async def test_leaving_lets_what_is_in_the_air_end_and_takes_nothing_new() -> None:
    answers: list[int] = []

    async def keep(_notice: WebhookEvent) -> None:
        await anyio.sleep(3)

    async with anyio.create_task_group() as group:
        async with receiving(keep) as post:

            async def send() -> None:
                answers.append(await post.send("mux", mux_event()))

            group.start_soon(send)
            await anyio.sleep(1)
            began = clock()
        assert 1.5 < clock() - began < 4
        with pytest.raises(aiohttp.ClientConnectionError):
            await post.get("/health")
    assert answers == [200]


async def test_leaving_waits_for_nobody_for_longer_than_5_seconds() -> None:
    async with receiving() as post:
        port = int(post.receiver.url.rpartition(":")[2])
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        for _, writer in connections[1:]:
            writer.write(head("mux", "Content-Length: 9"))
        await anyio.sleep(0.1)
        began = clock()
    assert clock() - began < 8
    for _, writer in connections:
        writer.close()


async def test_a_cancelled_run_does_not_wait_at_all() -> None:
    async def keep(_notice: WebhookEvent) -> None:
        await anyio.sleep(3)

    began = clock()
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with receiving(keep) as post:
                group.start_soon(_sent, post)
                await anyio.sleep(0.5)
                scope.cancel()
                await anyio.sleep(1)
        assert clock() - began < 2.6


async def _sent(post: Post) -> None:
    with pytest.raises(aiohttp.ClientConnectionError):
        await post.send("mux", mux_event(data=mux_job()))


async def test_the_answers_do_not_say_what_answers() -> None:
    async with receiving() as post:
        for path in ("/health", "/"):
            said, _ = await raw(post, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert b"aiohttp" not in said
            assert b"Python" not in said
