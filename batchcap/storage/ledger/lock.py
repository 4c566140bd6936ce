"""One run at a time: a lock that the system releases when its process ends."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from batchcap.domain.errors import FatalError
from batchcap.storage.ledger.filesystem import check_disk
from batchcap.storage.ledger.schema import folder, refuse_links

_POLL_INTERVAL = 0.1  # seconds between two tries
_BUSY_WAIT = 0.5  # seconds before a run is refused


class LockHolder(msgspec.Struct, frozen=True):
    """The process that works on a ledger, since when in unix seconds."""

    pid: int
    host: str
    since: float


class Lock:
    """Held while a run owns the output folder.

    The system releases the lock when the last thread of its process has ended, also after
    kill -9, so a run writes nothing once the next one has begun. No child process inherits it.

    Raises:
        FatalError: On entering, if another run holds the lock, which the message names, or if
            the folder cannot be made.
    """

    def __init__(self, out: Path) -> None:
        self._out = out

    def __enter__(self) -> Self:
        self._file = _open_lock_file(self._out)
        if not _try(self._file) and not _wait_for_lock(self._file):
            holder = _read(self._file)
            self._file.close()
            raise FatalError(
                f"the ledger in {folder(self._out)} is held by {_described(holder)}",
                hint="Wait for that run, or stop it with Ctrl-C; batchcap status shows how it is.",
            )
        self._file.seek(0)
        self._file.truncate()
        holder = LockHolder(os.getpid(), socket.gethostname(), time.time())
        self._file.write(msgspec.json.encode(holder).decode())
        self._file.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @staticmethod
    def holder(out: Path) -> LockHolder | None:
        """Return the process that holds the lock now, or None."""
        try:
            with (folder(out) / "lock").open(encoding="utf-8", errors="replace") as file:
                return None if _try(file, fcntl.LOCK_SH) else _read(file)
        except OSError:
            return None


def _open_lock_file(out: Path) -> TextIOWrapper:
    refuse_links(folder(out))
    try:
        folder(out).mkdir(parents=True, exist_ok=True)
        check_disk(folder(out))
        return open(  # Path.open takes no opener
            folder(out) / "lock",
            "a+",
            encoding="utf-8",
            errors="replace",
            opener=_open_without_links,
        )
    except OSError as error:
        raise FatalError(
            f"cannot use {folder(out)}: {error.strerror or error}",
            hint="Choose another folder with --out, or fix its permissions.",
        ) from None


def _open_without_links(path: str, flags: int) -> int:
    """Open a file, but not through a symbolic link."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _wait_for_lock(file: TextIOWrapper) -> bool:
    """Try for a short while; return whether the lock was taken.

    `status` holds it for a moment to see whether a run does, and a process that was killed
    takes a moment to be gone.
    """
    deadline = time.monotonic() + _BUSY_WAIT
    while time.monotonic() < deadline:
        time.sleep(_POLL_INTERVAL)
        if _try(file):
            return True
    return False


def _try(file: TextIOWrapper, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: TextIOWrapper) -> LockHolder | None:
    file.seek(0)
    try:
        return msgspec.json.decode(file.read(4096).encode(), type=LockHolder)
    except msgspec.DecodeError:
        return None


def _described(holder: LockHolder | None) -> str:
    if holder is None:
        return "another run"
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.since))
    except (ValueError, OverflowError, OSError):
        since = "an unknown time"
    return f"process {holder.pid} on {holder.host} since {since}"
