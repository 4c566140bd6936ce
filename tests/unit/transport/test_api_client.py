"""Requests to an API, over real sockets, with what peers do to them."""

from __future__ import annotations

import asyncio
import email.utils
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web

from batchcap.domain.backoff import Backoff
from batchcap.domain.errors import Ambiguous, FatalError, NotAccepted, Stopped, Unavailable
from batchcap.domain.events import RequestSent, Throttled, Warned
from batchcap.domain.shutdown import ShutdownToken
from batchcap.transport.api_client import Api
from batchcap.transport.network import Network
from batchcap.transport.rate_limiter import Bucket, Priority
from batchcap.transport.response import Answer
from batchcap.transport.sender import HttpSender
from tests.harness.api import bucket, post_until_accepted, running_buckets
from tests.harness.clock import clock, now
from tests.harness.observers import Recorder
from tests.harness.servers import Handler, http_server, raw_server, read_request

pytestmark = pytest.mark.anyio

STEADY = Backoff(jitter=0.0)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Peer:
    """A server that gives its answers in order, the last one for ever, and counts."""

    def __init__(self, *answers: Callable[[], web.StreamResponse]) -> None:
        self.answers = list(answers)
        self.times: list[float] = []
        self.seen: list[web.Request] = []
        self.bodies: list[bytes] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.times.append(clock())
        self.seen.append(request)
        self.bodies.append(await request.read())
        return self.answers[min(len(self.times), len(self.answers)) - 1]()

    @property
    def gaps(self) -> list[float]:
        pairs = zip(self.times, self.times[1:], strict=False)
        return [round(later - earlier, 2) for earlier, later in pairs]


def says(status: int, body: Any = None, **headers: str) -> Callable[[], web.Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: web.Response(status=status, body=orjson.dumps(body or {}), headers=named)


class Desk:
    """An Api with all that is around it."""

    def __init__(self, url: str, **options: Any) -> None:
        self.stop = ShutdownToken()
        self.observer = Recorder()
        self.connections = anyio.Semaphore(8, fast_acquire=True)
        shared: dict[str, Any] = {
            "connections": self.connections,
            "stop": self.stop,
            "observer": self.observer,
        }
        self.read: Bucket = bucket(options.get("rate"), name="read", **shared)
        self.write: Bucket = bucket(options.get("rate"), name="write", **shared)
        self.api = Api(
            HttpSender(url, {"Authorization": "Basic secret"}, Network()),
            "mux",
            read=self.read,
            write=self.write,
            stop=self.stop,
            observer=self.observer,
            now=now,
            backoff=STEADY,
        )

    async def get(self, path: str = "/x", **query: str) -> Answer:
        return await self.api.get(path, query, priority=Priority.POLL)

    async def post(self, path: str = "/x", body: Any = None) -> Answer:
        return await post_until_accepted(self.api, path, body or {})


@asynccontextmanager
async def desk(url: str, **options: Any) -> AsyncIterator[Desk]:
    made = Desk(url, **options)
    async with running_buckets(made.read, made.write), made.api:
        yield made
        assert made.connections.value == 8, "a connection was not given back"


@asynccontextmanager
async def talking(handler: Handler, **options: Any) -> AsyncIterator[Desk]:
    async with http_server(handler) as url, desk(url, **options) as made:
        yield made


async def test_a_get_carries_query_and_credentials() -> None:
    peer = Peer(says(200, {"data": 1}))
    async with talking(peer) as made:
        answer = await made.get("/a%2Fb%41", q="x y&z=ü")
    assert answer.status == 200
    assert answer.json() == {"data": 1}
    assert peer.seen[0].raw_path == "/a%2Fb%41?q=x+y%26z%3D%C3%BC"
    assert peer.seen[0].headers["Authorization"] == "Basic secret"
    assert peer.seen[0].headers["User-Agent"].startswith("batchcap/")
    assert [event.bucket for event in made.observer.of(RequestSent)] == ["read"]


async def test_a_post_carries_its_body_as_json() -> None:
    peer = Peer(says(201, {"data": {"id": "j"}}))
    async with talking(peer) as made:
        assert (await made.post("/jobs", {"a": "ü"})).data() == {"id": "j"}
    assert orjson.loads(peer.bodies[0]) == {"a": "ü"}
    assert peer.seen[0].headers["Content-Type"] == "application/json"
    assert [event.bucket for event in made.observer.of(RequestSent)] == ["write"]


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 401, 402, 403, 404, 409, 410, 422])
@pytest.mark.parametrize("method", ["get", "post"])
async def test_an_answer_below_500_is_returned(method: str, status: int) -> None:
    peer = Peer(says(status))
    async with talking(peer) as made:
        assert (await getattr(made, method)()).status == status
    assert len(peer.seen) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 599])
