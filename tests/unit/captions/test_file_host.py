"""Links to file hosts: which are followed, what is sent, and which errors they cause."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from batchcap.captions.file_host import FileHosts
from batchcap.domain.errors import BadCaption, LinkExpired, RowError, Unavailable
from batchcap.domain.events import RequestSent
from batchcap.transport.network import Network
from tests.harness.clock import clock, now
from tests.harness.observers import Recorder
from tests.harness.rows import VTT
from tests.harness.servers import chunks, http_server, raw_server, read_request

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def open_hosts(
    *, loopback: bool = True, observer: Recorder | None = None
) -> AsyncIterator[FileHosts]:
    hosts = FileHosts(Network(), loopback=loopback, observer=observer or Recorder(), now=now)
    async with hosts:
        yield hosts


async def fetch(hosts: FileHosts, link: str) -> bytes:
    with await hosts.open(link) as body:
        return b"".join([piece async for piece in chunks(body)])


async def file(_request: web.Request) -> web.Response:
    return web.Response(body=VTT)


async def test_file_host_link_returns_its_bytes_and_is_counted() -> None:
    observer = Recorder()
    async with http_server(file) as url, open_hosts(observer=observer) as hosts:
        assert await fetch(hosts, f"{url}/x.vtt") == VTT
    assert observer.of(RequestSent) == [RequestSent("downloads")]


QUERY = "X-Amz-Signature=a%2Fb%2fc+d&Policy=~a_b%20&Key=%7E%3D==&e=&x=a,b;c:(d)'!*@$&%C3%BC&p=/?"


async def seen_on_the_wire(path: str, *, redirected: bool = False) -> bytes:
    lines: list[bytes] = []

    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(2):
            head = await read_request(reader)
            lines.append(head.split(b"\r\n")[0])
            if redirected and not number:
                location = f"Location: {path}\r\n".encode()
                writer.write(b"HTTP/1.1 302 F\r\nContent-Length: 0\r\n" + location + b"\r\n")
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
                await writer.drain()
                return

    async with raw_server(host) as url, open_hosts() as hosts:
        assert await fetch(hosts, url + ("/start" if redirected else path)) == b"x"
    return lines[-1]


@pytest.mark.parametrize("redirected", [False, True])
@pytest.mark.parametrize("path", [f"/a%20b%2Fc/d~e(1).vtt?{QUERY}", "/a%e2%82%ac%41?sig=%41%zz"])
async def test_file_host_signed_link_is_sent_byte_for_byte(path: str, redirected: bool) -> None:
    line = await seen_on_the_wire(path, redirected=redirected)
    assert line == f"GET {path} HTTP/1.1".encode()


async def test_file_host_request_after_a_redirect_has_no_credential_and_no_cookie() -> None:
    heads: list[web.Request] = []

    async def host(request: web.Request) -> web.StreamResponse:
        heads.append(request)
        answer = web.Response(body=b"x")
        if request.path == "/first":
            answer = web.Response(status=302, headers={"Location": "/second"})
        answer.set_cookie("session", "secret")
        return answer

    async with http_server(host) as url, open_hosts() as hosts:
        named = url.replace("127.0.0.1", "localhost")
        await fetch(hosts, f"{named}/first")
        await fetch(hosts, f"{named}/first")
    assert len(heads) == 4
    for head in heads:
        assert not {"Authorization", "Cookie", "X-Api-Key", "Referer"} & set(head.headers)


async def hop(request: web.Request) -> web.Response:
    """/3 leads to /2 leads to /1 leads to /0, the file."""
    left = int(request.path[1:])
    if left:
        return web.Response(status=(301, 302, 303, 307, 308)[left % 5], headers=_to(f"/{left - 1}"))
    return web.Response(body=VTT)


def _to(target: str) -> dict[str, str]:
    return {"Location": target}


@pytest.mark.parametrize("redirects", range(6))
async def test_file_host_follows_up_to_five_redirects(redirects: int) -> None:
    async with http_server(hop) as url, open_hosts() as hosts:
        assert await fetch(hosts, f"{url}/{redirects}") == VTT


@pytest.mark.parametrize("redirects", [7, 100])
async def test_file_host_with_more_redirects_is_a_dead_link(redirects: int) -> None:
    observer = Recorder()
    async with http_server(hop) as url, open_hosts(observer=observer) as hosts:
        with pytest.raises(RowError) as caught:
            await fetch(hosts, f"{url}/{redirects}")
    assert caught.value.code == "link_dead"
    assert len(observer.of(RequestSent)) <= 6


FORBIDDEN = [
    "file:///etc/passwd",
    "ftp://files.example/x",
    "data:text/vtt,WEBVTT",
    "//10.0.0.1/x",
    "https://10.1.2.3/x",
    "https://192.168.1.1/x",
    "https://172.16.0.1/x",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/x",
    "https://0.0.0.0/x",
    "https://224.0.0.1/x",
    "https://255.255.255.255/x",
    "https://[fe80::1]/x",
    "https://[fe80::1%25lo]/x",
    "https://[fd00::1]/x",
    "https://[::]/x",
    "https://[::ffff:10.0.0.1]/x",
    "https://[::ffff:169.254.169.254]/x",
    "http://10.0.0.1/x",
    "https:///x",
    "https://",
    "not a link",
    "",
    "https://[half",
    "https://host:port/x",
    "https://host:99999/x",
]
LOOPBACK = [
    "https://127.0.0.1/x",
    "https://127.9.9.9/x",
    "https://[::1]/x",
    "https://[::ffff:127.0.0.1]/x",
    "http://127.0.0.1/x",
    "http://93.184.216.34/x",
]


async def assert_link_dead(hosts: FileHosts, link: str) -> None:
    with pytest.raises(RowError) as caught:
        await fetch(hosts, link)
    assert caught.value.code == "link_dead"
    assert not caught.value.retryable


@pytest.mark.parametrize("link", FORBIDDEN)
@pytest.mark.parametrize("loopback", [False, True])
async def test_file_host_link_to_a_blocked_address_is_dead(link: str, loopback: bool) -> None:
    async with open_hosts(loopback=loopback) as hosts:
        await assert_link_dead(hosts, link)


@pytest.mark.parametrize("link", LOOPBACK)
async def test_file_host_allows_loopback_and_plain_http_only_in_the_sandbox(link: str) -> None:
    observer = Recorder()
    async with open_hosts(loopback=False, observer=observer) as hosts:
        await assert_link_dead(hosts, link)
    assert not observer.events


@pytest.mark.parametrize("link", FORBIDDEN)
async def test_file_host_redirect_to_a_blocked_address_is_not_followed(link: str) -> None:
    if link in {"", "not a link", "//10.0.0.1/x"}:
        pytest.skip("a relative reference, which is no place of its own")

    async def host(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers=_to(link))

    async with http_server(host) as url, open_hosts() as hosts:
        await assert_link_dead(hosts, f"{url}/x")


async def test_file_host_redirect_to_a_private_host_is_not_followed() -> None:
    async def host(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers=_to("//10.0.0.1/x"))

    async with http_server(host) as url, open_hosts() as hosts:
        await assert_link_dead(hosts, f"{url}/x")


@pytest.mark.parametrize("name", ["localhost", "2130706433", "0x7f000001", "127.1"])
async def test_file_host_name_resolving_to_loopback_is_refused_unless_allowed(
    name: str,
) -> None:
    count = 0

    async def host(_request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        return web.Response()

    async with http_server(host) as url, open_hosts(loopback=False) as hosts:
        port = url.rpartition(":")[2]
        await assert_link_dead(hosts, f"https://{name}:{port}/x")
    assert count == 0


async def test_file_host_name_resolving_to_loopback_is_allowed_in_the_sandbox() -> None:
    async with http_server(file) as url, open_hosts() as hosts:
        port = url.rpartition(":")[2]
        assert await fetch(hosts, f"http://localhost:{port}/x") == VTT


@pytest.mark.parametrize("target", ["http://h\u00fc.invalid:99999/", "https://[", "\u00fc\ud8ff"])
async def test_file_host_redirect_to_an_invalid_url_is_a_dead_link(target: str) -> None:
    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_request(reader)
        if head.startswith(b"GET /x "):
            location = b"Location: " + target.encode(errors="surrogatepass") + b"\r\n"
            writer.write(b"HTTP/1.1 302 F\r\nContent-Length: 0\r\n" + location + b"\r\n")
            await writer.drain()

    async with raw_server(host) as url, open_hosts() as hosts:
        with pytest.raises((RowError, Unavailable)):
            await fetch(hosts, f"{url}/x")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 412])
async def test_file_host_refused_link_has_expired(status: int) -> None:
    async def host(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=b"<Error><Code>ExpiredToken</Code></Error>")

    async with http_server(host) as url, open_hosts() as hosts:
        with pytest.raises(LinkExpired, match=str(status)):
            await fetch(hosts, f"{url}/x")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_file_host_server_error_raises_unavailable(status: int) -> None:
    async def host(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "17"})

    async with http_server(host) as url, open_hosts() as hosts:
        with pytest.raises(Unavailable) as caught:
            await fetch(hosts, f"{url}/x")
    assert caught.value.retry_after == 17


@pytest.mark.parametrize("status", [204, 206, 304, 405, 451])
async def test_file_host_with_any_other_status_is_a_dead_link(status: int) -> None:
    async def host(_request: web.Request) -> web.Response:
        return web.Response(status=status)

    async with http_server(host) as url, open_hosts() as hosts:
        await assert_link_dead(hosts, f"{url}/x")


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CUTS = {
    "by length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nWEBVTT",
    "in a chunk": CHUNKED + b"64\r\nWEBVTT",
    "before the last chunk": CHUNKED + b"6\r\nWEBVTT\r\n",
    "in the head": b"HTTP/1.1 200 OK\r\nContent-",
    "at once": b"",
    "no http": b"\x00\x01\x02\r\n\r\n",
}


@pytest.mark.parametrize("sent", CUTS.values(), ids=CUTS)
async def test_file_host_body_cut_raises_unavailable(sent: bytes) -> None:
    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(sent)
        await writer.drain()

    async with raw_server(host) as url, open_hosts() as hosts:
        with pytest.raises(Unavailable):
            await fetch(hosts, f"{url}/x")


async def served_encoded(body: bytes) -> bytes:
    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    async with raw_server(host) as url, open_hosts() as hosts:
        return await fetch(hosts, f"{url}/x")


async def test_file_host_compressed_body_is_decompressed() -> None:
    assert await served_encoded(gzip.compress(VTT * 1000)) == VTT * 1000


@pytest.mark.parametrize("missing", [1, 4, 8, 12, 30])
async def test_file_host_compressed_body_without_its_end_is_a_bad_caption(missing: int) -> None:
    """The length is right, but the compressed stream is cut: the file is broken, not the host."""
    with pytest.raises(BadCaption):
        await served_encoded(gzip.compress(VTT * 1000)[:-missing])


async def test_file_host_plain_body_declared_as_gzip_is_read() -> None:
    assert await served_encoded(VTT) == VTT


async def test_file_host_broken_compression_is_a_bad_caption() -> None:
    """The file is broken: the host responded, so this must not count as a failure of the host."""
    with pytest.raises(BadCaption):
        await served_encoded(gzip.compress(VTT)[:10] + b"\xff" * 40)


@pytest.mark.parametrize(
    "rest",
    [b"<html>", b"\n" + gzip.compress(VTT)[:-1], b"\0" * 1_100_000, gzip.compress(b"") * 55_000],
    ids=["no padding", "a cut member", "endless padding", "endless empty members"],
)
async def test_file_host_compressed_body_with_another_rest_is_a_bad_caption(rest: bytes) -> None:
    """Compressed twice, few bytes could otherwise keep the process busy without any content."""
    for body in (gzip.compress(VTT) + rest, gzip.compress(gzip.compress(VTT) + rest)):
        with pytest.raises(BadCaption):
            await served_encoded(body)


@pytest.mark.parametrize("body", [VTT, gzip.compress(VTT)], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    "headers",
    [
        ["UTF-8"],
        ["aws-chunked"],
        ["none"],
        ["binary"],
        ["", "gzip"],
        ["gzip, , "],
        [",aws-chunked,"],
        ["gzip,aws-chunked"],
        ["X-Anything"],
    ],
    ids=repr,
)
async def test_file_host_compression_is_detected_by_the_first_bytes_of_the_body(
    headers: list[str], body: bytes
) -> None:
    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        lines = "".join(f"Content-Encoding: {value}\r\n" for value in headers)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode())
        for byte in body[:3]:  # the first bytes may come one by one
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.write(body[3:])
        await writer.drain()

    async with raw_server(host) as url, open_hosts() as hosts:
        assert await fetch(hosts, f"{url}/x") == VTT


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        *[(label, VTT) for label in ("br", "zstd", "deflate", "compress")],
        *[
            (label, gzip.compress(VTT, mtime=0))
            for label in ("deflate", "compress", "identity", "br")
        ],
        ("gzip, gzip", gzip.compress(gzip.compress(VTT, mtime=0), mtime=0)),
        ("gzip", gzip.compress(zlib.compress(VTT), mtime=0)),
        *[
            ("gzip", gzip.compress(VTT, mtime=0) + padding)
            for padding in (b"\n", b"\r\n", b"\0" * 512, b"\0" * 300_000)
        ],
        ("gzip", zlib.compress(VTT)),
        ("x-gzip", zlib.compress(VTT)),
        ("deflate", zlib.compress(VTT)),
        ("deflate", raw_deflate(VTT)),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_file_host_whole_file_with_a_wrong_label_is_read(encoding: str, body: bytes) -> None:
    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        lines = f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode() + body)
        await writer.drain()

    async with raw_server(host) as url, open_hosts() as hosts:
        assert await fetch(hosts, f"{url}/x") == VTT


@pytest.mark.parametrize("encoding", ["br", "gzip, zstd"])
async def test_file_host_unsupported_compression_is_a_bad_caption(encoding: str) -> None:
    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: 4\r\n\r\n"
        writer.write(head.encode() + b"\x8b\x02\x80\x03")
        await writer.drain()

    async with raw_server(host) as url, open_hosts() as hosts:
        with pytest.raises(BadCaption, match="which was not asked for"):
            await fetch(hosts, f"{url}/x")


async def test_file_host_silent_during_the_body_times_out() -> None:
    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nWEBVTT")
        await asyncio.sleep(10_000)

    async with raw_server(host) as url, open_hosts() as hosts:
        started = clock()
        with pytest.raises(Unavailable):
            await fetch(hosts, f"{url}/x")
        assert clock() - started < 60


async def test_file_host_silent_before_the_response_times_out() -> None:
    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            await asyncio.sleep(10)
            writer.write(b"y")
            await writer.drain()

    async with raw_server(host) as url, open_hosts() as hosts:
        started = clock()
        with pytest.raises(Unavailable):
            await fetch(hosts, f"{url}/x")
        assert clock() - started < 180


async def test_file_host_error_message_has_no_link() -> None:
    async with open_hosts(loopback=False) as hosts:
        for link in ("http://files.example/x?sig=secret", "https://10.0.0.1/x?sig=secret", "s:sig"):
            with pytest.raises(RowError) as caught:
                await fetch(hosts, link)
            assert "sig" not in str(caught.value)
