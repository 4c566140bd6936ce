"""Writes captions into the output folder, many with one sync."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

from batchcap.domain.errors import FatalError, RowError
from batchcap.domain.text import printable
from batchcap.storage.atomic_files import OutputDir, TempFile
from batchcap.storage.batcher import Batcher
from batchcap.storage.refused_files import RefusedFiles

T = TypeVar("T")

_WAYS_OUT = {
    errno.EISDIR: "remove the folder that has this name",
    errno.ENOTDIR: "remove the file that is where a folder is needed",
}
_NAME_ERRORS = frozenset({errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ, *_WAYS_OUT})
"""Errors that concern one name only: exFAT and SMB return EINVAL for `a:b.vtt`."""


class CaptionStore:
    """Writes files below the output folder, and gives them their final names.

    The work is done in `executor`'s threads, or in the event loop if there is none
    (virtual time).
    """

    def __init__(self, root: Path, executor: Executor | None) -> None:
        self.root = root
        self.executor = executor
        self._output = OutputDir(root)
        self._refused = RefusedFiles(root)
        self._batcher: Batcher[TempFile, None] = Batcher(self._output.commit, executor)

    async def place(self, path: str, data: bytes | None) -> None:
        """Give a file its final name. With `data`, write it first; else its part file is there.

        File and folder are synced on return. What was refused before for `path` is removed.

        Raises:
            RowError: The disk refuses this name ("cannot_store").
            FatalError: The disk refuses every file.
        """
        try:
            await self._batcher.submit(TempFile(path, data))
        except OSError as error:
            raise store_failed(error, self.root / path) from None
        self._refused.discard(path)

    async def keep_refused(self, path: str, data: bytes) -> Path | None:
        """Keep what was downloaded for `path` and is no caption; return where, or None."""
        name = self._refused.reserve(path, data)
        return None if name is None else await self._in_thread(self._refused.write, name, data)

    async def examine_part(self, path: str, examine: Callable[[bytes], T]) -> T:
        """Return what `examine` returns for the bytes of the temporary file for `path`.

        Raises:
            FatalError: The file cannot be read.
        """
        part = self.part(path)
        try:
            return await self._in_thread(lambda: examine(part.read_bytes()))
        except OSError as error:
            raise store_failed(error, part) from None

    async def read(self, path: str, since: float) -> bytes | None:
        """Return a file that was placed after `since` (unix seconds), or None.

        Raises:
            RowError: The disk refuses this name ("cannot_store").
            FatalError: The file cannot be read.
        """
        try:
            return await self._in_thread(self._output.read, path, since)
        except OSError as error:
            raise store_failed(error, self.root / path) from None

    async def remove(self, path: str) -> None:
        """Remove a file that was placed and is not wanted after all.

        Raises:
            RowError: The disk refuses this name ("cannot_store").
            FatalError: The file cannot be removed.
        """
        try:
            await self._in_thread(self._output.remove, path)
        except OSError as error:
            raise store_failed(error, self.root / path) from None

    async def _in_thread(self, step: Callable[..., T], *values: object) -> T:
        if self.executor is None:
            return step(*values)
        return await asyncio.get_running_loop().run_in_executor(self.executor, step, *values)

    def part(self, path: str) -> Path:
        """Return the path of the temporary file for `path`, in the same folder."""
        return self._output.part(path)

    def opener(self, path: str) -> Callable[[str, int], int]:
        """Return an opener for `open` that creates the part file, never through a link."""
        return self._output.opener(path)

    def discard(self, path: str) -> None:
        """Remove the part file of `path` if there is one."""
        self._output.discard(path)

    async def drain(self) -> None:
        """Return when every file that was handed over is on disk."""
        await self._batcher.drain()


def store_failed(error: OSError, path: Path) -> RowError | FatalError:
    """Return the error to raise when a caption cannot be stored.

    Only a call that names a file below the output folder can fail because of the name: its
    error has a `filename`. EINVAL from `fsync` is about the disk.
    """
    if error.errno not in _NAME_ERRORS or error.filename is None:
        return disk_failed(error, path)
    reason = error.strerror or str(error)
    way_out = _WAYS_OUT.get(error.errno, "move the output folder to a disk that takes this name")
    shown = printable(str(path))  # the ledger takes no name that is not UTF-8
    message = f"cannot write {shown}: {reason}; {way_out}, then: resume --retry-failed"
    return RowError("cannot_store", message, retryable=True)


def disk_failed(error: OSError, path: Path) -> FatalError:
    """Return the error to raise when the output folder does not take a file."""
    hint = "Free disk space or fix permissions, then run: batchcap resume"
    if error.errno == errno.ELOOP:
        hint = "Remove the link (--out itself may be one), then run: batchcap resume"
    elif error.errno == errno.ENOTDIR:
        hint = "Remove the file that is where a folder is needed, then run: batchcap resume"
    return FatalError(f"cannot write {path}: {error.strerror or error}", hint=hint)
