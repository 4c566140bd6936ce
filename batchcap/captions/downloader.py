"""From a link to a verified caption on disk.

The body goes to a part file beside the target, is checked to be WebVTT and
whole, synced, renamed, and the folder synced: the final name is complete or
absent. Small files (nearly all) are checked in memory and written in one thread
hop for many at once (`store`); large ones are streamed through aiofiles.
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

from batchcap.captions import webvtt
from batchcap.captions.file_host import FileHosts
from batchcap.domain.backoff import Backoff
from batchcap.domain.errors import BadCaption, LinkExpired, Unavailable
from batchcap.domain.models import Caption
from batchcap.domain.shutdown import ShutdownToken
from batchcap.storage.file_store import CaptionStore, disk_failed
from batchcap.transport.circuit_breaker import Circuit
from batchcap.transport.decompression import ReadChunk

T = TypeVar("T")

_SMALL = 256 * 1024
"""Bytes up to which a file is held in memory as a whole."""

_HELD = 128
"""Small files that may be held at once, in the air or on the way to the disk: more than
are fetched at once, since the disk takes many together. At the worst these are 32 MB."""

_COARSE = 2.0
"""Seconds by which a file's time may lag behind the clock."""


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
        circuit: Circuit,
        backoff: Backoff | None = None,
    ) -> None:
        self._store, self._hosts, self._slots = store, hosts, slots
        self._largest, self._stop = largest, stop
        self._backoff = backoff or Backoff()
        self._circuit = circuit
        self._held = asyncio.Semaphore(_HELD)

    async def adopt(self, path: str, since: float) -> Caption | None:
        """See `protocols.Downloader.adopt`."""
        data = await self._store.read(path, since - _COARSE)
        if data is None:
            return None
        try:
            return described(data)
        except BadCaption:
            return None

    async def fetch(self, link: str, path: str) -> Caption:
        """See `protocols.Downloader.fetch`."""
        failures = 0
        while True:
            await self._circuit.enter(patient=False)
            try:
                caption = await self._once(link, path)
            except Unavailable as error:
                self._circuit.failed()
                excused = self._circuit.excuses(patient=False)
                failures += not (error.retry_after or excused)
                if failures >= self._backoff.attempts:
                    raise
                await self._stop.sleep(error.retry_after or self._backoff.delay(max(failures, 1)))
            except (LinkExpired, BadCaption):
                self._circuit.succeeded()
                raise
            else:
                self._circuit.succeeded()
                return caption

    async def _once(self, link: str, path: str) -> Caption:
        got = await self._got(link, path)
        if isinstance(got, Caption):
            return got
        try:
            caption = described(got)
            await self._store.place(path, got)
        finally:
            self._held.release()
        return caption

    async def _got(self, link: str, path: str) -> bytes | Caption:
        """A small file as it is, in memory, counted by `_held`; a large one is on disk."""
        small = False
        async with self._slots:  # the disk is seldom behind: this is where to wait
            await self._held.acquire()
            try:
                self._stop.raise_if_requested()
                with await self._hosts.open(link) as body:
                    head, size = [], 0
                    while piece := await body():
                        head.append(piece)
                        size += len(piece)
                        if size > min(_SMALL, self._largest):
                            return await self._large(b"".join(head), body, path)
                small = True
                return b"".join(head)
            finally:
                if not small:
                    self._held.release()

    async def _large(self, head: bytes, body: ReadChunk, path: str) -> Caption:
        try:
            caption = await self._stream(head, body, path)
            await self._store.place(path, None)
        finally:
            self._store.discard(path)
        return caption

    async def _stream(self, head: bytes, body: ReadChunk, path: str) -> Caption:
        check, digest, size = webvtt.Check(), hashlib.sha256(), 0
        part, opener = self._store.part(path), self._store.opener(path)
        opened = aiofiles.open(part, "wb", opener=opener, executor=self._store.executor)
        file = await _on_disk(part, opened)
        try:
            async for piece in _with_head(head, body):
                size += len(piece)
                if size > self._largest:
                    raise BadCaption(f"larger than {self._largest} bytes (--max-caption)")
                check.feed(piece)
                digest.update(piece)
                await _on_disk(part, file.write(piece))
                await anyio.lowlevel.checkpoint_if_cancelled()  # no rename after a cancellation
        finally:
            await _on_disk(part, file.close())
        return Caption(size, digest.hexdigest(), check.finish())


def described(data: bytes) -> Caption:
    """A caption held in memory as a whole. Raises `BadCaption` where it is none."""
    return Caption(len(data), hashlib.sha256(data).hexdigest(), webvtt.check(data))


async def _on_disk(part: Path, step: Awaitable[T]) -> T:
    """One hop to the disk. A cancelled hop would go on by itself, so it is seen through."""
    try:
        with anyio.CancelScope(shield=True):
            result = await step
    except OSError as error:
        raise disk_failed(error, part) from None
    return result


async def _with_head(head: bytes, body: ReadChunk) -> AsyncIterator[bytes]:
    yield head
    while piece := await body():
        yield piece
