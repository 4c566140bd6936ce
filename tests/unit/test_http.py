"""The client, against peers that say on the wire whatever a peer may say."""

from __future__ import annotations

import asyncio
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

from batchcap.http import (
    Address,
    Client,
    Forbidden,
    InvalidAddress,
    Lost,
    NotSent,
    Patience,
    decoded,
)
from tests.fakes import clock, on_virtual_time, raw_serving, request_head

pytestmark = pytest.mark.anyio

PATIENT = Patience(connect=10.0, silence=30.0, head=60.0, whole=600.0)
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
            self.requests.append(await request_head(reader))
            writer.write(self.answers[len(self.requests) - 1])
            await writer.drain()
        if not self.closes:
            await asyncio.sleep(10_000)


@asynccontextmanager
async def client(**options: Any) -> AsyncIterator[Client]:
    async with Client({"User-Agent": "test"}, **options) as made:
        yield made


async def get(made: Client, url: str, **options: Any) -> tuple[int, bytes]:
    told = {"patience": PATIENT, **options}
    with await made.request("GET", Address.of(url), **told) as response:
        return response.status, b"".join([piece async for piece in decoded(response)])


async def asked(peer: Peer, times: int = 1) -> list[tuple[int, bytes]]:
    async with raw_serving(peer) as url, client() as made:
        return [await get(made, url) for _ in range(times)]


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
async def test_a_whole_answer_is_read_and_its_connection_kept(answer: bytes) -> None:
    peer = Peer(answer, answer, answer)
    assert await asked(peer, 3) == [(200, b"hello")] * 3
    assert peer.connections == 1


