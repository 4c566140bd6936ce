"""From a link to a verified file, over real sockets into real folders."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from aiohttp import web

from batchcap.domain.errors import (
    BadCaption,
    BadQuality,
    FatalError,
    LinkExpired,
    RowError,
    Stopped,
    Unavailable,
)
from batchcap.domain.models import Caption
from tests.harness.clock import clock
from tests.harness.downloader import running_downloader
from tests.harness.files import file_size_limit
from tests.harness.rows import VTT
from tests.harness.servers import Handler, http_server, raw_server, read_request

pytestmark = pytest.mark.anyio

T = TypeVar("T")

CUE = b"00:00:01.000 --> 00:00:02.000\n" + b"x" * 70 + b"\n\n"
LARGE = b"WEBVTT\n\n" + CUE * 4000
HEAD = b"HTTP/1.1 200 OK\r\n"
assert len(LARGE) > 256 * 1024


@pytest.fixture(params=["inline", "threaded"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor | None]:
    if request.param == "inline":
        yield None
        return
    with ThreadPoolExecutor(4) as pool:
        yield pool


async def free(slots: asyncio.Semaphore) -> int:
    """Take all free slots and return their number."""
    count = 0
    while not slots.locked():
        await slots.acquire()
        count += 1
    return count


def serves(body: bytes, status: int = 200) -> Handler:
    async def host(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    return host


def described(data: bytes, cues: int) -> Caption:
    return Caption(len(data), hashlib.sha256(data).hexdigest(), cues)


@pytest.mark.parametrize(("data", "cues"), [(VTT, 1), (LARGE, 4000)], ids=["small", "large"])
async def test_fetch_caption_is_saved_byte_for_byte(
    tmp_path: Path, executor: Executor | None, data: bytes, cues: int
) -> None:
    async with (
        http_server(serves(data)) as url,
        running_downloader(tmp_path, executor) as downloader,
    ):
        assert await downloader.fetch(f"{url}/x") == described(data, cues)
        assert downloader.files() == {"d/a.vtt": data}


@pytest.mark.parametrize("length", [256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1])
async def test_fetch_at_the_memory_limit_saves_every_size_alike(
    tmp_path: Path, length: int
) -> None:
    data = LARGE[: length - 2].rpartition(b"\n\n")[0]
    data += b"\n\nNOTE " + b"n" * (length - len(data) - 8) + b"\n"
    assert len(data) == length
    async with http_server(serves(data)) as url, running_downloader(tmp_path) as downloader:
        caption = await downloader.fetch(f"{url}/x")
        assert caption.bytes == length
        assert downloader.files() == {"d/a.vtt": data}


@pytest.mark.parametrize("data", [VTT, LARGE], ids=["small", "large"])
async def test_fetch_compressed_caption_is_saved_decompressed(tmp_path: Path, data: bytes) -> None:
    async def host(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "gzip"
        return web.Response(body=gzip.compress(data), headers={"Content-Encoding": "gzip"})

    async with http_server(host) as url, running_downloader(tmp_path) as downloader:
        assert (await downloader.fetch(f"{url}/x")).sha256 == hashlib.sha256(data).hexdigest()
        assert downloader.files() == {"d/a.vtt": data}


async def test_downloader_sixty_broken_files_do_not_open_the_circuit(tmp_path: Path) -> None:
    async def host(request: web.Request) -> web.Response:
        broken = gzip.compress(VTT)[:10] + b"\xff" * 40
        if request.path.endswith(("1", "2", "3", "4", "5")):
            broken = gzip.compress(VTT)[:-4]
        body = VTT if request.path == "/good" else broken
        encoding = {} if request.path == "/good" else {"Content-Encoding": "gzip"}
        return web.Response(body=body, headers=encoding)

    async with http_server(host) as url, running_downloader(tmp_path) as downloader:
        assert (await downloader.fetch(f"{url}/good")).cues == 1
        for number in range(60):
            with pytest.raises(BadCaption):
                await downloader.fetch(f"{url}/{number}")
        assert (await downloader.fetch(f"{url}/good")).cues == 1


@pytest.mark.parametrize(
    ("data", "largest"), [(VTT, len(VTT) - 1), (LARGE, 10), (LARGE, 1000), (LARGE, 300_000)]
)
async def test_fetch_above_the_size_limit_raises_bad_caption(
    tmp_path: Path, data: bytes, largest: int
) -> None:
    async with (
        http_server(serves(data)) as url,
        running_downloader(tmp_path, largest=largest) as downloader,
    ):
        with pytest.raises(BadCaption, match=str(largest)):
            await downloader.fetch(f"{url}/x")
        assert downloader.files() == {}


HTML = b"<html><body>Not today"


@pytest.mark.parametrize("data", [HTML, HTML + b" " * 300_000], ids=["small", "large"])
async def test_fetch_refused_text_is_kept_until_the_caption_is_saved(
    tmp_path: Path, executor: Executor | None, data: bytes
) -> None:
    (tmp_path / ".batchcap").mkdir()
    bodies = [data, VTT]

    async def host(_request: web.Request) -> web.Response:
        return web.Response(body=bodies.pop(0))

    async with http_server(host) as url, running_downloader(tmp_path, executor) as downloader:
        with pytest.raises(BadCaption, match=r"^an HTML page, not WebVTT; it is kept as ") as error:
            await downloader.fetch(f"{url}/x")
        refused_file = Path(error.value.message.partition(" kept as ")[2])
        assert refused_file.parent == tmp_path / ".batchcap/refused"
        assert refused_file.read_bytes() == data[: 256 * 1024]
        await downloader.fetch(f"{url}/x")
        assert not refused_file.exists()


async def test_fetch_refused_bytes_that_are_no_text_are_not_kept(tmp_path: Path) -> None:
    (tmp_path / ".batchcap").mkdir()
    data = b"\x00\x01\xff not a caption"
    async with http_server(serves(data)) as url, running_downloader(tmp_path) as downloader:
        with pytest.raises(BadCaption, match="not WebVTT") as error:
            await downloader.fetch(f"{url}/x")
        assert "kept" not in error.value.message
        assert list((tmp_path / ".batchcap").iterdir()) == []


async def test_fetch_of_exactly_the_size_limit_is_saved(tmp_path: Path) -> None:
    async with (
        http_server(serves(LARGE)) as url,
        running_downloader(tmp_path, largest=len(LARGE)) as downloader,
    ):
        assert (await downloader.fetch(f"{url}/x")).bytes == len(LARGE)


async def test_fetch_compressed_bomb_is_limited_by_its_decompressed_size(tmp_path: Path) -> None:
    bomb = gzip.compress(b"WEBVTT\n\n" + CUE * 100_000)
    assert len(bomb) < 100_000

    async def host(_request: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with (
        http_server(host) as url,
        running_downloader(tmp_path, largest=1_000_000) as downloader,
    ):
        with pytest.raises(BadCaption):
            await downloader.fetch(f"{url}/x")
        assert downloader.files() == {}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"WEBVTT\n\n00:00:09,000 --> 00:00:10,000\n",
        b"<html>login</html>",
        b'{"error": "x"}',
        VTT[:20],
        LARGE.replace(b".", b","),
        LARGE + b"x" * 1_100_000,
        b"x" * 400_000,
    ],
    ids=["empty", "no cue", "html", "json", "cut", "large bad", "long line", "large other"],
)
async def test_fetch_of_an_invalid_caption_leaves_nothing(
    tmp_path: Path, executor: Executor | None, data: bytes
) -> None:
    async with (
        http_server(serves(data)) as url,
        running_downloader(tmp_path, executor) as downloader,
    ):
        with pytest.raises(BadCaption):
            await downloader.fetch(f"{url}/x")
        assert downloader.files() == {}


async def test_fetch_of_an_invalid_caption_leaves_the_earlier_file(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.vtt").write_bytes(VTT)
    async with (
        http_server(serves(LARGE.replace(b".", b","))) as url,
        running_downloader(tmp_path) as downloader,
    ):
        with pytest.raises(BadCaption):
            await downloader.fetch(f"{url}/x")
        assert downloader.files() == {"d/a.vtt": VTT}


@pytest.mark.parametrize("sent", [len(VTT) - 5, len(LARGE) - 5, 300_000])
async def test_fetch_body_always_cut_is_tried_six_times(tmp_path: Path, sent: int) -> None:
    times: list[float] = []

    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        times.append(clock())
        writer.write(HEAD + b"Content-Length: 1000000\r\n\r\n" + LARGE[:sent])
        await writer.drain()

    async with raw_server(host) as url, running_downloader(tmp_path) as downloader:
        with pytest.raises(Unavailable):
            await downloader.fetch(f"{url}/x")
        assert downloader.files() == {}
    gaps = [round(b - a, 1) for a, b in pairwise(times)]
    assert gaps == [0.5, 1.0, 2.0, 4.0, 8.0]


async def test_fetch_body_cut_once_is_saved_whole(tmp_path: Path) -> None:
    count = 0

    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_request(reader)
        count += 1
        body = LARGE if count > 1 else LARGE[:400_000]
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(LARGE) + body)
        await writer.drain()

    async with raw_server(host) as url, running_downloader(tmp_path) as downloader:
        await downloader.fetch(f"{url}/x")
        assert downloader.files() == {"d/a.vtt": LARGE}
    assert count == 2


@pytest.mark.parametrize("sent", [1000, 300_000], ids=["small", "large"])
async def test_fetch_silent_host_raises_unavailable_and_no_disk_error(
    tmp_path: Path, sent: int
) -> None:
    """A timeout is an OSError too, but must not be reported as an error of the disk."""
    count = 0

    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        await read_request(reader)
        count += 1
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE[:sent])
        await writer.drain()
        await asyncio.sleep(3600)

    async with raw_server(host) as url, running_downloader(tmp_path) as downloader:
        with pytest.raises(Unavailable):
            await downloader.fetch(f"{url}/x")
        assert downloader.files() == {}
    assert count == 6


@pytest.mark.parametrize("sent", [1000, 300_000], ids=["small", "large"])
async def test_fetch_connection_reset_raises_unavailable_and_no_disk_error(
    tmp_path: Path, sent: int
) -> None:
    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE[:sent])
        await writer.drain()
        await asyncio.sleep(1)
        writer.transport.abort()

    async with raw_server(host) as url, running_downloader(tmp_path) as downloader:
        with pytest.raises(Unavailable):
            await downloader.fetch(f"{url}/x")
        assert downloader.files() == {}


async def test_fetch_retry_after_is_respected_and_counts_as_no_attempt(tmp_path: Path) -> None:
    times: list[float] = []

    async def host(_request: web.Request) -> web.Response:
        times.append(clock())
        if len(times) <= 10:
            return web.Response(status=503, headers={"Retry-After": "100"})
        return web.Response(body=VTT)

    async with http_server(host) as url, running_downloader(tmp_path) as downloader:
        await downloader.fetch(f"{url}/x")
    assert times[-1] - times[0] == pytest.approx(1000, abs=1)


async def test_fetch_expired_link_is_not_retried(tmp_path: Path) -> None:
    count = 0

    async def host(_request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        return web.Response(status=403)

    async with http_server(host) as url, running_downloader(tmp_path) as downloader:
        with pytest.raises(LinkExpired):
            await downloader.fetch(f"{url}/x")
        with pytest.raises(RowError, match="not a public address"):
            await downloader.fetch("https://10.0.0.1/x")
    assert count == 1


@pytest.mark.parametrize("data", [VTT, LARGE], ids=["small", "large"])
async def test_fetch_file_in_place_of_a_folder_is_cannot_store_after_one_request(
    tmp_path: Path, executor: Executor | None, data: bytes
) -> None:
    (tmp_path / "d").write_bytes(b"a file")
    count = 0

    async def host(_request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        return web.Response(body=data)

    async with http_server(host) as url, running_downloader(tmp_path, executor) as downloader:
        with pytest.raises(RowError, match="remove the file") as caught:
            await downloader.fetch(f"{url}/x")
        assert caught.value.code == "cannot_store"
        assert downloader.files() == {"d": b"a file"}
    assert count == 1


@pytest.mark.parametrize("data", [VTT, LARGE], ids=["small", "large"])
async def test_fetch_onto_a_folder_is_cannot_store(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "d/a.vtt").mkdir(parents=True)
    async with http_server(serves(data)) as url, running_downloader(tmp_path) as downloader:
        with pytest.raises(RowError, match="cannot write"):
            await downloader.fetch(f"{url}/x")
        assert downloader.files() == {}


@pytest.mark.parametrize("data", [VTT, LARGE], ids=["small", "large"])
async def test_fetch_full_disk_is_fatal(tmp_path: Path, data: bytes) -> None:
    async with http_server(serves(data)) as url, running_downloader(tmp_path) as downloader:
        with file_size_limit(20), pytest.raises(FatalError, match="File too large"):
            await downloader.fetch(f"{url}/x")
        assert downloader.files() == {}


async def test_fetch_concurrent_files_never_exceed_the_slots(tmp_path: Path) -> None:
    out = most = 0

    async def host(_request: web.Request) -> web.Response:
        nonlocal out, most
        out += 1
        most = max(most, out)
        await asyncio.sleep(1)
        out -= 1
        return web.Response(body=VTT)

    async with http_server(host) as url, running_downloader(tmp_path) as downloader:
        async with anyio.create_task_group() as group:
            for number in range(12):
                group.start_soon(downloader.fetch, f"{url}/x", f"{number}.vtt")
        assert await free(downloader.slots) == 4
    assert most == 4


async def test_fetch_waiting_for_a_retry_holds_no_slot(tmp_path: Path) -> None:
    async def host(_request: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "1000"})

    async with http_server(host) as url, running_downloader(tmp_path) as downloader:
        task = asyncio.ensure_future(downloader.fetch(f"{url}/x"))
        await asyncio.sleep(10)
        assert await free(downloader.slots) == 4
        downloader.stop.request()
        with pytest.raises(Stopped):
            await task


async def test_fetch_after_a_stop_sends_nothing(tmp_path: Path) -> None:
    async with http_server(serves(VTT)) as url, running_downloader(tmp_path) as downloader:
        downloader.stop.request()
        with pytest.raises(Stopped):
            await downloader.fetch(f"{url}/x")
        assert downloader.files() == {}


@pytest.mark.parametrize("sent", [1000, 300_000], ids=["small", "large"])
async def test_fetch_cancelled_leaves_no_temporary_file(
    tmp_path: Path, executor: Executor | None, sent: int
) -> None:
    async def host(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(LARGE) + LARGE[:sent])
        await writer.drain()
        await asyncio.sleep(3600)

    async with raw_server(host) as url, running_downloader(tmp_path, executor) as downloader:
        with anyio.move_on_after(5):
            await downloader.fetch(f"{url}/x")
        assert downloader.files() == {}
        assert await free(downloader.slots) == 4


class SlowDisk(ThreadPoolExecutor):
    """A thread in which every call begins late; calls `on_call` with the call's number."""

    calls = 0
    on_call: Callable[[int], None] = staticmethod(lambda _: None)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        def slowly() -> T:
            time.sleep(0.02)
            return fn(*args, **kwargs)

        self.calls += 1
        self.on_call(self.calls)
        return super().submit(slowly)


