"""A hostile or broken provider, file host or manifest: bounded memory, nothing outside
the output folder, no credential sent elsewhere, a clear end, and always a way to stop."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from batchcap.app.run import run
from batchcap.cli import log
from batchcap.cli.progress import line
from batchcap.domain.backoff import Backoff
from batchcap.domain.errors import Ambiguous, FatalError, Unavailable
from batchcap.domain.events import Event, Paused, RateChanged, Warned
from batchcap.domain.models import Row, Totals
from batchcap.domain.shutdown import ShutdownToken
from batchcap.reports.metrics import Metrics
from batchcap.reports.tracker import RunTracker
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.storage.ledger import open_ledger
from batchcap.transport.api_client import Api
from batchcap.transport.network import Network
from batchcap.transport.rate_limiter import Priority
from batchcap.transport.sender import HttpSender
from tests.harness.api import make_bucket, post_until_accepted, running_buckets
from tests.harness.clock import clock, now
from tests.harness.observers import Recorder
from tests.harness.rows import VTT, heygen_row, mux_row
from tests.harness.runs import RunResult, run_rows, unlimited_settings
from tests.harness.servers import ConnectionHandler, Handler, http_server, raw_server, read_request

pytestmark = pytest.mark.anyio

YEAR = 365 * 86400
DAYS = 3 * 86400.0
"""Seconds after which a test stops a run that is waiting."""

SECRETS = {
    "MUX_TOKEN_ID": "token-id-of-the-user",
    "MUX_TOKEN_SECRET": "token-secret-of-the-user",
    "HEYGEN_API_KEY": "heygen-key-of-the-user",
}
CUE = b"00:00:01.000 --> 00:00:02.000\n" + b"x" * 70 + b"\n\n"


def environment(url: str) -> dict[str, str]:
    names = ("MUX_BASE_URL", "MUX_STREAM_BASE_URL", "HEYGEN_API_BASE")
    return {**SECRETS, **dict.fromkeys(names, url)}


class HostileRun:
    """A run against a hostile server, with its results."""

    def __init__(self, out: Path, url: str, rows: list[Row], **changes: Any) -> None:
        self.out, self.rows = out, rows
        self.settings = unlimited_settings(out, **changes)
        self.environment = environment(url)
        self.metrics, self.recorder, self.stop = Metrics(), Recorder(), ShutdownToken()
        self.fatal: list[FatalError] = []
        self.states: dict[str, str] = {}
        self.results: list[dict[str, Any]] = []

    async def run(self, *, stop_after: float = DAYS) -> None:
        """Work, and stop after `stop_after` seconds; the run must then end at once."""
        with closing(open_ledger(self.out, create=True, now=now)) as ledger:
            ledger.import_rows([("test", self.rows)], skip_invalid=False)
            timer = asyncio.get_running_loop().call_later(stop_after, self.stop.request)
            with anyio.fail_after(stop_after + 200):
                self.fatal = await run(
                    self.settings,
                    ledger,
                    self.environment,
                    log.observers(self.metrics, self.recorder, log.logged),
                    stop=self.stop,
                    now=now,
                    threads=False,
                )
            timer.cancel()
            self.results = list(ledger.results())
        self.states = RunResult(self.fatal, self.results, self.metrics).states()

    def files(self) -> set[str]:
        paths = (path.relative_to(self.out) for path in self.out.rglob("*") if path.is_file())
        return {path.as_posix() for path in paths if path.parts[0] != ".batchcap"}

    def shown_text(self) -> str:
        """Return all text that a user may see, except for the keys of the rows."""
        messages = [event.message for event in self.recorder.of(Warned)]
        messages += [f"{error.message} {error.hint}" for error in self.fatal]
        messages += [result["error"]["message"] for result in self.results if result["error"]]
        return "\n".join(messages)


@contextmanager
def bounded(megabytes: float) -> Iterator[None]:
    """Check that the block never holds more than this much memory."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < megabytes * 1e6, f"{peak / 1e6:.1f} MB"


def assert_nothing_beside(out: Path) -> None:
    """Check that nothing was written outside the output folder."""
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "captions"


# Providers with invalid responses


