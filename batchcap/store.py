"""The output folder, as a run sees it: captions go in, many with one sync."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from batchcap.errors import FatalError
from batchcap.folders import Folders, Part
from batchcap.grouping import Group


class CaptionStore:
    """The output folder: puts files under their final names, many with one sync.

    Files are written in `executor`'s threads, or in the loop if there is none (virtual time).
    """

    def __init__(self, root: Path, executor: Executor | None) -> None:
        self.root = root
        self.executor = executor
        self._folders = Folders(root)
        self._group: Group[Part, None] = Group(self._folders.place, executor)

    async def place(self, path: str, data: bytes | None) -> None:
        """Put a part file under its final name; with `data`, write it first.

        Durable on return: file and folder are synced. Raises `FatalError` where
        the disk does not take it.
        """
        try:
            await self._group.do(Part(path, data))
        except OSError as error:
            raise disk_failed(error, self.root / path) from None

    async def read(self, path: str, since: float) -> bytes | None:
        """A file that was placed since then (unix seconds), or None."""
        try:
            if self.executor is None:
                return self._folders.read(path, since)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.executor, self._folders.read, path, since)
        except OSError as error:
            raise disk_failed(error, self.root / path) from None

    def part(self, path: str) -> Path:
        """Where a file is written before it is whole: beside its target."""
        return self._folders.part(path)

    def opener(self, path: str) -> Callable[[str, int], int]:
        """For `open`: makes the part file of `path` anew, never through a link."""
        return self._folders.opener(path)

    def discard(self, path: str) -> None:
        """Remove the part file of `path`, where there is one."""
        self._folders.discard(path)

    async def drain(self) -> None:
        """Return when everything handed over is on disk."""
        await self._group.drain()


def disk_failed(error: OSError, path: Path) -> FatalError:
    """What to tell where the output folder does not take a file."""
    hint = "Make room or mend the permissions, then: batchcap resume"
    if error.errno == errno.ELOOP:
        hint = "Remove the link (--out itself may be one), then: batchcap resume"
    return FatalError(f"cannot write {path}: {error.strerror or error}", hint=hint)
