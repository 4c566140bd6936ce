"""The yardstick: what an expert would write by hand for exactly this work.

aiohttp at its best: uvloop, 64 workers on one iterator, one session, `read()` and
orjson, states asked for in bulk. As durable as batchcap: each file is written,
synced and renamed with others in one thread hop, and a log line is on disk
before a create, after it, and at the end, one sync for all who wait. The same
check of the caption. No retries, no limits, no resuming, no report.

    python -m benchmarks.yardstick MANIFEST OUT [--loop asyncio]
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiohttp
import orjson
from yarl import URL

from batchcap import captions

T = TypeVar("T")
Row = dict[str, str]

BULK = 100
LINGER = 0.01
PIECE = 256 * 1024


class Group(Generic[T]):
    """Has `work` done in a thread for all who wait, one batch after the other."""

    def __init__(self, work: Callable[[Sequence[T]], None]) -> None:
        self.work = work
        self.thread = ThreadPoolExecutor(1)
        self.waiting: list[tuple[T, asyncio.Future[None]]] = []
        self.running: asyncio.Task[None] | None = None

    async def do(self, item: T) -> None:
        """Return when the item is done."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self.waiting.append((item, done))
        if self.running is None:
            self.running = loop.create_task(self.run())
        await done

    async def run(self) -> None:
        """Whoever comes meanwhile shares the next batch."""
        loop = asyncio.get_running_loop()
        while self.waiting:
            batch, self.waiting = self.waiting, []
            await loop.run_in_executor(self.thread, self.work, [item for item, _ in batch])
            for _, done in batch:
                done.set_result(None)
        self.running = None


class Sweep:
    """Tells when a Mux job is on neither list of active jobs: one sweep for all who wait."""

    def __init__(self, ask: Callable[[str], Awaitable[Any]]) -> None:
        self.ask = ask
        self.waiting: dict[str, asyncio.Future[None]] = {}
        self.running: asyncio.Task[None] | None = None

    async def ended(self, job: str) -> None:
        """Return when a job is no longer active."""
        loop = asyncio.get_running_loop()
        self.waiting[job] = done = loop.create_future()
        if self.running is None:
            self.running = loop.create_task(self.run())
        await done

    async def run(self) -> None:
        """Sweep as long as somebody waits."""
        while self.waiting:
            await asyncio.sleep(LINGER)
            asked = list(self.waiting)
            active = {job for status in ("pending", "processing") async for job in self.on(status)}
            for job in asked:
                if job not in active:
                    self.waiting.pop(job).set_result(None)
        self.running = None

    async def on(self, status: str) -> AsyncIterator[str]:
        """Ids on the list of one status."""
        query, page, full = f"workflow=translate-captions&status={status}&limit={BULK}", 0, True
        while full:
            page += 1
            found = (await self.ask(f"/robots/v0/jobs?{query}&page={page}"))["data"]
            for one in found:
                yield one["id"]
            full = len(found) == BULK


