"""Every file against the ledger: there, whole, and what was fetched.

Rows stream from the ledger a page at a time and are hashed in threads; a file is
read once, in chunks. Nothing is written but what a repair asks for, and files that
no row owns are never touched.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec

from batchcap import captions
from batchcap.errors import BadCaption, UsageError
from batchcap.interfaces import LedgerReader
from batchcap.model import CompletedRow, InvalidRow, Row
from batchcap.store import disk_failed
from batchcap.text import printable

_CHUNK = 1 << 18
_THREADS = 8
_KEPT = 1000
_PART = re.compile(r"\.(?:[0-9a-f]{16}|results\.jsonl)\.part")
_OURS = {".batchcap", "results.jsonl"}


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a row: its `kind` in one word, and for people.

    Kinds are `missing`, `unreadable`, `size`, `sha256`, `caption` and `cues`, and
    `unknown` for a task of a manifest that the ledger does not have.
    """

    key: str
    path: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{printable(self.key)}  {printable(self.path)}: {self.message}"


class Measure(msgspec.Struct, frozen=True):
    """What a file holds. `flaw` says why it is no whole caption, or is ""."""

    bytes: int
    sha256: str
    cues: int
    flaw: str
    modified: float


class Verdict(msgspec.Struct):
    """What a verification found. `faults` and `unowned` are the first ones of many.

    `unowned` are fit to print; what is escaped in them cannot be part of a manifest.
    """

    checked: int = 0
    kinds: Counter[str] = msgspec.field(default_factory=Counter)
    faults: list[Fault] = []
    unowned_files: int = 0
    unowned: list[str] = []
    leftovers: list[str] = []

    @property
    def wrong(self) -> int:
        """How many files are not as the ledger says."""
        return self.kinds.total() - self.kinds["unknown"]

    def add(self, fault: Fault) -> None:
        """Count a fault, and keep it where it is one of the first."""
        self.kinds[fault.kind] += 1
        if len(self.faults) < _KEPT:
            self.faults.append(fault)


def check_files(
    ledger: LedgerReader,
    out: Path,
    verdict: Verdict,
    tell: Callable[[Fault], None],
    *,
    requeue: Callable[[list[int]], None] | None = None,
) -> None:
    """Hold the file of every row that is done against the ledger, told in manifest order.

    `requeue` is given the numbers of rows whose file is wrong, page by page.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        for page in ledger.completed_rows():
            found = threads.map(partial(_fault, out), page)
            wrong = {row.number: fault for row, fault in zip(page, found, strict=True) if fault}
            verdict.checked += len(page)
            for fault in wrong.values():
                verdict.add(fault)
                tell(fault)
            if wrong and requeue is not None:
                requeue(list(wrong))


def check_tasks(
    ledger: LedgerReader,
    rows: Iterable[Row | InvalidRow],
    verdict: Verdict,
    tell: Callable[[Fault], None],
    *,
    skip_invalid: bool,
) -> None:
    """Tell the tasks of a manifest that the ledger does not have.

    Raises `UsageError` for the first invalid row, unless those are gone past.
    """
    for row in rows:
        if isinstance(row, InvalidRow):
            if not skip_invalid:
                raise UsageError(
                    f"{row.origin}: {row.message}",
                    hint="Mend it, or go on without invalid rows: --skip-invalid",
                )
        elif not ledger.has_task(row):
            fault = Fault(row.key, row.path, "unknown", f"not in the ledger ({row.origin})")
            verdict.add(fault)
            tell(fault)


def check_folder(ledger: LedgerReader, out: Path, verdict: Verdict) -> None:
    """Look for files that no row owns, and for part files that a kill left behind."""
    for path in _files(out):
        if _PART.fullmatch(path.rpartition("/")[2]):
            verdict.leftovers.append(path)
        elif not ledger.owns_path(path):
            verdict.unowned_files += 1
            if len(verdict.unowned) < _KEPT:
                verdict.unowned.append(printable(path))


def remove_leftovers(out: Path, verdict: Verdict) -> None:
    """Remove the part files that were found. Only where no run is at work.

    Raises `FatalError` where the disk refuses.
    """
    for path in verdict.leftovers:
        try:
            (out / path).unlink(missing_ok=True)
        except OSError as error:
            raise disk_failed(error, out / path) from None


def measure(out: Path, path: str) -> Measure:
    """Read a file below the output folder once, in chunks, and never through a link.

    Raises `OSError` where there is no regular file, or it cannot be read.
    """
    check, digest, size, flaw = captions.Check(), hashlib.sha256(), 0, ""
    with _opened(out, path) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            digest.update(chunk)
            if not flaw:
                flaw = _flaw(partial(check.feed, chunk))
        modified = os.fstat(file.fileno()).st_mtime
    cues = 0
    if not flaw:
        try:
            cues = check.finish()
        except BadCaption as error:
            flaw = error.message
    return Measure(size, digest.hexdigest(), cues, flaw, modified)


def _fault(out: Path, row: CompletedRow) -> Fault | None:
    try:
        kind, message = _compared(row, measure(out, row.path))
    except (FileNotFoundError, NotADirectoryError):
        kind, message = "missing", "the file is missing"
    except OSError as error:
        kind, message = "unreadable", error.strerror or str(error)
    return Fault(row.key, row.path, kind, message) if kind else None


def _compared(row: CompletedRow, found: Measure) -> tuple[str, str]:
    """Kind and message of what differs; empty where nothing does."""
    aside = f"; {found.flaw}" if found.flaw else ""
    if found.bytes != row.bytes:
        return "size", f"{found.bytes:,} bytes instead of {row.bytes:,}{aside}"
    if found.sha256 != row.sha256:
        return "sha256", f"not the bytes that were fetched (sha256){aside}"
    if found.flaw:
        return "caption", found.flaw
    if found.cues != row.cues:
        return "cues", f"{found.cues} cues instead of {row.cues}"
    return "", ""


def _flaw(step: Callable[[], None]) -> str:
    try:
        step()
    except BadCaption as error:
        return error.message
    return ""


def _opened(out: Path, path: str) -> BinaryIO:
    target = out / path
    if target.parent.resolve() != out.resolve() / Path(path).parent:
        raise OSError(errno.ELOOP, "behind a symbolic link, which is not followed")
    if target.is_symlink():
        raise OSError(errno.ELOOP, "a symbolic link, which is not followed")
    handle = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise OSError(errno.EINVAL, "no regular file")


def _files(out: Path) -> Iterator[str]:
    """Every file below the output folder but those beside the captions, with "/"."""
    for inner, folders, names in os.walk(out):
        top = Path(inner) == out
        hidden = _OURS if top else set()
        folders[:] = sorted(name for name in folders if name not in hidden)
        for name in sorted(names):
            if name not in hidden:
                yield (Path(inner) / name).relative_to(out).as_posix()
