"""The HTTP session against real servers with valid and invalid responses."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from batchcap.transport.decompression import decompressed
from batchcap.transport.http_errors import AddressBlocked, BodyLost, NotSent, ResponseLost
from batchcap.transport.http_session import HttpSession, Timeouts
from batchcap.transport.network import Network
from batchcap.transport.url import parse_url
from tests.harness.clock import clock, on_virtual_time
from tests.harness.servers import chunks, raw_server, read_request

pytestmark = pytest.mark.anyio

TIMEOUTS = Timeouts(connect=10.0, read=30.0, headers=60.0, total=600.0)
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Peer:
    """Answers each request with the next of `answers`; counts connections, keeps requests."""

    def __init__(self, *answers: bytes, closes: bool = False) -> None:
        self.answers, self.closes = list(answers), closes
        self.connections = 0
        self.requests: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while len(self.requests) < len(self.answers):
            self.requests.append(await read_request(reader))
            writer.write(self.answers[len(self.requests) - 1])
            await writer.drain()
        if not self.closes:
            await asyncio.sleep(10_000)


@asynccontextmanager
async def open_session(
    timeouts: Timeouts = TIMEOUTS, network: Network | None = None, **options: Any
) -> AsyncIterator[HttpSession]:
    session = HttpSession({"User-Agent": "test"}, timeouts, network or Network(), **options)
    try:
        yield session
    finally:
        await session.close()


async def get(session: HttpSession, url: str) -> tuple[int, bytes]:
    with await session.send("GET", parse_url(url)) as response:
        body = b"".join([piece async for piece in chunks(decompressed(response))])
        return response.status, body


async def responses_of(peer: Peer, times: int = 1) -> list[tuple[int, bytes]]:
    async with raw_server(peer) as url, open_session() as session:
        return [await get(session, url) for _ in range(times)]


def sized(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = {
    "by length": sized(b"hello"),
    "in chunks": CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: t\r\n\r\n",
    "behind early hints": b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + sized(b"hello"),
    "behind a continue": b"HTTP/1.1 100 Continue\r\n\r\n" + sized(b"hello"),
}


@pytest.mark.parametrize("answer", WHOLE.values(), ids=WHOLE)
async def test_session_complete_response_is_read_and_its_connection_reused(answer: bytes) -> None:
    peer = Peer(answer, answer, answer)
    assert await responses_of(peer, 3) == [(200, b"hello")] * 3
    assert peer.connections == 1


LAST = {
    "ended by the connection": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "of HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "that says so": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("answer", LAST.values(), ids=LAST)
async def test_session_last_response_of_a_connection_closes_it(answer: bytes) -> None:
    peer = Peer(answer, closes=True)
    assert await responses_of(peer) == [(200, b"hello")]
    again = Peer(answer, answer)
    if b"hello" in answer and b"Length" in answer:
        assert await responses_of(again, 2) == [(200, b"hello")] * 2
        assert again.connections == 2


@pytest.mark.parametrize("status", [204, 304])
async def test_session_response_without_a_body_may_have_a_content_length(status: int) -> None:
    head = b"HTTP/1.1 %d X\r\nContent-Length: 100\r\n\r\n" % status
    assert await responses_of(Peer(head, head), 2) == [(status, b"")] * 2


NO_ANSWER = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
    "half a chunk": CHUNKED + b"9\r\nhello",
    "no last chunk": CHUNKED + b"5\r\nhello\r\n",
    "no http": b"\x15\x03\x01 what?\r\n\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length and chunks": CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n") + b"5\r\n",
    "another protocol": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nhi",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X-Y: %b\r\n" % (b"z" * 1000) * 100,
}


@pytest.mark.parametrize("answer", NO_ANSWER.values(), ids=NO_ANSWER)
async def test_session_incomplete_response_is_lost(answer: bytes) -> None:
    peer = Peer(answer, closes=True)
    with pytest.raises(ResponseLost):
        await responses_of(peer)
    assert len(peer.requests) == peer.connections == 1, "it was repeated, or never sent"


async def test_session_get_on_a_kept_connection_that_breaks_is_not_repeated() -> None:
    peer = Peer(sized(b"one"), b"", closes=True)
    async with raw_server(peer) as url, open_session() as session:
        assert await get(session, url) == (200, b"one")
        with pytest.raises(ResponseLost):
            await get(session, url)
    assert peer.connections == 1


async def test_session_netrc_and_proxies_of_the_environment_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    peer = Peer(EMPTY)
    async with raw_server(peer) as url, open_session() as session:
        assert await get(session, url) == (200, b"")
    assert b"Authorization" not in peer.requests[0]


async def test_session_bytes_after_a_response_are_not_the_next_response() -> None:
    stowaway = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nforeign"
    peer = Peer(sized(b"one") + stowaway, sized(b"two"))
    assert await responses_of(peer, 2) == [(200, b"one"), (200, b"two")]
    assert peer.connections == 2


@pytest.mark.parametrize("cut", [1, 20, 50])
async def test_session_partial_unsolicited_response_is_never_used(cut: int) -> None:
    stowaway = sized(b"x" * 20)
    peer = Peer(sized(b"one") + stowaway[:cut], stowaway[cut:] + sized(b"two"))
    with pytest.raises(ResponseLost):
        await responses_of(peer, 2)


async def test_session_concurrent_requests_get_their_own_responses() -> None:
    """A connection may be reused before the last caller has read its response."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(sized((await read_request(reader)).split(b" ", 2)[1]))

    async with raw_server(echo) as url, open_session() as session:

        async def many(number: int) -> None:
            for again in range(20):
                assert await get(session, f"{url}/{number}/{again}") == (
                    200,
                    f"/{number}/{again}".encode(),
                )

        async with anyio.create_task_group() as group:
            for number in range(30):
                group.start_soon(many, number)


