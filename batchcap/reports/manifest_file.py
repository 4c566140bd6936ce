"""Writes a manifest page by page, as CSV, JSONL or JSON.

A file is complete or absent: it grows as `PATH.part` and is renamed at the end. Meanwhile
`PATH.part.json` says how many of its bytes count and where its author stopped, so that the same
command continues after a crash.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import orjson

from batchcap.domain.errors import FatalError, UsageError
from batchcap.domain.models import Json
from batchcap.domain.text import one_line
from batchcap.reports.cells import safe_cell
from batchcap.storage.durable import sync

FORMATS = ("csv", "jsonl", "json")
LIST_SEPARATOR = ";"


class Encoder:
    """Encodes the records of a manifest in one of `FORMATS`, with `columns` in their order.

    In CSV, no value of a column in `texts` can be taken for a formula.
    """

    def __init__(self, format_: str, columns: Sequence[str], texts: frozenset[str]) -> None:
        self._format, self._columns, self._texts = format_, columns, texts

    def begin(self) -> bytes:
        """Return what comes before the first record."""
        return {"csv": _csv_line(self._columns), "json": b"["}.get(self._format, b"")

    def encode(self, records: Sequence[Json], *, are_first: bool) -> bytes:
        """Return records without their empty values; `are_first`: no other came before."""
        if self._format == "csv":
            return b"".join(_csv_line(self._cells(record)) for record in records)
        documents = [one_line(orjson.dumps(self._filled(record))) for record in records]
        if self._format == "jsonl":
            return b"".join(document + b"\n" for document in documents)
        comma = b"" if are_first else b","
        return comma + b"\n" + b",\n".join(documents) if documents else b""

    def end(self) -> bytes:
        """Return what comes after the last record."""
        return b"\n]\n" if self._format == "json" else b""

    def _filled(self, record: Json) -> Json:
        return {name: record[name] for name in self._columns if record.get(name)}

    def _cells(self, record: Json) -> Iterator[object]:
        for column in self._columns:
            value = record.get(column, "")
            if isinstance(value, list):
                value = LIST_SEPARATOR.join(value)
            yield safe_cell(value) if column in self._texts else value


def _csv_line(cells: Iterable[object]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode("utf-8", "replace")


class Saved(msgspec.Struct, frozen=True):
    """How far a file has come: `size` bytes of it count. `author` is the author's own state.

    `identity` changes with everything that decides what is written.
    """

    identity: str
    size: int
    author: Json


class ManifestFile:
    """A manifest under its temporary name; see `opened`."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._identity = path, identity
        self._part = path.with_name(f"{path.name}.part")
        self._state = path.with_name(f"{path.name}.part.json")
        self._new_state = path.with_name(f"{path.name}.part.json.new")

    @contextmanager
    def opened(self) -> Iterator[Json | None]:
        """Open the file; yields the author's state if the file continues an earlier one.

        Raises:
            UsageError: It cannot be made, or another process is writing it.
            FatalError: The disk refuses it later.
        """
        try:
            handle = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise UsageError(f"-o {self._path}: {error.strerror or error}") from None
        with os.fdopen(handle, "r+b") as self._file:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(f"-o {self._path}: another process is writing it") from None
            with self._faults():
                saved = self._read_state()
                self._file.truncate(saved.size if saved else 0)
                self._file.seek(0, os.SEEK_END)
            try:
                yield saved.author if saved else None
            finally:
                if not self._state.exists():  # nothing to continue
                    self._part.unlink(missing_ok=True)

    def restart(self) -> None:
        """Discard what was written.

        Raises:
            FatalError: The disk refuses.
        """
        with self._faults():
            self._state.unlink(missing_ok=True)
            self._file.truncate(0)
            self._file.seek(0)

    def write(self, data: bytes) -> None:
        """Add data.

        Raises:
            FatalError: The disk refuses.
        """
        with self._faults():
            self._file.write(data)

    def save(self, author: Json) -> None:
        """Make what was written so far count, together with the author's state.

        Raises:
            FatalError: The disk refuses.
        """
        with self._faults():
            self._sync()
            saved = Saved(self._identity, self._file.tell(), author)
            self._new_state.write_bytes(msgspec.json.encode(saved))
            self._new_state.replace(self._state)

    def finish(self) -> None:
        """Give the file its name.

        Raises:
            FatalError: The disk refuses.
        """
        with self._faults():
            self._sync()
            self._part.replace(self._path)
            self._state.unlink(missing_ok=True)
            self._new_state.unlink(missing_ok=True)  # a killed process may have left it
            sync(self._path.parent)

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read_state(self) -> Saved | None:
        """Return the saved state if it is about the same manifest and its bytes are there."""
        try:
            saved = msgspec.json.decode(self._state.read_bytes(), type=Saved)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        is_there = saved.size <= os.fstat(self._file.fileno()).st_size
        return saved if is_there and saved.identity == self._identity else None

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FatalError(
                f"cannot write {self._path}: {error.strerror or error}",
                hint="Free disk space or fix permissions, then run the same command again.",
            ) from None


class ManifestStream:
    """A manifest on a stream, which no later command can continue."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def restart(self) -> None:
        """Never called, because nothing is continued."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Write data at once."""
        self._write(data.decode())

    def save(self, author: Json) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""
