"""The API client over real sockets, with failures that servers cause."""

from __future__ import annotations

import asyncio
import email.utils
import socket
from contextlib import AsyncExitStack

import anyio
import orjson
import pytest
from aiohttp import web

from batchcap.domain.errors import Ambiguous, FatalError, NotAccepted, Stopped, Unavailable
from batchcap.domain.events import RequestSent, Throttled, Warned
from batchcap.transport.rate_limiter import Priority
from tests.harness.api import (
    ScriptedServer,
    response_with,
    running_api,
    running_api_and_server,
)
from tests.harness.clock import clock, now
from tests.harness.servers import http_server, raw_server, read_request

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def test_get_request_has_query_and_credentials() -> None:
    server = ScriptedServer(response_with(200, {"data": 1}))
    async with running_api_and_server(server) as harness:
        answer = await harness.get("/a%2Fb%41", q="x y&z=ü")
    assert answer.status == 200
    assert answer.json() == {"data": 1}
    assert server.requests[0].raw_path == "/a%2Fb%41?q=x+y%26z%3D%C3%BC"
    assert server.requests[0].headers["Authorization"] == "Basic secret"
    assert server.requests[0].headers["User-Agent"].startswith("batchcap/")
    assert [event.bucket for event in harness.observer.of(RequestSent)] == ["read"]


async def test_post_request_has_its_body_as_json() -> None:
    server = ScriptedServer(response_with(201, {"data": {"id": "j"}}))
    async with running_api_and_server(server) as harness:
        assert (await harness.post("/jobs", {"a": "ü"})).data() == {"id": "j"}
    assert orjson.loads(server.bodies[0]) == {"a": "ü"}
    assert server.requests[0].headers["Content-Type"] == "application/json"
    assert [event.bucket for event in harness.observer.of(RequestSent)] == ["write"]


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 401, 402, 403, 404, 409, 410, 422])
@pytest.mark.parametrize("method", ["get", "post"])
async def test_get_response_below_500_is_returned(method: str, status: int) -> None:
    server = ScriptedServer(response_with(status))
    async with running_api_and_server(server) as harness:
        assert (await getattr(harness, method)()).status == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 599])
async def test_get_always_failing_is_tried_six_times_with_backoff(status: int) -> None:
    server = ScriptedServer(response_with(status, {"error": "no"}))
    async with running_api_and_server(server) as harness:
        with pytest.raises(Unavailable, match=f"{status}: no"):
            await harness.get()
    assert server.gaps == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert not harness.observer.of(Throttled)


async def test_get_failing_at_first_returns_the_later_response() -> None:
    server = ScriptedServer(*[response_with(503)] * 5, response_with(200))
    async with running_api_and_server(server) as harness:
        assert (await harness.get()).ok
    assert len(server.requests) == 6


async def test_get_with_lost_response_is_repeated() -> None:
    times: list[float] = []

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        times.append(clock())
        if len(times) == 1:
            writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            await writer.drain()

    async with raw_server(answer_once) as url, running_api(url) as harness:
        assert (await harness.get()).ok
        with pytest.raises(Unavailable, match="GET /x got no response"):
            await harness.get(q="secret")
    assert len(times) == 1 + 6