async def test_session_request_has_the_required_headers_only() -> None:
    peer = Peer(EMPTY, EMPTY, EMPTY)
    async with raw_server(peer) as url, open_session() as session:
        await get(session, f"{url}/a?b=c#d")
        for body in (b'{"n":1}', None):
            with await session.send("POST", parse_url(url), body):
                pass
    named = url.removeprefix("http://").encode()
    common = b"Host: %b\r\nAccept-Encoding: gzip\r\nUser-Agent: test\r\nAccept: */*\r\n" % named
    assert peer.requests == [
        b"GET /a?b=c HTTP/1.1\r\n%b\r\n" % common,
        b"POST / HTTP/1.1\r\n%b" % common
        + b'Content-Length: 7\r\nContent-Type: application/json\r\n\r\n{"n":1}',
        b"POST / HTTP/1.1\r\n%b" % common
        + b"Content-Length: 0\r\nContent-Type: application/octet-stream\r\n\r\n",
    ]


async def test_session_response_left_unread_closes_the_connection() -> None:
    peer = Peer(sized(b"x" * 3_000_000), sized(b"next"))
    async with raw_server(peer) as url, open_session() as session:
        with await session.send("GET", parse_url(url)) as response:
            assert response.status == 200
        assert await get(session, url) == (200, b"next")
    assert peer.connections == 2


async def test_session_request_cancelled_closes_the_connection() -> None:
    peer = Peer(b"", sized(b"next"))
    async with raw_server(peer) as url, open_session() as session:
        with anyio.move_on_after(5) as scope:
            await get(session, url)
        assert scope.cancelled_caught
        assert await get(session, url) == (200, b"next")
    assert peer.connections == 2


async def test_session_slow_reader_pauses_the_server_without_a_timeout() -> None:
    written = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(500):
            writer.write(b"x" * 100_000)
            written += 100_000
            await writer.drain()

    async with raw_server(flood) as url, open_session() as session:
        with await session.send("GET", parse_url(url)) as response:
            await asyncio.sleep(100)
            assert written < 20_000_000
            size = 0
            while piece := await response.read_chunk():
                size += len(piece)
    assert size == 50_000_000


def dripping(head: bytes, drop: bytes, every: float) -> Callable[..., Any]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head)
        while True:
            await asyncio.sleep(every)
            writer.write(drop)
            await writer.drain()

    return talk


