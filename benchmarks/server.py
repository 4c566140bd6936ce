"""Both providers and their file hosts, as lean as Python gets: never the bottleneck.

One process, one port, uvloop, answers rendered ahead, in the shapes in which the
providers give them (and `batchcap sandbox`, which knows faults and rules; this one
knows nothing but the way of a caption that succeeds). It keeps no jobs: a job's id
tells its caption.

    python -m benchmarks.server --caption-bytes 20000

prints the environment that points at it as one JSON line, and ends when its
standard input does. `GET /count` tells requests by route, and its own CPU seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import parse_qsl

import orjson
import uvloop

from benchmarks import texts
from benchmarks.texts import FILES

JOBS = "/robots/v0/jobs"
TRANSLATE = f"{JOBS}/translate-captions"
TRANSLATIONS = "/v3/video-translations"

_PAGE = 100
_FOREIGN_PAGES = 1000
_BORN = 1_795_000_000
_SIGNATURE = "9f2c61d0a4" * 25
"""About as long as a Google or CloudFront signature makes a link."""

_LENGTH = re.compile(rb"\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\nconnection:\s*close", re.IGNORECASE)

Body = tuple[bytes, ...]


class Site:
    """What is behind the routes. `handle` answers one request with its whole response."""

    def __init__(self, origin: str, size: int, job_seconds: float, listed: int) -> None:
        self._origin, self._size = origin, size
        self._job_seconds = job_seconds
        self._listed = listed
        self._active: deque[tuple[float, str]] = deque()
        self.counts: Counter[str] = Counter()
        others = [self._translation(f"other-tr-{number:07}") for number in range(_PAGE)]
        self._asked: dict[str, Callable[[Mapping[str, str]], Body]] = {
            JOBS: self._jobs,
            TRANSLATIONS: self._list,
            f"{TRANSLATIONS}/statuses": self._statuses,
            "/count": self._count,
        }
        self._named: dict[str, Callable[[str], Body]] = {
            FILES: self._file,
            TRANSLATE: self._job,
            TRANSLATIONS: self._look,
        }
        self._others = b",".join(orjson.dumps(one) for one in others)

    def handle(self, method: bytes, target: str, body: bytes) -> Body:
        """The response to one request."""
        path, _, query = target.partition("?")
        if method == b"POST":
            return self._create(body) if path == TRANSLATE else _missing()
        if answer := self._asked.get(path):
            return answer(dict(parse_qsl(query)))
        folder, _, name = path.rpartition("/")
        named = self._named.get(folder)
        return named(name) if named else _missing()

    def _count(self, _query: Mapping[str, str]) -> Body:
        return _json({"requests": self.counts, "cpu": time.process_time()})

    def _file(self, name: str) -> Body:
        self.counts["file"] += 1
        opening, rest = texts.caption(name.removesuffix(".vtt"), self._size)
        return (_head(b"200 OK", b"text/vtt", self._size) + opening, rest)

    def _create(self, body: bytes) -> Body:
        self.counts["create"] += 1
        asked = orjson.loads(body)
        about = asked["parameters"]
        name = f"{about['asset_id']}.{about['to_language_code']}"
        if self._job_seconds:
            self._active.append((time.monotonic() + self._job_seconds, name))
        job = self._document(name, "pending")
        return _json({"data": {**job, "passthrough": asked.get("passthrough")}}, b"202 Accepted")

    def _job(self, job_id: str) -> Body:
        self.counts["job"] += 1
        name = job_id.removeprefix("rjob_")
        active = self._job_seconds and name in {one for _, one in self._running()}
        job = self._document(name, "processing" if active else "completed")
        if not active:
            outputs = {"uploaded_track_id": f"track-{name}", "temporary_vtt_url": self._link(name)}
            job |= {"units_consumed": 1, "outputs": outputs}
        return _json({"data": job})

    def _jobs(self, query: Mapping[str, str]) -> Body:
        """All active jobs are processing; those of no duration are never listed."""
        self.counts["jobs list"] += 1
        running = self._running() if query.get("status") == "processing" else deque()
        limit, page = int(query.get("limit", 25)), int(query.get("page", 1))
        shown = [name for _, name in running][limit * (page - 1) : limit * page]
        jobs = [_summary(name, "processing") for name in shown]
        return _json({"data": jobs, "total_row_count": len(running)})

    def _running(self) -> deque[tuple[float, str]]:
        while self._active and self._active[0][0] <= time.monotonic():
            self._active.popleft()
        return self._active

    def _list(self, query: Mapping[str, str]) -> Body:
        """An account of others, page after page; or (`--listed N`) the manifest's own."""
        self.counts["translations list"] += 1
        limit, start = int(query.get("limit", 10)), int(query.get("token", 0))
        if not self._listed:
            token = start + 1 if start < _FOREIGN_PAGES else None
            return _page(self._others, token)
        shown = range(start, min(start + limit, self._listed))
        items = [orjson.dumps(self._translation(f"bench-tr-{number:07}")) for number in shown]
        return _page(b",".join(items), shown.stop if shown.stop < self._listed else None)

    def _statuses(self, query: Mapping[str, str]) -> Body:
        self.counts["statuses"] += 1
        ids = query["video_translation_ids"].split(",")
        rest = {"status": "completed", "error": None, "batch_id": None, "item_index": None}
        states = [{"video_id": one, **rest} for one in ids]
        return _json({"data": states, "has_more": False, "next_token": None})

    def _look(self, name: str) -> Body:
        self.counts["translation"] += 1
        return _json({"data": self._translation(name)})

    def _document(self, name: str, status: str) -> dict[str, Any]:
        asset, _, language = name.rpartition(".")
        about = {"asset_id": asset, "track_id": f"{asset}-en", "to_language_code": language}
        links = {"self": {"href": f"/video/v1/assets/{asset}"}}
        return {
            **_stamped(name, status),
            "units_consumed": 0,
            "parameters": {**about, "upload_to_mux": True},
            "resources": {"assets": [{"id": asset, "_links": links}]},
        }

    def _translation(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "title": f"Translation {name}",
            "status": "completed",
            "input_language": "en",
            "output_language": "es",
            "duration": 260.2,
            "created_at": _BORN,
            "callback_id": None,
            "translate_audio_only": False,
            "video_url": f"{self._origin}/video_translate/{name}/{name}.mp4",
            "audio_url": None,
            "srt_caption_url": None,
            "vtt_caption_url": self._link(name),
        }

    def _link(self, name: str) -> str:
        return f"{self._origin}{FILES}/{name}.vtt?Expires=1895871928&Signature={_SIGNATURE}"


