"""The baseline: what an expert would write by hand for exactly this work.

aiohttp at its best: uvloop, 64 workers on one iterator, one session, `read()` and orjson,
states in bulk. As durable as batchcap: files are written, synced and renamed, many in one
thread hop; a log line is on disk before a create, after it and at the end, with one sync
for all lines that wait. Captions are checked with batchcap's own check. No retries, no
limits, no resuming, no report.

    python -m benchmarks.competitors.baseline MANIFEST OUT
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiohttp
import orjson
import uvloop
from yarl import URL

from batchcap.captions import webvtt

T = TypeVar("T")
Row = dict[str, str]

WORKERS = 64
BULK = 100  # ids or jobs in one request
LINGER = 0.01  # seconds for which a sweep waits for more jobs


class Batcher(Generic[T]):
    """Runs `work` in a thread for all callers that wait, one batch after the other."""

    def __init__(self, work: Callable[[Sequence[T]], None]) -> None:
        self.work = work
        self.thread = ThreadPoolExecutor(1)
        self.waiting: list[tuple[T, asyncio.Future[None]]] = []
        self.running: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> None:
        """Return when the item is done."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self.waiting.append((item, done))
        if self.running is None:
            self.running = loop.create_task(self.run())
        await done

    async def run(self) -> None:
        """Work until no item is left; items that come meanwhile share the next batch."""
        loop = asyncio.get_running_loop()
        while self.waiting:
            batch, self.waiting = self.waiting, []
            await loop.run_in_executor(self.thread, self.work, [item for item, _ in batch])
            for _, done in batch:
                done.set_result(None)
        self.running = None


class Sweep:
    """Waits until Mux jobs are on neither list of active jobs, with one sweep for all."""

    def __init__(self, get: Callable[[str], Awaitable[Any]]) -> None:
        self.get = get
        self.waiting: dict[str, asyncio.Future[None]] = {}
        self.running: asyncio.Task[None] | None = None

    async def wait(self, job: str) -> None:
        """Return when a job is no longer active."""
        loop = asyncio.get_running_loop()
        self.waiting[job] = done = loop.create_future()
        if self.running is None:
            self.running = loop.create_task(self.run())
        await done

    async def run(self) -> None:
        """Sweep as long as there are jobs to wait for."""
        while self.waiting:
            await asyncio.sleep(LINGER)
            swept = list(self.waiting)
            active = {
                job for status in ("pending", "processing") async for job in self.active(status)
            }
            for job in swept:
                if job not in active:
                    self.waiting.pop(job).set_result(None)
        self.running = None

    async def active(self, status: str) -> AsyncIterator[str]:
        """Ids of all jobs of one status."""
        query, page, full = f"workflow=translate-captions&status={status}&limit={BULK}", 0, True
        while full:
            page += 1
            jobs = (await self.get(f"/robots/v0/jobs?{query}&page={page}"))["data"]
            for job in jobs:
                yield job["id"]
            full = len(jobs) == BULK