SLOW = {
    "silent from the start": (b"", b"", 10_000.0, 30.0),
    "a head that drips": (b"HTTP/1.1 200 OK\r\nX: ", b"y", 10.0, 60.0),
    "silent in the body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", b"", 10_000.0, 30.0),
    "a body that drips": (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", b"y", 10.0, 600.0),
}


@pytest.mark.parametrize(("head", "drop", "every", "seconds"), SLOW.values(), ids=SLOW)
async def test_session_server_that_stalls_times_out(
    head: bytes, drop: bytes, every: float, seconds: float
) -> None:
    async with raw_server(dripping(head, drop, every)) as url, open_session() as session:
        started = clock()
        with pytest.raises(ResponseLost, match="took too long"):
            await get(session, url)
        assert clock() - started == pytest.approx(seconds, abs=0.1)


async def test_session_connection_closed_by_the_server_is_not_reused() -> None:
    count = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await read_request(reader)
        writer.write(EMPTY)

    async with raw_server(once) as url, open_session() as session:
        for _ in range(5):
            assert (await get(session, url))[0] == 200
            await asyncio.sleep(0.01)
    assert count == 5


async def test_session_connection_refused_means_nothing_was_sent() -> None:
    sent: list[None] = []
    hosts = {"127.0.0.1:1": "refused", "no-such.invalid": "resolve", f"{'a' * 64}.x": "resolve"}
    async with open_session() as session:
        for host, reason in hosts.items():
            with pytest.raises(NotSent, match=reason):
                url = parse_url(f"http://{host}/")
                await session.send("POST", url, b"{}", on_sent=lambda: sent.append(None))
    assert not sent


async def test_session_on_sent_is_called_once_the_request_may_have_arrived() -> None:
    order: list[str] = []
    async with raw_server(Peer(b"", closes=True)) as url, open_session() as session:
        with pytest.raises(ResponseLost):
            url_ = parse_url(url)
            await session.send("POST", url_, b"{}", on_sent=lambda: order.append("sent"))
    assert order == ["sent"]


async def test_session_guard_checks_the_resolved_address() -> None:
    judged: list[str] = []

    def guard(address: str) -> bool:
        judged.append(address)
        return False

    peer = Peer(EMPTY)
    async with raw_server(peer) as url, open_session(allowed=guard) as session:
        for host in ("localhost", "127.0.0.1", "2130706433"):
            with pytest.raises(AddressBlocked, match=host):
                await get(session, url.replace("127.0.0.1", host))
    assert "127.0.0.1" in judged
    assert not peer.connections


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> list[str]:
    """Resolve every name to `addresses` after a second; returns the names that were looked up."""
    names: list[str] = []

    async def resolved(host: str, port: int, **options: Any) -> Any:
        names.append(host)
        await asyncio.sleep(1)
        if not addresses:
            raise OSError("no such name")
        kind = socket.SOCK_STREAM
        return [(socket.AF_INET, kind, 6, "", (ip, port or at)) for ip, at in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
    return names


async def test_session_read_timeout_counts_again_once_a_slow_reader_continues() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n" + b"x" * 9_000_000)
        await asyncio.sleep(10_000)

    async with raw_server(talk) as url, open_session() as session:
        with await session.send("GET", parse_url(url)) as response:
            await asyncio.sleep(100)
            started = clock()
            with pytest.raises(ResponseLost, match="took too long"):
                while await response.read_chunk():
                    pass
            assert clock() - started == pytest.approx(30, abs=0.1)


async def test_session_response_ending_while_paused_leaves_its_connection_usable() -> None:
    peer = Peer(sized(b"x" * 700_000), sized(b"next"))
    async with raw_server(peer) as url, open_session() as session:
        with await session.send("GET", parse_url(url)) as response:
            await asyncio.sleep(1)
            while await response.read_chunk():
                pass
        assert await get(session, url) == (200, b"next")
    assert peer.connections == 1


@pytest.mark.parametrize("unasked", [sized(b"foreign"), b""], ids=["an answer", "a close"])
async def test_session_unread_bytes_on_an_idle_connection_prevent_its_reuse(
    unasked: bytes,
) -> None:
    ends: list[socket.socket] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(writer.get_extra_info("socket"))
        while True:
            await read_request(reader)
            writer.write(sized(b"own"))

    async with raw_server(talk) as url, open_session() as session:
        assert await get(session, url) == (200, b"own")
        with socket.socket(fileno=os.dup(ends[0].fileno())) as end:  # no turn of the loop between
            if unasked:
                end.send(unasked)
            else:
                end.shutdown(socket.SHUT_WR)
        assert await get(session, url) == (200, b"own")
    assert len(ends) == 2


async def test_session_closed_opens_no_connection() -> None:
    peer = Peer(EMPTY)
    async with raw_server(peer) as url:
        async with open_session() as session:
            request = asyncio.create_task(get(session, url))
            await asyncio.sleep(0)
        with pytest.raises(NotSent):
            await request
    assert not peer.requests


async def test_session_lookup_failing_after_its_caller_left_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch)
    results: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: results.append(context))
    async with open_session() as session:
        with anyio.move_on_after(0.5):
            await get(session, "http://files.example/")
        await asyncio.sleep(1)
    del session
    gc.collect()
    assert not results


