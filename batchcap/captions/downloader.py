"""Downloads a caption from a link, checks it, and puts it under its final name.

The body is written to a part file beside the target, checked to be WebVTT, synced and renamed,
and the folder is synced: the final name is complete or absent. Small files, which nearly all
are, are checked in memory, and one thread writes many of them at once (`file_store`). Large
files are streamed to disk with aiofiles. What is refused is kept for the user (`refused_files`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import TypeVar

import aiofiles
import anyio
import anyio.lowlevel
import msgspec

from batchcap.captions import webvtt
from batchcap.captions.file_host import FileHosts
from batchcap.captions.srt import to_webvtt
from batchcap.domain.backoff import Backoff
from batchcap.domain.errors import BadCaption, BadQuality, LinkExpired, Unavailable
from batchcap.domain.events import Waiting
from batchcap.domain.models import Caption
from batchcap.domain.protocols import Observer
from batchcap.domain.quality import Examine
from batchcap.domain.shutdown import ShutdownToken
from batchcap.domain.text import printable
from batchcap.storage.file_store import CaptionStore, store_failed
from batchcap.transport.circuit_breaker import CircuitBreaker
from batchcap.transport.decompression import ReadChunk

T = TypeVar("T")
Refused = TypeVar("Refused", bound=BadCaption | BadQuality)

MAX_IN_MEMORY = 256 * 1024
"""Bytes of the largest file that is held in memory as a whole."""

_MAX_SMALL_FILES = 128
"""Small files in memory, downloading or waiting to be written. Above the limit of downloads,
because the disk writes in batches. At most 32 MB together."""

_MTIME_SLACK = 2.0
"""Seconds by which a file's modification time may lag behind the clock."""


class CaptionDownloader:
    """The engine's `Downloader` for one provider's file hosts."""

    def __init__(
        self,
        store: CaptionStore,
        hosts: FileHosts,
        *,
        slots: asyncio.Semaphore,
        largest: int,
        stop: ShutdownToken,
        circuit: CircuitBreaker,
        observer: Observer,
        backoff: Backoff | None = None,
    ) -> None:
        self._store, self._hosts, self._slots = store, hosts, slots
        self._largest, self._stop = largest, stop
        self._backoff = backoff or Backoff()
        self._circuit, self._observer = circuit, observer
        self._in_memory = asyncio.Semaphore(_MAX_SMALL_FILES)

    async def adopt(
        self, path: str, since: float, examine: Examine | None = None
    ) -> Caption | None:
        """See `protocols.Downloader.adopt`."""
        data = await self._store.read(path, since - _MTIME_SLACK)
        if data is None:
            return None
        try:
            return measure_caption(data, examine)
        except BadCaption:
            return None
        except BadQuality:  # of a killed run that accepted it: a final name means done
            await self._store.remove(path)
            return None

    async def fetch(
        self, link: str, path: str, examine: Examine | None = None, *, srt: bool = False
    ) -> Caption:
        """See `protocols.Downloader.fetch`."""
        failures = 0
        while True:
            await self._circuit.wait_until_closed(extended_wait=False)
            try:
                caption = await self._attempt(link, path, examine, srt=srt)
            except Unavailable as error:
                self._circuit.record_failure()
                excused = self._circuit.is_outage(extended_wait=False)
                failures += not (error.retry_after or excused)
                if failures >= self._backoff.attempts:
                    raise
                delay = error.retry_after or self._backoff.delay(max(failures, 1))
                reason = f"the next download, after {error.message}"
                self._observer(Waiting("downloads", reason, delay))
                await self._stop.sleep(delay)
            except (LinkExpired, BadCaption, BadQuality):
                self._circuit.record_success()
                raise
            else:
                self._circuit.record_success()
                return caption

    async def _attempt(
        self, link: str, path: str, examine: Examine | None, *, srt: bool
    ) -> Caption:
        result = await self._read(link, path, examine, srt=srt)
        if isinstance(result, Caption):
            return result
        try:
            data = to_webvtt(result) if srt else result
            caption = measure_caption(data, examine)
            if srt:
                caption = msgspec.structs.replace(caption, converted_from="srt")
            await self._store.place(path, data)
        except (BadCaption, BadQuality) as error:
            raise await self._keep_refused(error, path, result) from None
        finally:
            self._in_memory.release()
        return caption

    async def _keep_refused(self, error: Refused, path: str, data: bytes) -> Refused:
        """Keep what was refused, and return the error with the place."""
        place = await self._store.keep_refused(path, data)
        if place is None:
            return error
        return type(error)(f"{error.message}; it is kept as {printable(str(place))}")

    async def _read(
        self, link: str, path: str, examine: Examine | None, *, srt: bool
    ) -> bytes | Caption:
        """Read a small file into memory, counted by `_in_memory`, or write a large one to disk.

        An SRT file, which is rare, is read into memory in any case, up to `_largest`.
        """
        small = False
        async with self._slots:  # the disk keeps up nearly always, so waiting happens here
            await self._in_memory.acquire()
            try:
                self._stop.raise_if_requested()
                with await self._hosts.open(link) as body:
                    head, size = [], 0
                    while piece := await body():
                        head.append(piece)
                        size += len(piece)
                        if srt and size <= self._largest:
                            continue
                        if size > min(MAX_IN_MEMORY, self._largest):
                            return await self._large(b"".join(head), body, path, examine)
                small = True
                return b"".join(head)
            finally:
                if not small:
                    self._in_memory.release()

    async def _large(
        self, head: bytes, body: ReadChunk, path: str, examine: Examine | None
    ) -> Caption:
        try:
            caption = await self._stream(head, body, path)
            if examine is not None:
                quality = await self._store.examine_part(path, examine)
                caption = msgspec.structs.replace(caption, quality=quality)
            await self._store.place(path, None)
        except (BadCaption, BadQuality) as error:
            raise await self._keep_refused(error, path, head) from None
        finally:
            self._store.discard(path)
        return caption

    async def _stream(self, head: bytes, body: ReadChunk, path: str) -> Caption:
        validator, digest, size = webvtt.Validator(), hashlib.sha256(), 0
        part, opener = self._store.part(path), self._store.opener(path)
        opened = aiofiles.open(part, "wb", opener=opener, executor=self._store.executor)
        file = await _on_disk(part, opened)
        try:
            async for piece in _with_head(head, body):
                size += len(piece)
                if size > self._largest:
                    raise BadCaption(f"larger than {self._largest} bytes (--max-caption)")
                validator.feed(piece)
                digest.update(piece)
                await _on_disk(part, file.write(piece))
                await anyio.lowlevel.checkpoint_if_cancelled()  # no rename after a cancellation
        finally:
            await _on_disk(part, file.close())
        return Caption(size, digest.hexdigest(), validator.finish())


def measure_caption(data: bytes, examine: Examine | None = None) -> Caption:
    """Return size, hash and number of cues of a caption that is in memory, and its quality.

    Raises:
        BadCaption: It is not a caption.
        BadQuality: `examine` refuses it.
    """
    cues = webvtt.check(data)
    quality = None if examine is None else examine(data)
    return Caption(len(data), hashlib.sha256(data).hexdigest(), cues, quality)


async def _on_disk(part: Path, step: Awaitable[T]) -> T:
    """Wait for a step in a thread, which goes on even if it is cancelled, to its end."""
    try:
        with anyio.CancelScope(shield=True):
            result = await step
    except OSError as error:
        raise store_failed(error, part) from None
    return result


async def _with_head(head: bytes, body: ReadChunk) -> AsyncIterator[bytes]:
    yield head
    while piece := await body():
        yield piece