LAST = {
    "ended by the connection": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "of HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "that says so": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("answer", LAST.values(), ids=LAST)
async def test_an_answer_that_is_the_last_of_its_connection(answer: bytes) -> None:
    peer = Peer(answer, closes=True)
    assert await asked(peer) == [(200, b"hello")]
    again = Peer(answer, answer)
    if b"hello" in answer and b"Length" in answer:
        assert await asked(again, 2) == [(200, b"hello")] * 2
        assert again.connections == 2


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_may_tell_the_length_that_it_would_have(status: int) -> None:
    head = b"HTTP/1.1 %d X\r\nContent-Length: 100\r\n\r\n" % status
    assert await asked(Peer(head, head), 2) == [(status, b"")] * 2


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
async def test_what_is_no_whole_answer_is_lost(answer: bytes) -> None:
    peer = Peer(answer, closes=True)
    with pytest.raises(Lost):
        await asked(peer)
    assert len(peer.requests) == 1, "it was repeated, or never sent"


async def test_what_comes_behind_an_answer_is_not_taken_for_the_next_one() -> None:
    stowaway = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nforeign"
    peer = Peer(sized(b"one") + stowaway, sized(b"two"))
    assert await asked(peer, 2) == [(200, b"one"), (200, b"two")]
    assert peer.connections == 2


async def test_half_of_an_answer_that_nobody_asked_for_ends_its_connection() -> None:
    peer = Peer(sized(b"one") + b"HTTP/1.1 200 OK\r\nX-", sized(b"two"))
    assert await asked(peer, 2) == [(200, b"one"), (200, b"two")]
    assert peer.connections == 2


async def test_answers_belong_to_those_who_asked() -> None:
    """A connection is taken up again before whoever it answered last has looked."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(sized((await request_head(reader)).split(b" ", 2)[1]))

    async with raw_serving(echo) as url, client() as made:

        async def many(number: int) -> None:
            for again in range(20):
                assert await get(made, f"{url}/{number}/{again}") == (
                    200,
                    f"/{number}/{again}".encode(),
                )

        async with anyio.create_task_group() as group:
            for number in range(30):
                group.start_soon(many, number)


async def test_a_request_says_what_it_must_and_nothing_else() -> None:
    peer = Peer(EMPTY, EMPTY, EMPTY)
    async with raw_serving(peer) as url, client() as made:
        await get(made, f"{url}/a?b=c#d")
        for body in (b'{"n":1}', None):
            with await made.request("POST", Address.of(url), body, patience=PATIENT):
                pass
    named = url.removeprefix("http://").encode()
    common = b"Host: %b\r\nAccept-Encoding: gzip\r\nUser-Agent: test\r\n" % named
    json = b'Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{"n":1}'
    assert peer.requests == [
        b"GET /a?b=c HTTP/1.1\r\n%b\r\n" % common,
        b"POST / HTTP/1.1\r\n%b%b" % (common, json),
        b"POST / HTTP/1.1\r\n%bContent-Length: 0\r\n\r\n" % common,
    ]


async def test_nothing_that_a_header_holds_can_end_it() -> None:
    with pytest.raises(ValueError, match="Authorization"):
        Client({"Authorization": "Basic x\r\nX-Other: y"})


async def test_who_leaves_before_the_end_closes_the_connection() -> None:
    peer = Peer(sized(b"x" * 3_000_000), sized(b"next"))
    async with raw_serving(peer) as url, client() as made:
        with await made.request("GET", Address.of(url), patience=PATIENT) as response:
            assert response.status == 200
        assert await get(made, url) == (200, b"next")
    assert peer.connections == 2


async def test_who_is_cancelled_closes_the_connection() -> None:
    peer = Peer(b"", sized(b"next"))
    async with raw_serving(peer) as url, client() as made:
        with anyio.move_on_after(5) as scope:
            await get(made, url)
        assert scope.cancelled_caught
        assert await get(made, url) == (200, b"next")
    assert peer.connections == 2


async def test_a_reader_that_is_slow_holds_the_peer_up_and_is_not_given_up() -> None:
    written = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await request_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(500):
            writer.write(b"x" * 100_000)
            written += 100_000
            await writer.drain()

    async with raw_serving(flood) as url, client() as made:
        with await made.request("GET", Address.of(url), patience=PATIENT) as response:
            await asyncio.sleep(100)
            assert written < 20_000_000
            size = 0
            while piece := await response.piece():
                size += len(piece)
    assert size == 50_000_000


def dripping(head: bytes, drop: bytes, every: float) -> Callable[..., Any]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
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
async def test_nobody_is_waited_for_for_ever(
    head: bytes, drop: bytes, every: float, seconds: float
) -> None:
    async with raw_serving(dripping(head, drop, every)) as url, client() as made:
        started = clock()
        with pytest.raises(Lost, match="took too long"):
            await get(made, url)
        assert clock() - started == pytest.approx(seconds, abs=0.1)


async def test_each_has_a_time_of_its_own() -> None:
    late: list[float] = []

    async with raw_serving(dripping(b"", b"", 10_000)) as url, client() as made:

        async def ask(after: float, silence: float) -> None:
            await asyncio.sleep(after)
            with pytest.raises(Lost):
                await get(made, url, patience=PATIENT._replace(silence=silence))
            late.append(round(clock() - started, 1))

        started = clock()
        async with anyio.create_task_group() as group:
            for after, silence in [(0, 30), (10, 30), (12, 5), (15, 1)]:
                group.start_soon(ask, after, silence)
    assert late == [16, 17, 30, 40]


async def test_a_connection_is_kept_for_half_a_minute() -> None:
    peer = Peer(*[EMPTY] * 5)
    async with raw_serving(peer) as url, client() as made:
        for pause, connections in [(0, 1), (29, 1), (31, 2)]:
            await asyncio.sleep(pause)
            await get(made, url)
            assert peer.connections == connections
        await asyncio.sleep(5)
        await get(made, url, idle=3.0)
        assert peer.connections == 3


async def test_a_connection_that_the_peer_closed_is_not_used_again() -> None:
    count = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await request_head(reader)
        writer.write(EMPTY)

    async with raw_serving(once) as url, client() as made:
        for _ in range(5):
            assert (await get(made, url))[0] == 200
            await asyncio.sleep(0.01)
    assert count == 5


async def test_where_nobody_listens_nothing_was_sent() -> None:
    sent: list[None] = []
    async with client() as made:
        with pytest.raises(NotSent):
            await get(made, "http://127.0.0.1:1/", sent=lambda: sent.append(None))
        with pytest.raises(NotSent):
            await get(made, "http://no-such-host.invalid/", sent=lambda: sent.append(None))
        with pytest.raises(NotSent):
            await get(made, f"http://{'a' * 64}.invalid/", sent=lambda: sent.append(None))
    assert not sent


async def test_sent_is_called_once_what_was_sent_may_arrive() -> None:
    order: list[str] = []
    async with raw_serving(Peer(b"", closes=True)) as url, client() as made:
        with pytest.raises(Lost):
            await get(made, url, sent=lambda: order.append("sent"))
    assert order == ["sent"]


async def test_the_guard_judges_what_a_name_resolves_to() -> None:
    judged: list[str] = []

    def guard(address: str) -> bool:
        judged.append(address)
        return False

    peer = Peer(EMPTY)
    async with raw_serving(peer) as url, client(guard=guard) as made:
        for host in ("localhost", "127.0.0.1", "2130706433"):
            with pytest.raises(Forbidden, match=host):
                await get(made, url.replace("127.0.0.1", host))
    assert "127.0.0.1" in judged
    assert not peer.connections


async def test_a_burst_asks_for_a_name_once() -> None:
    asked: list[str] = []

    def guard(address: str) -> bool:
        asked.append(address)
        return True

    peer = Peer(*[EMPTY] * 20)
    async with raw_serving(peer) as url, client(guard=guard) as made:
        named = url.replace("127.0.0.1", "localhost")
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(get, made, named)
    assert len(peer.requests) == 20


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
async def test_a_peer_that_is_not_who_it_says_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool
) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    (authority if trusted else stranger).cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    peer = Peer(sized(b"hello"), sized(b"again"), closes=True)
    async with secured(authority, name, peer) as url, client() as made:
        if trusted and name == "localhost":
            assert await get(made, url) == (200, b"hello")
            assert await get(made, url) == (200, b"again")
            assert peer.connections == 1
        else:
            with pytest.raises(NotSent, match="certificate"):
                await get(made, url)
            assert not peer.requests


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.data())
def test_an_answer_is_the_same_however_it_is_cut_up(
    bodies: list[bytes], data: st.DataObject
) -> None:
    answers = [sized(body) if len(body) % 2 else _chunked(body) for body in bodies]
    cuts = [sorted(data.draw(st.sets(st.integers(1, len(one)), max_size=6))) for one in answers]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer, places in zip(answers, cuts, strict=True):
            await request_head(reader)
            for start, end in zip([0, *places], [*places, None], strict=True):
                writer.write(answer[start:end])
                await asyncio.sleep(0.001)

    async def main() -> None:
        async with raw_serving(talk) as url, client() as made:
            assert [await get(made, url) for _ in bodies] == [(200, body) for body in bodies]

    on_virtual_time(main())


def _chunked(body: bytes) -> bytes:
    pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
    return CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"


ADDRESSES = {
    "https://files.example/a%2Fb%2fc?x=%41+y": (
        "https",
        "files.example",
        443,
        "/a%2Fb%2fc?x=%41+y",
    ),
    "HTTP://Files.Example:8080?x": ("http", "files.example", 8080, "/?x"),
    "https://b\u00fccher.example/x": ("https", "xn--bcher-kva.example", 443, "/x"),
    "http://[::1]:81/x#part": ("http", "::1", 81, "/x"),
    "https://user:word@files.example/x": ("https", "files.example", 443, "/x"),
    "https://files.example/a b/ü\r\nX: y": (
        "https",
        "files.example",
        443,
        "/a%20b/%C3%BC%0D%0AX:%20y",
    ),
}


@pytest.mark.parametrize(("url", "parts"), ADDRESSES.items(), ids=ADDRESSES)
def test_an_address(url: str, parts: tuple[str, str, int, str]) -> None:
    origin, target = Address.of(url)
    assert (origin.scheme, origin.host, origin.port, target) == parts


NOT_ADDRESSES = ["", "x", "ftp://a/b", "//a/b", "https://", "https:///x", "https://[half/x"]
NOT_ADDRESSES += ["https://a:b/", "https://a:99999/", "https://a\r\nb/", "https://a b/", "\\\\a\\b"]


@pytest.mark.parametrize("url", NOT_ADDRESSES)
def test_no_address(url: str) -> None:
    with pytest.raises(InvalidAddress):
        Address.of(url)