@pytest.mark.parametrize("step", ["open", "first write", "last write"])
async def test_fetch_cancelled_during_a_write_renames_nothing(tmp_path: Path, step: str) -> None:
    """A thread cannot be interrupted: the fetch waits for its write, then discards the file."""
    with SlowDisk(1) as disk:
        async with (
            http_server(serves(LARGE)) as url,
            running_downloader(tmp_path, disk) as downloader,
        ):
            await downloader.fetch(f"{url}/x", "whole.vtt")  # open, writes, close, rename
            last = {"open": 1, "first write": 2, "last write": disk.calls - 2}[step] + disk.calls
            with anyio.CancelScope() as scope:
                disk.on_call = lambda number: scope.cancel() if number == last else None
                await downloader.fetch(f"{url}/x", "cancelled.vtt")
            assert scope.cancelled_caught
            await downloader.store.drain()
    assert disk.calls <= last + (2 if step == "open" else 1), "a write, and the close"
    assert list(downloader.files()) == ["whole.vtt"]


async def test_fetch_during_an_outage_loses_no_caption(tmp_path: Path) -> None:
    down_from, down_until = clock() + 5, clock() + 305

    async def host(_: web.Request) -> web.Response:
        down = down_from <= clock() < down_until
        return web.Response(status=503) if down else web.Response(body=VTT)

    async with (
        http_server(host) as url,
        running_downloader(tmp_path) as harness,
        anyio.create_task_group() as group,
    ):
        await harness.fetch(f"{url}/first")
        await asyncio.sleep(10)
        for number in range(20):
            group.start_soon(harness.fetch, f"{url}/{number}", f"d/{number}.vtt")
    assert len(harness.files()) == 21