async def test_session_trailers_are_no_headers_and_have_a_size_limit() -> None:
    trailer = CHUNKED + b"5\r\nhello\r\n0\r\nContent-Encoding: gzip\r\nRetry-After: 9\r\n\r\n"
    assert await responses_of(Peer(trailer)) == [(200, b"hello")]
    endless = CHUNKED + b"5\r\nhello\r\n0\r\n" + b"X-Y: %b\r\n" % (b"z" * 1000) * 999
    with pytest.raises(BodyLost):
        await responses_of(Peer(endless))


async def test_session_endless_head_is_rejected_and_early_hints_leave_no_header() -> None:
    for line in (b"z" * 20_000, b"z\r\nX-Z: " * 200):
        with pytest.raises(ResponseLost, match="not HTTP"):
            await responses_of(Peer(b"HTTP/1.1 200 OK\r\nX-Y: %b\r\n" % line))
    hints = b"HTTP/1.1 103 Early Hints\r\nContent-Encoding: gzip\r\n\r\n"
    assert await responses_of(Peer(hints + sized(b"hello"))) == [(200, b"hello")]


@pytest.mark.parametrize("status", [200, 304, 404])
async def test_session_empty_body_is_complete_in_any_encoding(status: int) -> None:
    head = b"HTTP/1.1 %d X\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n" % status
    assert await responses_of(Peer(head)) == [(status, b"")]


@pytest.mark.parametrize("head", [b"", sized(b"x" * 900_000)[:200_000]], ids=["head", "body"])
async def test_session_request_cancelled_leaves_no_connection_open(head: bytes) -> None:
    ended: list[bool] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        ended.append(True)

    async with raw_server(talk) as url, open_session() as session:
        with anyio.move_on_after(5):
            await get(session, url)
        await asyncio.sleep(0.1)
        assert ended


async def test_session_header_sent_twice_has_its_first_value() -> None:
    head = b"HTTP/1.1 429 X\r\nRetry-After: 7\r\nretry-after: 9\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(Peer(head)) as url, open_session() as session:
        with await session.send("GET", parse_url(url)) as response:
            assert response.headers["retry-after"] == "7"


async def test_session_failed_lookup_is_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = Peer(EMPTY)
    async with raw_server(peer) as url, open_session() as session:
        with monkeypatch.context() as outage:
            resolving(outage)
            with pytest.raises(NotSent):
                await get(session, url.replace("127.0.0.1", "files.example"))
        resolving(monkeypatch, ("127.0.0.1", 0))
        assert await get(session, url.replace("127.0.0.1", "files.example")) == (200, b"")


async def test_session_shared_lookup_survives_the_cancellation_of_one_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = Peer(*[EMPTY] * 6)
    async with raw_server(peer) as url, open_session() as session:
        names = resolving(monkeypatch, ("127.0.0.1", 0))
        named = url.replace("127.0.0.1", "files.example")
        tasks = [asyncio.create_task(get(session, named)) for _ in range(6)]
        await asyncio.sleep(0.5)
        for task in tasks[:3]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results[:3]] == [asyncio.CancelledError] * 3
        assert results[3:] == [(200, b"")] * 3
        assert names == ["files.example"]