class Connection(asyncio.Protocol):
    """One kept-alive connection; answers pipelined requests in order."""

    def __init__(self, handle: Callable[[bytes, str, bytes], Body]) -> None:
        self._handle = handle
        self._waiting = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        data = self._waiting + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(data, 0, end)
            after = end + 4 + (int(length[1]) if length else 0)
            if len(data) < after:
                break
            method, target, _ = data[: data.index(b"\r\n")].split(b" ")
            self._transport.writelines(self._handle(method, target.decode(), data[end + 4 : after]))
            if _CLOSES.search(data, 0, end):
                self._transport.close()
            data = data[after:]
        self._waiting = data


def _stamped(name: str, status: str) -> dict[str, Any]:
    about = {"id": f"rjob_{name}", "workflow": "translate-captions", "status": status}
    return {**about, "created_at": _BORN, "updated_at": _BORN}


def _summary(name: str, status: str) -> dict[str, Any]:
    return {
        **_stamped(name, status),
        "_links": {"self": {"href": f"{TRANSLATE}/rjob_{name}"}},
    }


def _page(items: bytes, token: int | None) -> Body:
    more = b'"has_more":true,"next_token":"%d"' % token if token else b'"has_more":false'
    body = b'{"data":[%b],%b}' % (items, more)
    return _response(b"200 OK", b"application/json", body)


def _missing() -> Body:
    return _response(b"404 Not Found", b"text/plain", b"no such route")


def _json(value: object, status: bytes = b"200 OK") -> Body:
    return _response(status, b"application/json", orjson.dumps(value))


def _response(status: bytes, kind: bytes, body: bytes) -> Body:
    return (_head(status, kind, len(body)) + body,)


def _head(status: bytes, kind: bytes, length: int) -> bytes:
    return (
        b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n"
        b"Date: Sat, 21 Nov 2026 12:00:00 GMT\r\n"
        b"X-Request-Id: 8ebdb1982891a23a06878bbf4e759a96\r\n\r\n"
    ) % (status, kind, length)


async def serve(size: int, job_seconds: float, listed: int) -> None:
    """Serve on a free port of loopback until standard input ends."""
    loop = asyncio.get_running_loop()
    site: Site
    server = await loop.create_server(lambda: Connection(site.handle), "127.0.0.1", 0, backlog=2048)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    site = Site(origin, size, job_seconds, listed)
    closed = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), closed.set)
    sys.stdout.write(orjson.dumps(environment(origin)).decode() + "\n")
    sys.stdout.flush()
    await closed.wait()


def environment(origin: str) -> dict[str, str]:
    """What points batchcap and every contender at the server."""
    return {
        "MUX_TOKEN_ID": "benchmark-token-id",
        "MUX_TOKEN_SECRET": "benchmark-token-secret",
        "MUX_BASE_URL": origin,
        "MUX_STREAM_BASE_URL": origin,
        "HEYGEN_API_KEY": "benchmark-heygen-key",
        "HEYGEN_API_BASE": origin,
    }


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    parser.add_argument("--caption-bytes", type=int, default=20_000)
    parser.add_argument("--job-seconds", type=float, default=0.0, help="how long a Mux job takes")
    parser.add_argument(
        "--listed", type=int, default=0, help="the HeyGen list names this many of the manifest's"
    )
    given = parser.parse_args()
    uvloop.run(serve(given.caption_bytes, given.job_seconds, given.listed))


if __name__ == "__main__":
    main()
