"""A downloader that writes into a real folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from pathlib import Path

from batchcap.captions.downloader import CaptionDownloader
from batchcap.captions.file_host import FileHosts
from batchcap.domain.backoff import Backoff
from batchcap.domain.models import Caption
from batchcap.domain.shutdown import ShutdownToken
from batchcap.storage.file_store import CaptionStore
from batchcap.transport.circuit_breaker import CircuitBreaker
from batchcap.transport.network import Network
from tests.harness.clock import now
from tests.harness.observers import Recorder


class DownloaderHarness:
    def __init__(self, root: Path, hosts: FileHosts, executor: Executor | None, largest: int):
        self.root = root
        self.stop = ShutdownToken()
        self.slots = asyncio.Semaphore(4)
        self.store = CaptionStore(root, executor)
        self.downloader = CaptionDownloader(
            self.store,
            hosts,
            slots=self.slots,
            largest=largest,
            stop=self.stop,
            circuit=CircuitBreaker("file hosts", self.stop, Recorder()),
            observer=Recorder(),
            backoff=Backoff(jitter=0.0),
        )

    async def fetch(self, link: str, path: str = "d/a.vtt") -> Caption:
        return await self.downloader.fetch(link, path)

    def files(self) -> dict[str, bytes]:
        """Return what is in the output folder, without batchcap's own files."""
        paths = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
        return {
            path.as_posix(): (self.root / path).read_bytes()
            for path in paths
            if path.parts[0] != ".batchcap"
        }


@asynccontextmanager
async def running_downloader(
    root: Path, executor: Executor | None = None, largest: int = 64_000_000
) -> AsyncIterator[DownloaderHarness]:
    async with FileHosts(Network(), loopback=True, observer=Recorder(), now=now) as hosts:
        yield DownloaderHarness(root, hosts, executor, largest)