DEEP = [b"[" * n + b"]" * n for n in (1000, 100_000)]
DEEP += [b'{"data":' * n + b"1" + b"}" * n for n in (1000, 100_000)]
NONSENSE: list[object] = [
    None,
    7,
    "x",
    [],
    {},
    {"data": None},
    {"data": 7},
    {"data": "x"},
    {"data": [None, 7, "x", [], {}, {"id": 7}, {"id": None, "status": []}]},
    {"data": {"id": 7, "status": 7, "outputs": [], "errors": {}, "units_consumed": "many"}},
    {"data": {"id": {"a": 1}, "status": {}, "parameters": 3, "tracks": 4, "playback_ids": "x"}},
    {"data": {"id": "j", "status": "completed", "outputs": {"temporary_vtt_url": {"x": 1}}}},
    {"data": {"id": "j", "status": "completed", "outputs": {"uploaded_track_id": [1]}}},
    {"data": {"id": "j", "status": "completed", "vtt_caption_url": 7, "caption_url": {}}},
    {"data": {"id": "j", "status": "errored", "errors": [None, 7, {"type": [], "message": {}}]}},
    {"data": {"id": "j", "status": "failed", "failure_message": ["x"], "error": {"message": 7}}},
    {"data": {"tracks": [7, {"type": "text", "id": [], "status": 7}], "playback_ids": [None]}},
    {"data": {"id": "j", "status": True, "units_consumed": -1e308}},
    {"error": 7, "data": [[]]},
    {"error": {"type": 7, "message": None, "messages": [None, {}]}},
    {"data": [], "next_token": ["x"], "has_more": "yes"},
]


@pytest.mark.parametrize("status", [200, 409, 422, 500])
@pytest.mark.parametrize("body", [*NONSENSE, *DEEP], ids=lambda body: str(body)[:40])
async def test_nonsense_response_fails_its_row_with_a_reason_or_is_retried(
    out: Path, body: object, status: int
) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def peer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=data, content_type="application/json")

    rows = [mux_row("film", from_language="en"), mux_row("other", track_id="t"), heygen_row("tr")]
    async with http_server(peer) as url:
        attack = HostileRun(out, url, rows)
        await attack.run(stop_after=600.0)
    assert "done" not in attack.states.values()
    assert attack.files() == set()
    assert_nothing_beside(out)
    for result in attack.results:
        assert result["state"] == "pending" or result["error"]["message"], result
    assert attack.shown_text().isprintable() or "\n" in attack.shown_text()


REFUSALS = [400, 403, 405, 418, 422, 451]


@pytest.mark.parametrize("status", REFUSALS)
async def test_poll_refused_fails_its_rows_and_not_the_run(out: Path, status: int) -> None:
    """After a refused bulk request, each row requests its own job."""

    async def peer(request: web.Request) -> web.Response:
        if request.method == "POST":
            number = len(json.loads(await request.read())["parameters"]["asset_id"])
            return web.json_response({"data": {"id": f"job-{number}", "status": "pending"}})
        return web.Response(status=status, text="no")

    rows = [mux_row("x" * n, track_id="t") for n in range(1, 6)]
    rows += [heygen_row(f"tr-{n}") for n in range(5)]
    async with http_server(peer) as url:
        attack = HostileRun(out, url, rows)
        await attack.run()
    state = "pending" if status == 403 else "rejected"  # 403 for everything is about the account
    assert {attack.states[row.key] for row in rows} == {state}