class Baseline:
    """All rows of a manifest, from id to durable file."""

    def __init__(self, session: aiohttp.ClientSession, out: Path) -> None:
        self.session = session
        self.mux, self.heygen = os.environ["MUX_BASE_URL"], os.environ["HEYGEN_API_BASE"]
        self.auth = aiohttp.encode_basic_auth(
            os.environ["MUX_TOKEN_ID"], os.environ["MUX_TOKEN_SECRET"]
        )
        self.key = os.environ["HEYGEN_API_KEY"]
        self.log_file = os.open(out / "log.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.out = out
        self.log = Batcher(self.append_to_log)
        self.files = Batcher(self.write_files)
        self.sweep = Sweep(self.request_mux)

    async def request(self, url: str, headers: dict[str, str], data: bytes | None = None) -> Any:
        """GET, or POST if there is `data`; return the JSON."""
        method = "GET" if data is None else "POST"
        async with self.session.request(
            method, URL(url, encoded=True), headers=headers, data=data
        ) as response:
            response.raise_for_status()
            return orjson.loads(await response.read())

    async def request_mux(self, path: str, data: bytes | None = None) -> Any:
        """A request to Mux."""
        return await self.request(self.mux + path, {"Authorization": self.auth}, data)

    async def request_heygen(self, path: str) -> Any:
        """A request to HeyGen."""
        return await self.request(self.heygen + path, {"X-Api-Key": self.key})

    async def process_mux(self, row: Row) -> None:
        """Create a job, wait for it, save its caption."""
        asset, language = row["asset_id"], row["to_language_code"]
        parameters = {"asset_id": asset, "track_id": row["track_id"], "to_language_code": language}
        await self.record({"create": [asset, language]})
        path = "/robots/v0/jobs/translate-captions"
        body = orjson.dumps({"parameters": parameters})
        job = (await self.request_mux(path, body))["data"]["id"]
        await self.record({"created": [asset, language], "job": job})
        await self.sweep.wait(job)
        detail = (await self.request_mux(f"{path}/{job}"))["data"]
        if detail["status"] != "completed":
            raise SystemExit(f"job {job} is {detail['status']}")
        await self.save(detail["outputs"]["temporary_vtt_url"], f"mux/{asset}.{language}.vtt")

    async def process_heygen(self, name: str) -> None:
        """Get a translation and save its caption."""
        detail = (await self.request_heygen(f"/v3/video-translations/{name}"))["data"]
        await self.save(detail["vtt_caption_url"], f"heygen/{name}.vtt")

    async def next_completed(self, rows: Iterator[Row]) -> list[str]:
        """The next hundred translations, after one request has shown them to be completed."""
        ids = [row["video_translate_id"] for row in islice(rows, BULK)]
        if not ids:
            return []
        path = "/v3/video-translations/statuses?video_translation_ids="
        states = (await self.request_heygen(path + ",".join(ids)))["data"]
        if not all(state["status"] == "completed" for state in states):
            raise SystemExit("a translation has not completed")
        return [state["video_id"] for state in states]

    async def save(self, link: str, path: str) -> None:
        """Download, check and write a caption."""
        async with self.session.get(URL(link, encoded=True)) as response:
            response.raise_for_status()
            data = await response.read()
        cues, digest = webvtt.check(data), hashlib.sha256(data).hexdigest()
        await self.files.submit((path, data))
        await self.record({"done": path, "bytes": len(data), "sha256": digest, "cues": cues})

    async def record(self, line: dict[str, Any]) -> None:
        """Write a log line; it is on disk on return."""
        await self.log.submit(orjson.dumps(line) + b"\n")

    def append_to_log(self, lines: Sequence[bytes]) -> None:
        """Write many log lines with one sync."""
        os.write(self.log_file, b"".join(lines))
        os.fdatasync(self.log_file)

    def write_files(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Write and sync all files, rename all, sync each folder once."""
        for path, data in files:
            file = os.open(self.out / f"{path}.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.write(file, data)
            os.fsync(file)
            os.close(file)
        for path, _ in files:
            os.rename(self.out / f"{path}.part", self.out / path)  # noqa: PTH104  # a Path costs more
        for folder in {path.partition("/")[0] for path, _ in files}:
            descriptor = os.open(self.out / folder, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    async def run_mux(self, rows: Iterator[Row]) -> None:
        """Process all Mux rows."""

        async def worker() -> None:
            for row in rows:
                await self.process_mux(row)

        await asyncio.gather(*(worker() for _ in range(WORKERS)))

    async def run_heygen(self, rows: Iterator[Row]) -> None:
        """Process all HeyGen rows."""
        completed: list[str] = []
        lock = asyncio.Lock()

        async def worker() -> None:
            while True:
                async with lock:
                    if not completed:
                        completed.extend(await self.next_completed(rows))
                    if not completed:
                        return
                    name = completed.pop()
                await self.process_heygen(name)

        await asyncio.gather(*(worker() for _ in range(WORKERS)))


def read(manifest: Path) -> Iterable[Row]:
    """The rows of the manifest."""
    with manifest.open(newline="") as file:
        yield from csv.DictReader(file)


async def run(manifest: Path, out: Path) -> None:
    """Process Mux's rows, then HeyGen's."""
    for folder in ("mux", "heygen"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30),
    ) as session:
        baseline = Baseline(session, out)
        await baseline.run_mux(row for row in read(manifest) if row["asset_id"])
        await baseline.run_heygen(row for row in read(manifest) if row["video_translate_id"])


if __name__ == "__main__":
    uvloop.run(run(Path(sys.argv[1]), Path(sys.argv[2])))