async def test_a_get_is_tried_six_times_by_the_schedule(status: int) -> None:
    peer = Peer(says(status, {"error": "no"}))
    async with talking(peer) as made:
        with pytest.raises(Unavailable, match=f"{status}: no"):
            await made.get()
    assert peer.gaps == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert not made.observer.of(Throttled)


async def test_a_get_that_succeeds_in_the_end_is_answered() -> None:
    peer = Peer(*[says(503)] * 5, says(200))
    async with talking(peer) as made:
        assert (await made.get()).ok
    assert len(peer.seen) == 6


async def test_get_with_lost_response_is_repeated() -> None:
    times: list[float] = []

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        times.append(clock())
        if len(times) == 1:
            writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            await writer.drain()

    async with raw_server(answer_once) as url, desk(url) as made:
        assert (await made.get()).ok
        with pytest.raises(Unavailable, match="GET /x got no answer"):
            await made.get(q="secret")
    assert len(times) == 1 + 6


async def test_a_get_whose_body_is_cut_is_repeated() -> None:
    count = 0

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_request(reader)
        count += 1
        whole = OK if count == 3 else OK.replace(b"Length: 2", b"Length: 9")
        writer.write(whole.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await writer.drain()

    async with raw_server(cut) as url, desk(url) as made:
        assert (await made.get()).ok
    assert count == 3


async def test_a_get_that_is_not_answered_in_time_is_repeated() -> None:
    count = 0

    async def slow(_request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        await asyncio.sleep(0 if count == 2 else 10_000)
        return web.Response(body=b"{}")

    started = clock()
    async with talking(slow) as made:
        assert (await made.get()).ok
    assert count == 2
    assert 29 <= clock() - started <= 65


async def test_a_retry_after_is_no_attempt_and_holds_the_whole_bucket() -> None:
    peer = Peer(*[says(503, Retry_After="100")] * 30, says(200))
    async with talking(peer) as made, anyio.create_task_group() as group:
        started = clock()
        group.start_soon(made.get)
        await asyncio.sleep(1)
        assert made.read.paused_for == pytest.approx(99, abs=0.1)
        assert made.write.paused_for == 0
        await made.api.get("/other", priority=Priority.FINISH)
    assert len(peer.seen) == 32
    assert clock() - started >= 1500
    assert peer.times[1] - started >= 100


async def test_a_retry_after_may_be_a_date() -> None:
    peer = Peer(says(429), says(200))
    async with talking(peer) as made:
        peers = now() - 7200  # its clock is two hours late, and counts
        date, at = (email.utils.formatdate(when, usegmt=True) for when in (peers, peers + 600))
        peer.answers[0] = says(429, Retry_After=at, Date=date)
        assert (await made.get()).ok
    assert peer.gaps[0] == pytest.approx(600, abs=1.5)


async def test_a_429_is_seen_and_pauses_everybody() -> None:
    peer = Peer(says(429, Retry_After="30"), says(200))
    async with talking(peer) as made:
        assert (await made.get()).ok
    assert made.observer.of(Throttled) == [Throttled("read", 30.0)]
    assert peer.gaps[0] == pytest.approx(30, abs=0.1)


async def test_429s_without_retry_after_use_up_the_attempts_and_are_all_counted() -> None:
    peer = Peer(says(429))
    async with talking(peer) as made:
        with pytest.raises(Unavailable):
            await made.get()
    assert len(peer.seen) == 6
    assert len(made.observer.of(Throttled)) == 6


async def test_a_retry_after_of_nothing_does_not_spin() -> None:
    peer = Peer(says(429, Retry_After="0"))
    async with talking(peer) as made:
        with pytest.raises(Unavailable):
            await made.get()
    assert len(peer.seen) == 6
    assert peer.times[-1] - peer.times[0] > 10


async def test_a_429_on_a_post_is_surely_no_create_and_repeated() -> None:
    peer = Peer(says(429, Retry_After="7"), says(429), says(201))
    async with talking(peer) as made:
        assert (await made.post(body={"n": 1})).status == 201
    assert peer.bodies == [b'{"n":1}'] * 3
    assert [event.bucket for event in made.observer.of(Throttled)] == ["write", "write"]
    assert peer.gaps[0] == pytest.approx(7, abs=0.1)


async def test_send_slot_sends_once_and_says_how_to_go_on_after_a_429() -> None:
    peer = Peer(says(429), says(429, Retry_After="7"), says(201))
    failed: list[NotAccepted] = []
    async with talking(peer) as made:
        for _ in range(2):
            with pytest.raises(NotAccepted) as caught:
                async with made.api.send_slot(failures=len(failed)) as slot:
                    await slot.post("/x", {})
            failed.append(caught.value)
        async with made.api.send_slot(failures=failed[-1].failures) as slot:
            assert (await slot.post("/x", {})).status == 201
    assert [error.failures for error in failed] == [1, 1]
    assert [error.delay for error in failed] == [0.0, 0.0]  # the bucket has paused
    assert peer.gaps == [pytest.approx(0.5, abs=0.1), pytest.approx(7, abs=0.1)]


async def test_send_slot_gives_its_connection_back_once_the_post_is_answered() -> None:
    """Else a refusal could not be explained by a GET if all connections are at creates."""
    async with talking(Peer(says(422), says(200))) as made:
        for _ in range(7):
            await made.connections.acquire()
        async with made.api.send_slot() as slot:
            assert made.connections.value == 0
            await slot.post("/x", {})
            assert (await made.get()).ok
        for _ in range(7):
            made.connections.release()


async def test_send_slot_that_is_left_without_a_post_gives_its_connection_back() -> None:
    peer = Peer(says(201))
    async with talking(peer) as made:
        with pytest.raises(ZeroDivisionError):
            async with made.api.send_slot():
                raise ZeroDivisionError
        assert made.connections.value == 8
    assert not peer.seen
    assert not made.observer.of(RequestSent)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_a_post_answered_with_a_fault_is_ambiguous_and_never_repeated(status: int) -> None:
    peer = Peer(says(status))
    async with talking(peer) as made:
        with pytest.raises(Ambiguous):
            await made.post()
    await asyncio.sleep(3600)
    assert len(peer.seen) == 1


async def test_a_retry_after_on_a_failed_post_holds_the_next_ones() -> None:
    peer = Peer(says(503, Retry_After="60"), says(201))
    async with talking(peer) as made:
        with pytest.raises(Ambiguous):
            await made.post()
        await made.post()
    assert peer.gaps[0] >= 60


async def test_a_post_whose_connection_is_dropped_is_ambiguous() -> None:
    count = 0

    async def drop(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_request(reader)
        count += 1

    async with raw_server(drop) as url, desk(url) as made:
        with pytest.raises(Ambiguous, match="POST /x got no answer"):
            await made.post()
        await asyncio.sleep(3600)
    assert count == 1


async def test_a_post_whose_answer_is_cut_is_ambiguous() -> None:
    count = 0

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_request(reader)
        count += 1
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()

    async with raw_server(cut) as url, desk(url) as made:
        with pytest.raises(Ambiguous):
            await made.post()
    assert count == 1


async def test_a_post_answered_with_no_http_is_ambiguous() -> None:
    count = 0

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_request(reader)
        count += 1
        writer.write(b"\x15\x03\x01 what?\r\n\r\n")
        await writer.drain()

    async with raw_server(babble) as url, desk(url) as made:
        with pytest.raises(Ambiguous):
            await made.post()
    assert count == 1


async def test_a_post_that_is_not_answered_in_time_is_ambiguous() -> None:
    count = 0

    async def never(_request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        await asyncio.sleep(10_000)
        return web.Response()

    started = clock()
    async with talking(never) as made:
        with pytest.raises(Ambiguous):
            await made.post()
        assert 100 < clock() - started < 130
        await asyncio.sleep(3600)
    assert count == 1


async def test_a_slow_create_of_half_a_minute_is_waited_for() -> None:
    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(45)
        return web.Response(status=201, body=b"{}")

    async with talking(slow) as made:
        assert (await made.post()).status == 201


@pytest.mark.parametrize("method", ["get", "post"])
async def test_request_with_refused_connection_is_repeated(method: str) -> None:
    async with AsyncExitStack() as server:
        url = await server.enter_async_context(http_server(Peer(says(200))))
        async with desk(url) as made:
            assert (await made.get()).ok
            await server.aclose()
            started = clock()
            with pytest.raises(Unavailable, match="cannot connect to"):
                await getattr(made, method)()
    assert len(made.observer.of(RequestSent)) == 1 + 6
    assert clock() - started == pytest.approx(15.5, abs=0.1)


CLOSED = "http://127.0.0.1:1"
"""Nobody listens there."""


@pytest.mark.parametrize("method", ["get", "post"])
async def test_provider_that_never_answered_stops_after_a_minute(method: str) -> None:
    async with desk(CLOSED) as made:
        started = clock()
        with pytest.raises(FatalError) as caught:
            await getattr(made, method)()
    assert clock() - started == pytest.approx(60, abs=1)
    assert caught.value.provider == "mux"
    assert caught.value.message == "mux: cannot connect to 127.0.0.1:1: Connection refused"
    assert "--ca" in caught.value.hint
    (warned,) = made.observer.of(Warned)
    assert warned.message == f"{caught.value.message}; trying for 60 s"


async def test_first_failure_is_reported_at_once() -> None:
    async with desk(CLOSED) as made, anyio.create_task_group() as group:
        group.start_soon(made.get)
        await asyncio.sleep(0.1)
        assert made.observer.of(Warned)
        group.cancel_scope.cancel()


async def test_connection_that_hangs_is_reported_within_ten_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        async with desk(f"http://127.0.0.1:{port}") as made, anyio.create_task_group() as group:
            group.start_soon(made.get)
            await asyncio.sleep(9)
            (warned,) = made.observer.of(Warned)
            assert "not connected within 8 s" in warned.message
            group.cancel_scope.cancel()
        for one in waiting:
            one.close()


async def test_any_response_in_the_first_minute_makes_it_an_outage() -> None:
    async with http_server(Peer(says(503))) as url:
        port = int(url.rpartition(":")[2])
    async with desk(url) as made, anyio.create_task_group() as group:

        async def ask() -> None:
            with pytest.raises(Unavailable):
                await made.get()

        group.start_soon(ask)
        await asyncio.sleep(50)
        async with http_server(Peer(says(503)), port=port):
            await asyncio.sleep(8.5)
        await asyncio.sleep(60)
        group.start_soon(ask)


async def test_create_that_may_have_arrived_stays_ambiguous_after_the_first_minute() -> None:
    async def drop(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_request(reader)

    async with raw_server(drop) as url, desk(url) as made:
        for _ in range(3):
            with pytest.raises(Ambiguous):
                await made.post(body={})
            await asyncio.sleep(50)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["get", "post"])
async def test_a_redirect_is_not_followed_and_no_credential_leaves(
    method: str, status: int
) -> None:
    elsewhere = Peer(says(200))
    async with http_server(elsewhere) as other:
        peer = Peer(says(status, Location=f"{other}/stolen"))
        async with talking(peer) as made:
            assert (await getattr(made, method)()).status == status
    assert not elsewhere.seen


async def test_cookies_are_neither_kept_nor_sent() -> None:
    peer = Peer(says(200, Set_Cookie="a=b"))
    async with http_server(peer) as url, desk(url.replace("127.0.0.1", "localhost")) as made:
        await made.get()
        await made.get()
        await made.post()
    assert not any("Cookie" in request.headers for request in peer.seen)


async def test_a_body_above_the_bound_is_no_answer() -> None:
    async def flood(_request: web.Request) -> web.Response:
        return web.Response(body=b" " * (17 * 2**20))

    async with talking(flood) as made:
        with pytest.raises(Ambiguous, match="more than 16777216 bytes"):
            await made.post()


async def test_a_compressed_bomb_is_bounded_by_what_it_unpacks_to() -> None:
    async def bomb(_request: web.Request) -> web.Response:
        response = web.Response(body=b" " * (40 * 2**20))
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with talking(bomb) as made:
        with pytest.raises(Ambiguous, match="more than 16777216 bytes"):
            await made.post()


async def test_rate_limit_headers_pause_until_the_refill() -> None:
    peer = Peer(says(200, X_RateLimit_Remaining="0", X_RateLimit_Reset="40"))
    async with talking(peer, rate=5.0) as made:
        await made.get()
        assert made.read.paused_for == pytest.approx(40, abs=0.1)
        assert made.write.paused_for == 0


async def test_a_refill_may_be_told_as_unix_time() -> None:
    peer = Peer(says(200))
    async with talking(peer, rate=5.0) as made:
        reset = str(int(now()) + 90)
        peer.answers = [says(200, X_RateLimit_Remaining="0", X_RateLimit_Reset=reset)]
        await made.get()
        assert made.read.paused_for == pytest.approx(90, abs=1.1)


async def test_a_lower_limit_told_by_headers_binds() -> None:
    peer = Peer(says(200, X_RateLimit_Limit="2", X_RateLimit_Remaining="1"))
    async with talking(peer, rate=5.0) as made:
        await made.get()
        assert made.api.read_rate == 2.0
        assert made.write.rate == 5.0


@pytest.mark.parametrize("value", ["-1", "unlimited", "", "nan", "inf", "100, 100;w=60"])
async def test_rate_limit_headers_that_say_nothing_change_nothing(value: str) -> None:
    peer = Peer(
        says(200, X_RateLimit_Limit=value, X_RateLimit_Remaining=value, X_RateLimit_Reset=value)
    )
    async with talking(peer, rate=5.0) as made:
        assert (await made.get()).ok
        assert made.api.read_rate == 5.0
        assert made.read.paused_for == 0


class KeepsAlive:
    """Answers on connections that stay open; with `closes`, it hangs up behind each answer."""

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
    peer = KeepsAlive()
    async with raw_server(peer) as url, desk(url) as made:
        await made.get()
        await made.get()
        assert peer.connections == 1
        await made.post()
        await made.post()
    assert peer.connections == 3
    assert peer.requests == 4


async def test_a_connection_that_was_closed_while_idle_makes_no_create_ambiguous() -> None:
    peer = KeepsAlive(closes=True)
    async with raw_server(peer) as url, desk(url) as made:
        for _ in range(5):
            assert (await made.post()).ok
            await asyncio.sleep(0.01)
    assert peer.requests == peer.connections == 5


async def test_a_stop_before_the_request_left_raises_stopped() -> None:
    peer = Peer(says(200))
    async with talking(peer) as made:
        made.stop.request()
        with pytest.raises(Stopped):
            await made.post()
    assert not peer.seen


async def test_a_stop_ends_the_wait_for_another_try() -> None:
    peer = Peer(says(503))
    async with talking(peer) as made, anyio.create_task_group() as group:

        async def ask() -> None:
            with pytest.raises(Stopped):
                await made.get()

        group.start_soon(ask)
        await asyncio.sleep(2.0)
        made.stop.request()
    assert len(peer.seen) == 3


async def test_a_request_in_the_air_lands_though_the_run_stops() -> None:
    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response(status=201, body=b"{}")

    async with talking(slow) as made:
        task = asyncio.ensure_future(made.post())
        await asyncio.sleep(1)
        made.stop.request()
        assert (await task).status == 201


async def test_a_cancelled_request_gives_its_connection_back() -> None:
    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async with talking(slow) as made:
        with anyio.move_on_after(1):
            await made.get()
        assert made.connections.value == 8


async def test_requests_keep_to_the_rate_of_their_bucket() -> None:
    peer = Peer(says(200))
    async with talking(peer, rate=5.0) as made, anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(made.get)
    within = [sum(at <= other < at + 1 for other in peer.times) for at in peer.times]
    assert max(within) <= 5