async def test_list_that_repeats_itself_is_given_up(out: Path) -> None:
    """A server that ignores `page` always returns the first page."""
    requests = 0

    async def peer(request: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        if request.method == "POST":
            return web.Response(status=409, text="{}")
        return web.json_response({"data": [{"id": f"job-{n}", "status": "x"} for n in range(100)]})

    async with http_server(peer) as url:
        attack = HostileRun(out, url, [mux_row("film", track_id="t")])
        await attack.run()
    assert attack.states == {"mux:film:es": "rejected"}
    assert requests < 500


async def test_list_without_end_is_given_up(out: Path) -> None:
    requests = 0

    async def peer(request: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        if request.method == "POST":
            return web.Response(status=500)
        items = [{"id": f"job-{requests}-{n}", "status": "x"} for n in range(100)]
        return web.json_response({"data": items})

    async with http_server(peer) as url:
        attack = HostileRun(out, url, [mux_row("film", track_id="t")])
        await attack.run()
    assert attack.states == {"mux:film:es": "unavailable"}
    assert requests < 5000


# Providers with endless or slow responses


async def endless_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    await poured(writer, b"x" * 65536)


async def bomb(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n")
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    writer.write(packer.compress(b'{"data": "'))
    await poured(writer, packer.compress(b"x" * 30_000_000) + packer.flush(zlib.Z_FULL_FLUSH))


async def many_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await poured(writer, b"".join(b"X-%d: %s\r\n" % (n, b"y" * 500) for n in range(100)))


async def one_long_header(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    await poured(writer, b"\x1b[2J" * 16384)


async def one_long_status(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 ")
    await poured(writer, b"OK" * 16384)


async def poured(writer: asyncio.StreamWriter, piece: bytes) -> None:
    for _ in range(10_000):
        writer.write(piece)
        await writer.drain()


FLOODS = [endless_body, bomb, many_headers, one_long_header, one_long_status]


@asynccontextmanager
async def asking(url: str, attempts: int = 1) -> AsyncIterator[Api]:
    request_bucket, stop, observer = make_bucket(None), ShutdownToken(), Recorder()
    backoff = Backoff(attempts=attempts, jitter=0.0)
    api = Api(
        HttpSender(url, {"Authorization": "Basic secret"}, Network()),
        "mux",
        read=request_bucket,
        write=request_bucket,
        stop=stop,
        observer=observer,
        now=now,
        backoff=backoff,
    )
    async with running_buckets(request_bucket), api:
        yield api


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
@pytest.mark.parametrize("method", ["get", "post"])
async def test_api_response_without_end_is_cut_off(method: str, flood: Any) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/first " in await read_request(reader):
            writer.write(OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            await flood(writer)

    async with raw_server(talk) as url, asking(url) as api:
        await api.get("/first", priority=Priority.FINISH)
        with bounded(100), pytest.raises((Unavailable, Ambiguous)) as caught:
            if method == "get":
                await api.get("/x", priority=Priority.FINISH)
            else:
                await post_until_accepted(api, "/x", {})
    assert len(caught.value.message) < 500
    assert caught.value.message.isprintable()
    assert "http:" not in caught.value.message


def dripping(head: bytes, drop: bytes, every: float) -> ConnectionHandler:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/first " in await read_request(reader):
            writer.write(OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            return
        writer.write(head)
        while True:
            await asyncio.sleep(every)
            writer.write(drop)
            await writer.drain()

    return talk


OK = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "a byte a minute": dripping(OK + b"Content-Length: 1000\r\n\r\n", b" ", 60.0),
    "a byte in twenty seconds": dripping(OK + b"Content-Length: 1000\r\n\r\n", b" ", 20.0),
    "a header in ten seconds": dripping(OK, b"X: y\r\n", 10.0),
    "a byte of a header a second": dripping(OK + b"X: ", b"y", 1.0),
    "nothing at all": dripping(b"", b"", 3600.0),
}


@pytest.mark.parametrize("talk", DRIPS.values(), ids=DRIPS)
@pytest.mark.parametrize(("method", "most"), [("get", 62.0), ("post", 122.0)])
async def test_api_response_that_is_too_slow_ends_at_the_deadline(
    talk: ConnectionHandler, method: str, most: float
) -> None:
    async with raw_server(talk) as url, asking(url) as api:
        await api.get("/first", priority=Priority.FINISH)
        began = clock()
        with pytest.raises((Unavailable, Ambiguous)):
            if method == "get":
                await api.get("/x", priority=Priority.FINISH)
            else:
                await post_until_accepted(api, "/x", {})
        assert clock() - began <= most


# Redirects and links to forbidden addresses


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_api_redirect_sends_no_credentials_elsewhere(out: Path, status: int) -> None:
    strangers: list[str] = []

    async def stranger(request: web.Request) -> web.Response:
        strangers.append(str(request.headers))
        return web.json_response({})

    async with http_server(stranger) as elsewhere:

        async def peer(request: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": f"{elsewhere}/x"})

        async with http_server(peer) as url:
            attack = HostileRun(out, url, [mux_row("film", track_id="t"), heygen_row("tr")])
            await attack.run()
    assert strangers == []
    assert set(attack.states.values()) == {"pending"}
    assert {error.provider for error in attack.fatal} == {"mux", "heygen"}
    assert all("redirect" in error.message for error in attack.fatal)


class Host:
    """HeyGen with one translation, whose caption is at `link`; `file` serves all other paths."""

    def __init__(self, link: str, file: Handler) -> None:
        self.link, self.file = link, file
        self.url = ""
        self.fetched: list[web.Request] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if not request.path.startswith("/v3/"):
            self.fetched.append(request)
            return await self.file(request)
        item = {"id": "tr", "video_id": "tr", "status": "completed"}
        if request.path.endswith("/statuses"):
            return web.json_response({"data": [item]})
        link = self.link.replace("HERE", self.url)
        return web.json_response({"data": {**item, "vtt_caption_url": link}})


@asynccontextmanager
async def hosting(link: str, file: Handler) -> AsyncIterator[Host]:
    host = Host(link, file)
    async with http_server(host) as url:
        host.url = url
        yield host


def leads_to(target: str) -> Handler:
    async def file(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": target})

    return file


FORBIDDEN = [
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "ftp://93.184.216.34/x",
    "https://10.0.0.1/x?token=SECRET",
    "https://192.168.1.1/x?token=SECRET",
    "https://169.254.169.254/latest/meta-data/?token=SECRET",
    "https://[fe80::1]/x?token=SECRET",
    "https://[::ffff:169.254.169.254]/x?token=SECRET",
    "gopher://127.0.0.1/x",
]


@pytest.mark.parametrize("target", FORBIDDEN)
@pytest.mark.parametrize("redirected", [False, True])
async def test_link_to_forbidden_address_fails_its_row_at_once(
    out: Path, target: str, redirected: bool
) -> None:
    link = "HERE/file.vtt?token=SECRET" if redirected else target
    async with hosting(link, leads_to(target)) as host:
        attack = HostileRun(out, host.url, [heygen_row("tr")])
        await attack.run()
    assert attack.states == {"heygen:tr": "link_dead"}
    assert attack.results[0]["error"]["retryable"] is False
    assert len(host.fetched) == redirected
    assert attack.files() == set()
    assert "SECRET" not in attack.shown_text()


@pytest.mark.parametrize("target", ["/file.vtt", "HERE/again?token=SECRET"])
async def test_redirect_loop_is_given_up(out: Path, target: str) -> None:
    async with hosting("HERE/file.vtt", leads_to("/file.vtt")) as host:
        attack = HostileRun(out, host.url, [heygen_row("tr")])
        await attack.run()
    assert attack.states == {"heygen:tr": "link_dead"}
    assert len(host.fetched) == 6
    for request in host.fetched:
        assert not {"X-Api-Key", "Authorization", "Cookie"} & set(request.headers)


# File hosts that send too much


def pours(opening: bytes, piece: bytes, headers: dict[str, str]) -> tuple[Handler, list[int]]:
    sent: list[int] = []

    async def file(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        sent.append(len(opening))
        await response.write(opening)
        while sent[-1] < 5_000_000_000:
            sent[-1] += len(piece)
            await response.write(piece)
        return response

    return file, sent


def packed(text: bytes, repeat: int) -> tuple[bytes, bytes]:
    """Return the beginning of a gzip stream, and a chunk that can be repeated after it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    opening = packer.compress(b"WEBVTT\n\n") + packer.flush(zlib.Z_FULL_FLUSH)
    return opening, packer.compress(text * repeat) + packer.flush(zlib.Z_FULL_FLUSH)


LIMIT = 8_000_000
FAT = {
    "5 GB": (b"WEBVTT\n\n", CUE * 600, {"Content-Length": "5000000000"}),
    "endless": (b"WEBVTT\n\n", CUE * 600, {}),
    "a bomb": (*packed(CUE, 10_000), {"Content-Encoding": "gzip"}),
    "a bomb of one line": (*packed(b"x", 4_000_000), {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("fat", FAT.values(), ids=FAT)
async def test_caption_without_end_is_cut_off_at_max_size(
    out: Path, fat: tuple[bytes, bytes, dict[str, str]]
) -> None:
    file, sent = pours(*fat)
    async with hosting("HERE/file.vtt", file) as host:
        attack = HostileRun(out, host.url, [heygen_row("tr")], max_caption=LIMIT)
        with bounded(16):
            await attack.run()
    assert attack.states == {"heygen:tr": "bad_caption"}
    assert attack.files() == set()
    assert len(sent) == 2
    assert max(sent) < 2 * LIMIT


async def test_compressed_caption_of_several_members_is_read_whole(out: Path) -> None:
    """gzip members may follow each other; the first one alone is not the whole caption."""

    async def file(request: web.Request) -> web.Response:
        body = gzip.compress(b"WEBVTT\n\n" + CUE) + gzip.compress(CUE * 2)
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    async with hosting("HERE/file.vtt", file) as host:
        attack = HostileRun(out, host.url, [heygen_row("tr")])
        await attack.run()
    assert (out / "heygen/tr.vtt").read_bytes() == b"WEBVTT\n\n" + CUE * 3


async def test_compressed_caption_followed_by_endless_bytes_ends(out: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    opening = packer.compress(b"WEBVTT\n\n" + CUE) + packer.flush()
    file, sent = pours(opening, b"\xff" * 65536, {"Content-Encoding": "gzip"})
    async with hosting("HERE/file.vtt", file) as host:
        attack = HostileRun(out, host.url, [heygen_row("tr")])
        await attack.run()
    assert attack.states == {"heygen:tr": "bad_caption"}
    assert max(sent) < LIMIT


async def test_caption_that_is_too_slow_ends_at_the_deadline(out: Path) -> None:
    async def file(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"WEBVTT\n\n")
        while True:
            await asyncio.sleep(20.0)
            await response.write(CUE)

    async with hosting("HERE/file.vtt", file) as host:
        attack = HostileRun(out, host.url, [heygen_row("tr")])
        began = clock()
        await attack.run()
        assert clock() - began < 6 * 1800 + 100
    assert attack.states == {"heygen:tr": "unavailable"}


# Ids and messages that attack paths, terminals and logs


EVIL_IDS = [
    "../../../../etc/passwd",
    "..",
    ".",
    "/etc/passwd",
    "..%2f..%2fx",
    "a?b=c#d",
    "a\x00b",
    "\x1b[2J\x1b]0;owned\x07",
    "one\ntwo\r\n[fake] INFO line",
    "\u202eevil\u2028x",
    "x" * 5000,
]


class Robots:
    """Mux with jobs of a given id that complete at once; records the raw path of each request."""

    def __init__(self, job_id: str, **document: Any) -> None:
        self.job_id, self.document = job_id, document
        self.paths: list[str] = []
        self.url = ""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.raw_path)
        if request.raw_path.startswith("/file"):
            return web.Response(body=VTT)
        job = {"id": self.job_id, "status": "completed", **self.document}
        outputs = {"temporary_vtt_url": f"{self.url}/file?X-Goog-Signature=SECRET"}
        if request.method == "POST":
            job["status"] = "pending"
        return web.json_response({"data": {"outputs": outputs, **job}})


@asynccontextmanager
async def robots(job_id: str, **document: Any) -> AsyncIterator[Robots]:
    peer = Robots(job_id, **document)
    async with http_server(peer) as url:
        peer.url = url
        yield peer


@pytest.fixture
def log_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("log") / "log"
    log.set_up(False, path)
    yield path
    log.set_up(False, None)


@pytest.mark.parametrize("job_id", EVIL_IDS, ids=ascii)
async def test_job_id_with_path_characters_stays_one_segment(
    out: Path, job_id: str, log_file: Path
) -> None:
    async with robots(job_id) as peer:
        attack = HostileRun(out, peer.url, [mux_row("film", track_id="t")])
        await attack.run()
    assert attack.states in ({"mux:film:es": "done"}, {"mux:film:es": "outcome_unknown"})
    assert attack.files() <= {"mux/film.es.vtt"}
    assert_nothing_beside(out)
    requests = [
        path for path in peer.paths if path.startswith("/robots/v0/jobs/translate-captions/")
    ]
    for path in requests:
        assert path.count("/") == 5, path
        assert path.rpartition("/")[2] not in {".", "..", ""}
    lines = log_file.read_text().splitlines()
    assert all(line.isprintable() and json.loads(line)["event"] for line in lines), lines


@pytest.mark.parametrize("playback_id", EVIL_IDS, ids=ascii)
async def test_playback_id_with_path_characters_stays_one_segment(
    out: Path, playback_id: str
) -> None:
    paths: list[str] = []

    async def peer(request: web.Request) -> web.Response:
        paths.append(request.raw_path)
        if request.raw_path.startswith("/video/"):
            track = {"type": "text", "id": playback_id, "language_code": "es", "status": "ready"}
            playback = {"policy": "public", "id": playback_id}
            data = {"tracks": [track], "playback_ids": [playback]}
            return web.json_response({"data": data})
        return web.Response(body=VTT)

    async with http_server(peer) as url:
        attack = HostileRun(out, url, [mux_row("film", from_language="en")])
        await attack.run()
    assert set(attack.states.values()) <= {"done", "link_dead", "unavailable"}
    assert attack.files() <= {"mux/film.es.vtt"}
    for path in paths[1:]:
        segments = path.split("/")
        assert segments[2] == "text", path
        assert segments[1] not in {"", ".", ".."}


WEAPONS = "\x1b]0;owned\x07 \x9b2J \u202e \u2028 one\r\nerror: two https://x.example/f?sig=SECRET"


async def test_provider_message_is_safe_to_print(out: Path, log_file: Path) -> None:
    async def peer(request: web.Request) -> web.Response:
        if request.method == "POST":
            return web.json_response({"data": {"id": "job", "status": "pending"}})
        errors = [{"type": WEAPONS, "message": WEAPONS}]
        data = {"id": "job", "status": "errored", "errors": errors, "failure_message": WEAPONS}
        if "/v3/" in request.path:
            data |= {"video_id": "tr", "status": "failed", "error": WEAPONS}
        listed = [data] if request.path.endswith("statuses") else data
        return web.json_response({"data": listed, "error": None})

    rows = [mux_row("film", track_id="t"), heygen_row("tr")]
    async with http_server(peer) as url:
        attack = HostileRun(out, url, rows)
        await attack.run()
    assert set(attack.states.values()) == {"job_failed"}
    for result in attack.results:
        assert result["error"]["message"].isprintable()
        assert "SECRET" not in result["error"]["message"]
    text = log_file.read_text()
    assert "SECRET" not in text
    assert all(line.isprintable() for line in text.splitlines())


async def test_unknown_job_status_is_safe_to_print(out: Path, log_file: Path) -> None:
    async with robots("job", status=WEAPONS) as peer:
        attack = HostileRun(out, peer.url, [mux_row("film", track_id="t")], job_timeout=60.0)
        await attack.run()
    assert attack.states == {"mux:film:es": "job_timeout"}
    assert "SECRET" not in log_file.read_text() + attack.shown_text()
    assert all(line.isprintable() for line in log_file.read_text().splitlines())


# A Retry-After of a year


async def busy(request: web.Request, status: int = 429) -> web.Response:
    return web.Response(status=status, headers={"Retry-After": str(YEAR)})


async def shut(request: web.Request) -> web.Response:
    return await busy(request, 503)


@pytest.mark.parametrize("peer", [busy, shut], ids=["429", "503"])
async def test_retry_after_of_a_year_is_kept_reported_and_can_be_stopped(
    out: Path, peer: Handler
) -> None:
    async with http_server(peer) as url:
        rows = [mux_row("film", from_language="en"), heygen_row("tr")]
        attack = HostileRun(out, url, rows)
        began = clock()
        await attack.run(stop_after=3600.0)
        assert clock() - began == pytest.approx(3600, abs=1)
        for name in ("mux.read", "heygen"):
            assert longest_pause(attack, name) == pytest.approx(YEAR, abs=10)
            assert attack.metrics.requests[name] == 1
        assert set(attack.states.values()) == {"pending"}
        again = HostileRun(out, url, [])
        await again.run(stop_after=3600.0)
    assert again.metrics.requests.total() == 0
    text = {event.bucket: event.seconds for event in again.recorder.of(Paused)}
    assert text["mux.read"] == pytest.approx(YEAR - 3600, abs=20)


def longest_pause(attack: HostileRun, bucket: str) -> float:
    return max(event.seconds for event in attack.recorder.of(Paused) if event.bucket == bucket)


async def test_file_host_retry_after_of_a_year_is_reported_and_can_be_stopped(out: Path) -> None:
    async with hosting("HERE/file.vtt", busy) as host:
        attack = HostileRun(out, host.url, [heygen_row("tr")])
        await attack.run(stop_after=3600.0)
    assert attack.states == {"heygen:tr": "pending"}
    assert longest_pause(attack, "downloads") > YEAR - 10
    assert len(host.fetched) == 1


async def test_progress_pause_of_a_year_is_shown() -> None:
    tracker = RunTracker(Totals(), {}, now)
    tracker(RateChanged("mux.write", 1.0))
    tracker(Paused("mux.write", float(YEAR)))
    assert "mux.write pauses for 8760h" in line(tracker.snapshot())


HUGE = ["1e308", "9" * 400, "1e400", "nan", "-1", "Sun, 31 Dec 9999 23:59:59 GMT", "x" * 4000]


@pytest.mark.parametrize("value", HUGE, ids=lambda value: value[:20])
@pytest.mark.parametrize("header", ["Retry-After", "X-RateLimit-Reset", "X-RateLimit-Limit"])
async def test_header_with_absurd_number_does_not_stop_the_run(
    out: Path, header: str, value: str
) -> None:
    async def peer(request: web.Request) -> web.Response:
        headers = {"X-RateLimit-Remaining": "0", header: value}
        return web.Response(status=429, headers=headers)

    async with http_server(peer) as url:
        rates = {"mux.read": 5.0, "mux.write": 1.0, "heygen": 5.0}
        rows = [mux_row("film", from_language="en"), heygen_row("tr")]
        attack = HostileRun(out, url, rows, rates=rates)
        await attack.run(stop_after=300.0)
        assert set(attack.states.values()) <= {"pending", "unavailable"}
        again = HostileRun(out, url, [], rates=rates)
        await again.run(stop_after=300.0)


# Links planted in the output folder


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "victim").write_bytes(b"precious")
    return folder


SIZES = [2000, 600_000]
"""A caption that is held in memory, and one that is streamed."""


async def run_two_rows(out: Path, size: int) -> RunResult:
    async with Sandbox(SandboxOptions(caption_bytes=size)) as sandbox:
        return await run_rows(sandbox, out, [mux_row("film", from_language="en"), heygen_row("tr")])


def assert_untouched(outside: Path) -> None:
    assert [path.name for path in outside.iterdir()] == ["victim"]
    assert (outside / "victim").read_bytes() == b"precious"


@pytest.mark.parametrize("size", SIZES)
async def test_folder_that_is_a_link_is_not_followed(out: Path, outside: Path, size: int) -> None:
    out.mkdir()
    (out / "mux").symlink_to(outside, target_is_directory=True)
    result = await run_two_rows(out, size)
    assert "symbolic link" in result.fatal[0].message
    assert "Remove the link" in result.fatal[0].hint
    assert result.states()["mux:film:es"] == "pending"
    assert_untouched(outside)


@pytest.mark.parametrize("size", SIZES)
async def test_inner_folder_that_is_a_link_is_not_followed(
    out: Path, outside: Path, size: int
) -> None:
    (out / "a/b").mkdir(parents=True)
    (out / "a/b/c").symlink_to(outside)
    row = mux_row("film", from_language="en")
    deep = Row(
        key=row.key,
        provider=row.provider,
        source_id=row.source_id,
        language=row.language,
        target=row.target,
        params=row.params,
        path="a/b/c/d/film.vtt",
    )
    async with Sandbox(SandboxOptions(caption_bytes=size)) as sandbox:
        result = await run_rows(sandbox, out, [deep])
    assert "symbolic link" in result.fatal[0].message
    assert_untouched(outside)


@pytest.mark.parametrize("size", SIZES)
async def test_links_named_like_files_are_replaced_and_not_followed(
    out: Path, outside: Path, size: int
) -> None:
    from batchcap.storage.file_store import CaptionStore

    for path in ("mux/film.es.vtt", "heygen/tr.vtt"):
        (out / path).parent.mkdir(parents=True)
        (out / path).symlink_to(outside / "victim")
        CaptionStore(out, None).part(path).symlink_to(outside / "victim")
    (out / "results.jsonl").symlink_to(outside / "victim")
    (out / ".results.jsonl.part").symlink_to(outside / "victim")
    result = await run_two_rows(out, size)
    from batchcap.reports.results import write_results

    with closing(open_ledger(out)) as ledger:
        write_results(ledger, out)
    assert set(result.states().values()) == {"done"}
    for path in ("mux/film.es.vtt", "heygen/tr.vtt", "results.jsonl"):
        assert not (out / path).is_symlink()
        assert (out / path).stat().st_size > 100
    assert not list(out.rglob("*.part"))
    assert_untouched(outside)


@pytest.mark.parametrize("size", SIZES)
async def test_output_folder_may_be_a_link(out: Path, tmp_path: Path, size: int) -> None:
    (tmp_path / "real").mkdir()
    out.symlink_to(tmp_path / "real")
    result = await run_two_rows(out, size)
    assert set(result.states().values()) == {"done"}
    assert (tmp_path / "real/mux/film.es.vtt").is_file()


async def test_link_named_like_a_caption_is_not_adopted(out: Path, outside: Path) -> None:
    from batchcap.storage.file_store import CaptionStore

    (outside / "good.vtt").write_bytes(VTT)
    (out / "mux").mkdir(parents=True)
    (out / "mux/a.vtt").symlink_to(outside / "good.vtt")
    os.mkfifo(out / "mux/pipe.vtt")
    store = CaptionStore(out, None)
    assert await store.read("mux/a.vtt", 0.0) is None
    assert await store.read("mux/pipe.vtt", 0.0) is None
    (out / "linked").symlink_to(outside)
    assert await store.read("linked/good.vtt", 0.0) is None


# Everything that is printed


def test_row_key_with_control_characters_is_one_line_of_the_log(log_file: Path) -> None:
    from batchcap.domain.events import RowStarted

    event: Event = RowStarted(Row(
        key=f"a\nb{WEAPONS}", provider="mux", source_id="x", language=None, path="x"
    ))  # fmt: skip
    log.logged(event)
    (line,) = log_file.read_text().splitlines()
    assert line.isprintable()


@pytest.mark.parametrize("name", ["", "ledger.sqlite", "lock"])
async def test_ledger_is_not_written_through_a_link(out: Path, outside: Path, name: str) -> None:
    from batchcap.storage.ledger import Lock

    planted = out / ".batchcap" / name
    planted.parent.mkdir(parents=True)
    planted.symlink_to(outside / "victim" if name else outside)
    with pytest.raises(FatalError), Lock(out):
        open_ledger(out, create=True)
    assert_untouched(outside)


async def test_credential_repeated_by_a_provider_is_not_shown(out: Path, log_file: Path) -> None:
    async def peer(request: web.Request) -> web.Response:
        sent = f"{request.headers.get('X-Api-Key')} {request.headers.get('Authorization')}"
        message = f"cannot do this with {sent} {' '.join(SECRETS.values())}"
        return web.json_response({"error": {"type": "x", "message": message}}, status=422)

    async with http_server(peer) as url:
        attack = HostileRun(out, url, [mux_row("film", from_language="en"), heygen_row("tr")])
        await attack.run()
    assert set(attack.states.values()) == {"rejected"}
    ledger = b"".join(path.read_bytes() for path in (out / ".batchcap").iterdir())
    text = log_file.read_text() + attack.shown_text() + json.dumps(attack.results)
    assert "cannot do this with ***" in text
    pair = base64.b64encode(b"token-id-of-the-user:token-secret-of-the-user").decode()
    credentials = {"mux": ("MUX_TOKEN_ID", "MUX_TOKEN_SECRET"), "heygen": ("HEYGEN_API_KEY",)}
    for result in attack.results:
        for name in credentials[result["provider"]]:
            assert SECRETS[name] not in result["error"]["message"]
    assert pair not in text
    assert pair.encode() not in ledger