class Yardstick:
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
        self.log = Group(self.commit)
        self.files = Group(self.place)
        self.sweep = Sweep(self.ask_mux)

    async def ask(self, url: str, headers: dict[str, str], **more: Any) -> Any:
        """The JSON of an answer."""
        method = "POST" if more else "GET"
        async with self.session.request(
            method, URL(url, encoded=True), headers=headers, **more
        ) as answer:
            answer.raise_for_status()
            return orjson.loads(await answer.read())

    async def ask_mux(self, path: str, **more: Any) -> Any:
        """Ask or, with a body, tell Mux."""
        return await self.ask(self.mux + path, {"Authorization": self.auth}, **more)

    async def ask_heygen(self, path: str) -> Any:
        """Ask HeyGen."""
        return await self.ask(self.heygen + path, {"X-Api-Key": self.key})

    async def mux_row(self, row: Row) -> None:
        """Create, wait, look, keep."""
        asset, language = row["asset_id"], row["to_language_code"]
        about = {"asset_id": asset, "track_id": row["track_id"], "to_language_code": language}
        await self.note({"create": [asset, language]})
        job = (
            await self.ask_mux(
                "/robots/v0/jobs/translate-captions",
                data=orjson.dumps({"parameters": about}),
            )
        )["data"]["id"]
        await self.note({"created": [asset, language], "job": job})
        await self.sweep.ended(job)
        detail = (await self.ask_mux(f"/robots/v0/jobs/translate-captions/{job}"))["data"]
        if detail["status"] != "completed":
            raise SystemExit(f"job {job} is {detail['status']}")
        await self.keep(detail["outputs"]["temporary_vtt_url"], f"mux/{asset}.{language}.vtt")

    async def heygen_row(self, name: str) -> None:
        """Look, keep."""
        detail = (await self.ask_heygen(f"/v3/video-translations/{name}"))["data"]
        await self.keep(detail["vtt_caption_url"], f"heygen/{name}.vtt")

    async def completed(self, rows: Iterator[Row]) -> list[str]:
        """The next hundred, known to have completed."""
        ids = [row["video_translate_id"] for row in islice(rows, BULK)]
        if not ids:
            return []
        path = "/v3/video-translations/statuses?video_translation_ids="
        states = (await self.ask_heygen(path + ",".join(ids)))["data"]
        if not all(one["status"] == "completed" for one in states):
            raise SystemExit("a translation has not completed")
        return [one["video_id"] for one in states]

    async def keep(self, link: str, path: str) -> None:
        """From link to checked, durable file."""
        async with self.session.get(URL(link, encoded=True)) as answer:
            answer.raise_for_status()
            data = await answer.read()
        cues, digest = checked(data), hashlib.sha256(data).hexdigest()
        await self.files.do((path, data))
        await self.note({"done": path, "bytes": len(data), "sha256": digest, "cues": cues})

    async def note(self, line: dict[str, Any]) -> None:
        """A log line, on disk on return."""
        await self.log.do(orjson.dumps(line) + b"\n")

    def commit(self, lines: Sequence[bytes]) -> None:
        """Many log lines, one sync."""
        os.write(self.log_file, b"".join(lines))
        os.fdatasync(self.log_file)

    def place(self, parcels: Sequence[tuple[str, bytes]]) -> None:
        """Write and sync all, rename all, sync the folder once."""
        for path, data in parcels:
            file = os.open(self.out / f"{path}.part", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.write(file, data)
            os.fsync(file)
            os.close(file)
        for path, _ in parcels:
            os.rename(self.out / f"{path}.part", self.out / path)  # noqa: PTH104  # as it is written
        for folder in {path.partition("/")[0] for path, _ in parcels}:
            handle = os.open(self.out / folder, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)

    async def run_mux(self, rows: Iterator[Row], workers: int) -> None:
        """All Mux rows."""

        async def worker() -> None:
            for row in rows:
                await self.mux_row(row)

        await asyncio.gather(*(worker() for _ in range(workers)))

    async def run_heygen(self, rows: Iterator[Row], workers: int) -> None:
        """All HeyGen rows."""
        ready: list[str] = []
        asking = asyncio.Lock()

        async def worker() -> None:
            while True:
                async with asking:
                    if not ready:
                        ready.extend(await self.completed(rows))
                    if not ready:
                        return
                    name = ready.pop()
                await self.heygen_row(name)

        await asyncio.gather(*(worker() for _ in range(workers)))


def checked(data: bytes) -> int:
    """The cues; in pieces, as the check is fastest for large files."""
    check = captions.Check()
    for start in range(0, len(data), PIECE):
        check.feed(data[start : start + PIECE])
    return check.finish()


def read(manifest: Path) -> Iterable[Row]:
    """Rows as they stand in the file."""
    with manifest.open(newline="") as file:
        yield from csv.DictReader(file)


async def run(manifest: Path, out: Path, workers: int) -> None:
    """One provider's rows after the other's."""
    for folder in ("mux", "heygen"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    times = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=times,
    ) as session:
        yardstick = Yardstick(session, out)
        await yardstick.run_mux((row for row in read(manifest) if row["asset_id"]), workers)
        await yardstick.run_heygen(
            (row for row in read(manifest) if row["video_translate_id"]), workers
        )


def main() -> None:
    """Run a manifest."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.yardstick", description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="uvloop")
    given = parser.parse_args()
    if given.loop == "uvloop":
        import uvloop

        uvloop.run(run(given.manifest, given.out, given.workers))
    else:
        asyncio.run(run(given.manifest, given.out, given.workers))


if __name__ == "__main__":
    main()
