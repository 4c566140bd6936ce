"""The output folder: puts files under their final names, many with one sync.

The order is fixed: part file written and synced, renamed, folder synced. Killed
anywhere in between, a final name is complete or absent.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TypeVar

import msgspec

from batchcap.errors import FatalError
from batchcap.grouping import Group

T = TypeVar("T")


class CaptionStore:
    """The output folder: puts files under their final names, many with one sync."""

    def __init__(self, root: Path, executor: Executor | None) -> None:
        self.root = root
        self.executor = executor
        self._group: Group[_Parcel, None] = Group(_place, executor)

    async def place(self, path: str, data: bytes | None) -> None:
        """Put a part file under its final name; with `data`, write it first.

        Durable on return: file and folder are synced. Raises `FatalError` where
        the disk does not take it.
        """
        try:
            await self._group.do(_Parcel(self.part(path), self.root / path, data))
        except OSError as error:
            raise disk_failed(error, self.root / path) from None

    def part(self, path: str) -> Path:
        """Where a file is written before it is whole: beside its target."""
        digest = hashlib.sha256(path.encode()).hexdigest()[:16]
        return (self.root / path).with_name(f".{digest}.part")

    async def drain(self) -> None:
        """Return when everything handed over is on disk."""
        await self._group.drain()


class _Parcel(msgspec.Struct, frozen=True):
    part: Path
    target: Path
    data: bytes | None


def disk_failed(error: OSError, path: Path) -> FatalError:
    """What to tell where the output folder does not take a file."""
    return FatalError(
        f"cannot write {path}: {error.strerror or error}",
        hint="Make room or mend the permissions, then: batchcap resume",
    )


def _place(parcels: Sequence[_Parcel]) -> list[Exception | None]:
    """Write and sync all, rename all, sync each folder once: one result a parcel."""
    results: list[Exception | None] = [_attempt(_written, parcel) for parcel in parcels]
    folders: dict[Path, OSError | None] = {}
    for number, parcel in enumerate(parcels):
        if results[number] is None:
            results[number] = _attempt(_renamed, parcel)
            folders[parcel.target.parent] = None
    for folder in folders:
        folders[folder] = _attempt(_synced, folder)
    return [
        folders.get(parcel.target.parent) if result is None else result
        for parcel, result in zip(parcels, results, strict=True)
    ]


def _attempt(step: Callable[[T], None], subject: T) -> OSError | None:
    try:
        step(subject)
    except OSError as error:
        return error
    return None


def _written(parcel: _Parcel) -> None:
    if parcel.data is None:
        with parcel.part.open("rb+") as file:
            os.fsync(file.fileno())
        return
    parcel.part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with parcel.part.open("wb") as file:
            file.write(parcel.data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        parcel.part.unlink(missing_ok=True)
        raise


def _renamed(parcel: _Parcel) -> None:
    try:
        parcel.part.replace(parcel.target)
    except OSError:
        parcel.part.unlink(missing_ok=True)
        raise


def _synced(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