async def test_session_guard_checks_each_address_and_only_allowed_ones_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = Peer(EMPTY)
    async with (
        raw_server(peer) as url,
        open_session(allowed=lambda ip: ip != "127.0.0.1") as session,
    ):
        resolving(monkeypatch, ("127.0.0.2", 0), ("127.0.0.1", 0))
        with pytest.raises(NotSent):  # no server listens at 127.0.0.2
            await get(session, url.replace("127.0.0.1", "files.example"))
    assert not peer.connections


async def test_session_unresponsive_address_costs_a_quarter_of_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(EMPTY)
        writer.close()

    with socket.create_server(("127.0.0.2", 0), backlog=0) as dead:
        port = dead.getsockname()[1]
        fills = [socket.socket() for _ in range(4)]
        for filler in fills:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.2", port))
        server = await asyncio.start_server(talk, "127.0.0.1", port)
        try:
            async with open_session() as session:
                resolving(monkeypatch, ("127.0.0.2", 0), ("127.0.0.1", 0))
                started = clock()
                assert await get(session, f"http://files.example:{port}/") == (200, b"")
                assert clock() - started == pytest.approx(1.25, abs=0.1)
        finally:
            server.close()
            for filler in fills:
                filler.close()


async def test_session_gzip_members_are_joined_and_a_bomb_is_read_in_chunks() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    members = gzip.compress(b"one") + gzip.compress(b"two")
    assert await responses_of(Peer(head % len(members) + members)) == [(200, b"onetwo")]
    cut = members[:-1]
    with pytest.raises(ResponseLost, match="cut"):
        await responses_of(Peer(head % len(cut) + cut))
    bomb = gzip.compress(bytes(50_000_000), 1)
    async with raw_server(Peer(head % len(bomb) + bomb)) as url, open_session() as session:
        with await session.send("GET", parse_url(url)) as response:
            sizes = [len(piece) async for piece in chunks(decompressed(response))]
    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 256 * 1024


@asynccontextmanager
async def secured(authority: trustme.CA, name: str, peer: Peer) -> AsyncIterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    server = await asyncio.start_server(peer, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("name", "trusted"), [("localhost", True), ("localhost", False), ("other.example", True)]
)
async def test_session_server_with_the_wrong_certificate_is_sent_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool
) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    (authority if trusted else stranger).cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    peer = Peer(sized(b"hello"), sized(b"again"), closes=True)
    async with secured(authority, name, peer) as url, open_session() as session:
        if trusted and name == "localhost":
            assert await get(session, url) == (200, b"hello")
            assert await get(session, url) == (200, b"again")
            assert peer.connections == 1
        else:
            with pytest.raises(NotSent, match="certificate"):
                await get(session, url)
            assert not peer.requests


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_session_tls_body_without_length_cut_by_the_connection_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS the end of such a body cannot be distinguished from a cut."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    peer = Peer(LAST["ended by the connection"], closes=True)
    async with secured(authority, "localhost", peer) as url, open_session() as session:
        with pytest.raises(ResponseLost):
            await get(session, url)


BODIES = st.binary(max_size=300).filter(lambda body: not body.startswith(b"\x1f\x8b"))
"""Bodies that do not begin as a gzip stream, which would be decompressed."""


@given(st.lists(BODIES, min_size=1, max_size=5), st.data())
def test_session_response_in_any_chunks_is_the_same(
    bodies: list[bytes], data: st.DataObject
) -> None:
    answers = [sized(body) if len(body) % 2 else _chunked(body) for body in bodies]
    cuts = [
        sorted(data.draw(st.sets(st.integers(1, len(encoded)), max_size=6))) for encoded in answers
    ]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer, places in zip(answers, cuts, strict=True):
            await read_request(reader)
            for start, end in zip([0, *places], [*places, None], strict=True):
                writer.write(answer[start:end])
                await asyncio.sleep(0.001)

    async def main() -> None:
        async with raw_server(talk) as url, open_session() as session:
            assert [await get(session, url) for _ in bodies] == [(200, body) for body in bodies]

    on_virtual_time(main())


def _chunked(body: bytes) -> bytes:
    chunks = [body[at : at + 7] for at in range(0, len(body), 7)]
    return (
        CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    )