def refuses(_data: bytes) -> dict[str, int]:
    raise BadQuality("empty in cue 1: no text")


@pytest.mark.parametrize("data", [VTT, LARGE], ids=["small", "large"])
async def test_fetch_with_examine_has_its_findings(
    tmp_path: Path, executor: Executor | None, data: bytes
) -> None:
    async with (
        http_server(serves(data)) as url,
        running_downloader(tmp_path, executor) as harness,
    ):
        caption = await harness.downloader.fetch(
            f"{url}/x", "d/a.vtt", lambda all_: {"x": len(all_)}
        )
    assert caption.quality == {"x": len(data)}


@pytest.mark.parametrize("data", [VTT, LARGE], ids=["small", "large"])
async def test_fetch_that_examine_refuses_gives_no_name_and_keeps_the_file_aside(
    tmp_path: Path, executor: Executor | None, data: bytes
) -> None:
    (tmp_path / ".batchcap").mkdir()
    async with (
        http_server(serves(data)) as url,
        running_downloader(tmp_path, executor) as harness,
    ):
        with pytest.raises(BadQuality, match=r"empty in cue 1: no text; it is kept as "):
            await harness.downloader.fetch(f"{url}/x", "d/a.vtt", refuses)
        assert harness.files() == {}
    (kept,) = (tmp_path / ".batchcap" / "refused").iterdir()
    assert data.startswith(kept.read_bytes())


async def test_adopt_takes_findings_and_removes_what_examine_refuses(
    tmp_path: Path, executor: Executor | None
) -> None:
    async with (
        http_server(serves(VTT)) as url,
        running_downloader(tmp_path, executor) as harness,
    ):
        await harness.fetch(f"{url}/x")
        adopted = await harness.downloader.adopt("d/a.vtt", 0.0, lambda _: {"empty": 1})
        assert adopted is not None
        assert adopted.quality == {"empty": 1}
        assert await harness.downloader.adopt("d/a.vtt", 0.0, refuses) is None
        assert harness.files() == {}
        assert await harness.downloader.adopt("d/a.vtt", 0.0, refuses) is None