async def test_get_response_body_cut_is_retried() -> None:
    count = 0

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_request(reader)
        count += 1
        whole = OK if count == 3 else OK.replace(b"Length: 2", b"Length: 9")
        writer.write(whole.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await writer.drain()

    async with raw_server(cut) as url, running_api(url) as harness:
        assert (await harness.get()).ok
    assert count == 3


async def test_get_timeout_is_retried() -> None:
    count = 0

    async def slow(_request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        await asyncio.sleep(0 if count == 2 else 10_000)
        return web.Response(body=b"{}")

    started = clock()
    async with running_api_and_server(slow) as harness:
        assert (await harness.get()).ok
    assert count == 2
    assert 29 <= clock() - started <= 65


async def test_get_retry_after_counts_as_no_attempt_and_pauses_the_bucket() -> None:
    server = ScriptedServer(*[response_with(503, Retry_After="100")] * 30, response_with(200))
    async with running_api_and_server(server) as harness, anyio.create_task_group() as group:
        started = clock()
        group.start_soon(harness.get)
        await asyncio.sleep(1)
        assert harness.read.paused_for == pytest.approx(99, abs=0.1)
        assert harness.write.paused_for == 0
        await harness.api.get("/other", priority=Priority.FINISH)
    assert len(server.requests) == 32
    assert clock() - started >= 1500
    assert server.times[1] - started >= 100


async def test_get_retry_after_as_a_date_is_respected() -> None:
    server = ScriptedServer(response_with(429), response_with(200))
    async with running_api_and_server(server) as harness:
        peers = now() - 7200  # its clock is two hours late, and counts
        date, at = (email.utils.formatdate(when, usegmt=True) for when in (peers, peers + 600))
        server.answers[0] = response_with(429, Retry_After=at, Date=date)
        assert (await harness.get()).ok
    assert server.gaps[0] == pytest.approx(600, abs=1.5)


async def test_get_429_is_observed_and_pauses_all_requests() -> None:
    server = ScriptedServer(response_with(429, Retry_After="30"), response_with(200))
    async with running_api_and_server(server) as harness:
        assert (await harness.get()).ok
    assert harness.observer.of(Throttled) == [Throttled("read", 30.0)]
    assert server.gaps[0] == pytest.approx(30, abs=0.1)


async def test_429s_without_retry_after_use_up_the_attempts_and_are_all_counted() -> None:
    server = ScriptedServer(response_with(429))
    async with running_api_and_server(server) as harness:
        with pytest.raises(Unavailable):
            await harness.get()
    assert len(server.requests) == 6
    assert len(harness.observer.of(Throttled)) == 6


async def test_get_retry_after_of_zero_still_waits() -> None:
    server = ScriptedServer(response_with(429, Retry_After="0"))
    async with running_api_and_server(server) as harness:
        with pytest.raises(Unavailable):
            await harness.get()
    assert len(server.requests) == 6
    assert server.times[-1] - server.times[0] > 10


async def test_post_429_is_not_accepted_and_retried() -> None:
    server = ScriptedServer(
        response_with(429, Retry_After="7"), response_with(429), response_with(201)
    )
    async with running_api_and_server(server) as harness:
        assert (await harness.post(body={"n": 1})).status == 201
    assert server.bodies == [b'{"n":1}'] * 3
    assert [event.bucket for event in harness.observer.of(Throttled)] == ["write", "write"]
    assert server.gaps[0] == pytest.approx(7, abs=0.1)


async def test_send_slot_after_a_429_sends_once_and_returns_the_delay() -> None:
    server = ScriptedServer(
        response_with(429), response_with(429, Retry_After="7"), response_with(201)
    )
    failed: list[NotAccepted] = []
    async with running_api_and_server(server) as harness:
        for _ in range(2):
            with pytest.raises(NotAccepted) as caught:
                async with harness.api.send_slot(failures=len(failed)) as slot:
                    await slot.post("/x", {})
            failed.append(caught.value)
        async with harness.api.send_slot(failures=failed[-1].failures) as slot:
            assert (await slot.post("/x", {})).status == 201
    assert [error.failures for error in failed] == [1, 1]
    assert [error.delay for error in failed] == [0.0, 0.0]  # the bucket has paused
    assert server.gaps == [pytest.approx(0.5, abs=0.1), pytest.approx(7, abs=0.1)]


async def test_send_slot_gives_its_connection_back_once_the_post_is_answered() -> None:
    """Otherwise, if creates used all connections, no GET could find out why one was refused."""
    async with running_api_and_server(
        ScriptedServer(response_with(422), response_with(200))
    ) as harness:
        for _ in range(7):
            await harness.connections.acquire()
        async with harness.api.send_slot() as slot:
            assert harness.connections.value == 0
            await slot.post("/x", {})
            assert (await harness.get()).ok
        for _ in range(7):
            harness.connections.release()


async def test_send_slot_that_is_left_without_a_post_gives_its_connection_back() -> None:
    server = ScriptedServer(response_with(201))
    async with running_api_and_server(server) as harness:
        with pytest.raises(ZeroDivisionError):
            async with harness.api.send_slot():
                raise ZeroDivisionError
        assert harness.connections.value == 8
    assert not server.requests
    assert not harness.observer.of(RequestSent)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_post_server_error_is_ambiguous_and_never_retried(status: int) -> None:
    server = ScriptedServer(response_with(status))
    async with running_api_and_server(server) as harness:
        with pytest.raises(Ambiguous):
            await harness.post()
    await asyncio.sleep(3600)
    assert len(server.requests) == 1


async def test_post_failure_with_retry_after_pauses_the_next_posts() -> None:
    server = ScriptedServer(response_with(503, Retry_After="60"), response_with(201))
    async with running_api_and_server(server) as harness:
        with pytest.raises(Ambiguous):
            await harness.post()
        await harness.post()
    assert server.gaps[0] >= 60


async def test_post_connection_dropped_is_ambiguous() -> None:
    count = 0

    async def drop(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_request(reader)
        count += 1

    async with raw_server(drop) as url, running_api(url) as harness:
        with pytest.raises(Ambiguous, match="POST /x got no response"):
            await harness.post()
        await asyncio.sleep(3600)
    assert count == 1


async def test_post_response_cut_is_ambiguous() -> None:
    count = 0

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_request(reader)
        count += 1
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()

    async with raw_server(cut) as url, running_api(url) as harness:
        with pytest.raises(Ambiguous):
            await harness.post()
    assert count == 1


async def test_post_response_that_is_not_http_is_ambiguous() -> None:
    count = 0

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_request(reader)
        count += 1
        writer.write(b"\x15\x03\x01 what?\r\n\r\n")
        await writer.drain()

    async with raw_server(babble) as url, running_api(url) as harness:
        with pytest.raises(Ambiguous):
            await harness.post()
    assert count == 1


async def test_post_timeout_is_ambiguous() -> None:
    count = 0

    async def never(_request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        await asyncio.sleep(10_000)
        return web.Response()

    started = clock()
    async with running_api_and_server(never) as harness:
        with pytest.raises(Ambiguous):
            await harness.post()
        assert 100 < clock() - started < 130
        await asyncio.sleep(3600)
    assert count == 1


async def test_post_response_after_half_a_minute_is_returned() -> None:
    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(45)
        return web.Response(status=201, body=b"{}")

    async with running_api_and_server(slow) as harness:
        assert (await harness.post()).status == 201


@pytest.mark.parametrize("method", ["get", "post"])
async def test_request_with_refused_connection_is_repeated(method: str) -> None:
    async with AsyncExitStack() as server:
        url = await server.enter_async_context(http_server(ScriptedServer(response_with(200))))
        async with running_api(url) as harness:
            assert (await harness.get()).ok
            await server.aclose()
            started = clock()
            with pytest.raises(Unavailable, match="cannot connect to"):
                await getattr(harness, method)()
    assert len(harness.observer.of(RequestSent)) == 1 + 6
    assert clock() - started == pytest.approx(15.5, abs=0.1)


CLOSED = "http://127.0.0.1:1"
"""A port on which no server listens."""


@pytest.mark.parametrize("method", ["get", "post"])
async def test_provider_that_never_answered_stops_after_a_minute(method: str) -> None:
    async with running_api(CLOSED) as harness:
        started = clock()
        with pytest.raises(FatalError) as caught:
            await getattr(harness, method)()
    assert clock() - started == pytest.approx(60, abs=1)
    assert caught.value.provider == "mux"
    assert caught.value.message == "mux: cannot connect to 127.0.0.1:1: Connection refused"
    assert "--ca" in caught.value.hint
    (warned,) = harness.observer.of(Warned)
    assert warned.message == f"{caught.value.message}; trying for 60 s"


async def test_first_failure_is_reported_at_once() -> None:
    async with running_api(CLOSED) as harness, anyio.create_task_group() as group:
        group.start_soon(harness.get)
        await asyncio.sleep(0.1)
        assert harness.observer.of(Warned)
        group.cancel_scope.cancel()


async def test_connection_that_hangs_is_reported_within_ten_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for task in waiting:
            task.setblocking(False)
            task.connect_ex(("127.0.0.1", port))
        async with (
            running_api(f"http://127.0.0.1:{port}") as harness,
            anyio.create_task_group() as group,
        ):
            group.start_soon(harness.get)
            await asyncio.sleep(9)
            (warned,) = harness.observer.of(Warned)
            assert "not connected within 8 s" in warned.message
            group.cancel_scope.cancel()
        for task in waiting:
            task.close()


async def test_failure_after_any_response_in_the_first_minute_is_an_outage() -> None:
    async with http_server(ScriptedServer(response_with(503))) as url:
        port = int(url.rpartition(":")[2])
    async with running_api(url) as harness, anyio.create_task_group() as group:

        async def ask() -> None:
            with pytest.raises(Unavailable):
                await harness.get()

        group.start_soon(ask)
        await asyncio.sleep(50)
        async with http_server(ScriptedServer(response_with(503)), port=port):
            await asyncio.sleep(8.5)
        await asyncio.sleep(60)
        group.start_soon(ask)


async def test_create_that_may_have_arrived_stays_ambiguous_after_the_first_minute() -> None:
    async def drop(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_request(reader)

    async with raw_server(drop) as url, running_api(url) as harness:
        for _ in range(3):
            with pytest.raises(Ambiguous):
                await harness.post(body={})
            await asyncio.sleep(50)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["get", "post"])
async def test_api_redirect_is_not_followed_and_sends_no_credential(
    method: str, status: int
) -> None:
    elsewhere = ScriptedServer(response_with(200))
    async with http_server(elsewhere) as other:
        server = ScriptedServer(response_with(status, Location=f"{other}/stolen"))
        async with running_api_and_server(server) as harness:
            assert (await getattr(harness, method)()).status == status
    assert not elsewhere.requests


async def test_cookies_are_neither_kept_nor_sent() -> None:
    server = ScriptedServer(response_with(200, Set_Cookie="a=b"))
    async with (
        http_server(server) as url,
        running_api(url.replace("127.0.0.1", "localhost")) as harness,
    ):
        await harness.get()
        await harness.get()
        await harness.post()
    assert not any("Cookie" in request.headers for request in server.requests)


async def test_api_response_above_the_size_limit_is_no_response() -> None:
    async def flood(_request: web.Request) -> web.Response:
        return web.Response(body=b" " * (17 * 2**20))

    async with running_api_and_server(flood) as harness:
        with pytest.raises(Ambiguous, match="more than 16777216 bytes"):
            await harness.post()


async def test_api_compressed_bomb_is_limited_by_its_decompressed_size() -> None:
    async def bomb(_request: web.Request) -> web.Response:
        response = web.Response(body=b" " * (40 * 2**20))
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with running_api_and_server(bomb) as harness:
        with pytest.raises(Ambiguous, match="more than 16777216 bytes"):
            await harness.post()


async def test_rate_limit_headers_pause_until_the_refill() -> None:
    server = ScriptedServer(response_with(200, X_RateLimit_Remaining="0", X_RateLimit_Reset="40"))
    async with running_api_and_server(server, rate=5.0) as harness:
        await harness.get()
        assert harness.read.paused_for == pytest.approx(40, abs=0.1)
        assert harness.write.paused_for == 0


async def test_rate_limit_reset_as_unix_time_is_understood() -> None:
    server = ScriptedServer(response_with(200))
    async with running_api_and_server(server, rate=5.0) as harness:
        reset = str(int(now()) + 90)
        server.answers = [response_with(200, X_RateLimit_Remaining="0", X_RateLimit_Reset=reset)]
        await harness.get()
        assert harness.read.paused_for == pytest.approx(90, abs=1.1)


async def test_rate_limit_headers_with_a_lower_limit_lower_the_rate() -> None:
    server = ScriptedServer(response_with(200, X_RateLimit_Limit="2", X_RateLimit_Remaining="1"))
    async with running_api_and_server(server, rate=5.0) as harness:
        await harness.get()
        assert harness.api.read_rate == 2.0
        assert harness.write.rate == 5.0


@pytest.mark.parametrize("value", ["-1", "unlimited", "", "nan", "inf", "100, 100;w=60"])
async def test_rate_limit_headers_that_say_nothing_change_nothing(value: str) -> None:
    server = ScriptedServer(
        response_with(
            200, X_RateLimit_Limit=value, X_RateLimit_Remaining=value, X_RateLimit_Reset=value
        )
    )
    async with running_api_and_server(server, rate=5.0) as harness:
        assert (await harness.get()).ok
        assert harness.api.read_rate == 5.0
        assert harness.read.paused_for == 0


class KeepsAlive:
    """Responds on connections that stay open; with `closes`, closes them after each response."""

    def __init__(self, *, closes: bool = False) -> None:
        self.closes = closes
        self.connections = 0
        self.requests = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while await read_request(reader):
            self.requests += 1
            writer.write(OK)
            await writer.drain()
            if self.closes:
                return


async def test_each_create_has_a_connection_of_its_own() -> None:
    server = KeepsAlive()
    async with raw_server(server) as url, running_api(url) as harness:
        await harness.get()
        await harness.get()
        assert server.connections == 1
        await harness.post()
        await harness.post()
    assert server.connections == 3
    assert server.requests == 4


async def test_post_on_a_connection_closed_while_idle_is_not_ambiguous() -> None:
    server = KeepsAlive(closes=True)
    async with raw_server(server) as url, running_api(url) as harness:
        for _ in range(5):
            assert (await harness.post()).ok
            await asyncio.sleep(0.01)
    assert server.requests == server.connections == 5


async def test_request_stopped_before_it_was_sent_raises_stopped() -> None:
    server = ScriptedServer(response_with(200))
    async with running_api_and_server(server) as harness:
        harness.stop.request()
        with pytest.raises(Stopped):
            await harness.post()
    assert not server.requests


async def test_request_stopped_while_waiting_for_a_retry_raises_stopped() -> None:
    server = ScriptedServer(response_with(503))
    async with running_api_and_server(server) as harness, anyio.create_task_group() as group:

        async def ask() -> None:
            with pytest.raises(Stopped):
                await harness.get()

        group.start_soon(ask)
        await asyncio.sleep(2.0)
        harness.stop.request()
    assert len(server.requests) == 3


async def test_request_stopped_after_it_was_sent_returns_its_response() -> None:
    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response(status=201, body=b"{}")

    async with running_api_and_server(slow) as harness:
        task = asyncio.ensure_future(harness.post())
        await asyncio.sleep(1)
        harness.stop.request()
        assert (await task).status == 201


async def test_request_cancelled_releases_its_connection() -> None:
    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async with running_api_and_server(slow) as harness:
        with anyio.move_on_after(1):
            await harness.get()
        assert harness.connections.value == 8


async def test_requests_keep_to_the_rate_of_their_bucket() -> None:
    server = ScriptedServer(response_with(200))
    async with (
        running_api_and_server(server, rate=5.0) as harness,
        anyio.create_task_group() as group,
    ):
        for _ in range(20):
            group.start_soon(harness.get)
    within = [sum(at <= other < at + 1 for other in server.times) for at in server.times]
    assert max(within) <= 5
