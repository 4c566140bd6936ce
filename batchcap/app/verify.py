"""Compares every file with the ledger: it must exist, be complete and unchanged.

Rows are read from the ledger page by page and their files hashed in threads; a file is
read once, in chunks. Only a repair changes anything, and files that belong to no row are
never touched.
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

from batchcap.captions import webvtt
from batchcap.captions.convert import FORMATS
from batchcap.domain.errors import BadCaption, UsageError
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import CompletedRow, InvalidRow, Row
from batchcap.domain.text import printable
from batchcap.storage.file_store import disk_failed

CHUNK_SIZE = 1 << 18  # bytes
THREADS = 8
MAX_KEPT = 1000  # problems and extra files that a verdict lists
_TEMP_FILE = re.compile(r"\.(?:(?:batchcap-)?[0-9a-f]{16}|results\.jsonl)\.part")
_OWN_FILES = {".batchcap", "results.jsonl"}


class FileProblem(msgspec.Struct, frozen=True):
    """A row whose file is wrong, or a task that the ledger does not have.

    `kind` is `missing`, `unreadable`, `size`, `sha256`, `caption` or `cues` for a file, and
    `unknown` for a task of a manifest that is not in the ledger.
    """

    key: str
    path: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{printable(self.key)}  {printable(self.path)}: {self.message}"


class FileStats(msgspec.Struct, frozen=True):
    """What is in a file. `error` says why it is not a complete caption, or is ""."""

    bytes: int
    sha256: str
    cues: int
    error: str
    modified: float


class Verdict(msgspec.Struct):
    """The result of a verification.

    `problems` and `extra_files` hold the first `MAX_KEPT`; `kinds` and `extra_file_count`
    count all. `extra_files` are printable: unprintable characters are escaped.
    """

    checked: int = 0
    kinds: Counter[str] = msgspec.field(default_factory=Counter)
    problems: list[FileProblem] = []
    extra_file_count: int = 0
    extra_files: list[str] = []
    temp_files: list[str] = []

    @property
    def wrong(self) -> int:
        """The number of files that differ from the ledger."""
        return self.kinds.total() - self.kinds["unknown"]

    def add(self, problem: FileProblem) -> None:
        """Count a problem, and keep it if it is one of the first."""
        self.kinds[problem.kind] += 1
        if len(self.problems) < MAX_KEPT:
            self.problems.append(problem)


def check_files(
    ledger: LedgerReader,
    out: Path,
    verdict: Verdict,
    report: Callable[[FileProblem], None],
    *,
    requeue: Callable[[list[int]], None] | None = None,
) -> None:
    """Compare the file of every row that is done with the ledger.

    Calls `report` with each problem, in manifest order, and `requeue` with the numbers of
    the rows whose file is wrong, page by page.
    """
    with ThreadPoolExecutor(THREADS) as threads:
        for page in ledger.completed_rows():
            checked = zip(page, threads.map(partial(_check_file, out), page), strict=True)
            wrong = {row.number: problem for row, problem in checked if problem}
            verdict.checked += len(page)
            for problem in wrong.values():
                verdict.add(problem)
                report(problem)
            if wrong and requeue is not None:
                requeue(list(wrong))


def check_tasks(
    ledger: LedgerReader,
    rows: Iterable[Row | InvalidRow],
    verdict: Verdict,
    report: Callable[[FileProblem], None],
    *,
    skip_invalid: bool,
) -> None:
    """Call `report` with each task of a manifest that the ledger does not have.

    Raises:
        UsageError: A row is invalid, and `skip_invalid` is not set.
    """
    for row in rows:
        if isinstance(row, InvalidRow):
            if not skip_invalid:
                raise UsageError(
                    f"{row.origin}: {row.message}",
                    hint="Correct the file."
                    if row.is_whole_file
                    else "Correct it, or continue without invalid rows: --skip-invalid",
                )
        elif not ledger.has_task(row):
            message = f"not in the ledger ({row.origin})"
            problem = FileProblem(row.key, row.path, "unknown", message)
            verdict.add(problem)
            report(problem)


def check_folder(ledger: LedgerReader, out: Path, verdict: Verdict) -> None:
    """Find files that belong to no row, and temporary files that a killed run left behind."""
    for path in _files(out):
        if _TEMP_FILE.fullmatch(path.rpartition("/")[2]):
            verdict.temp_files.append(path)
        elif not ledger.owns_path(path) and not _is_conversion(ledger, path):
            verdict.extra_file_count += 1
            if len(verdict.extra_files) < MAX_KEPT:
                verdict.extra_files.append(printable(path))


def _is_conversion(ledger: LedgerReader, path: str) -> bool:
    """Return whether a file is a caption of the ledger in another format (--also)."""
    stem, _, format_ = path.rpartition(".")
    return format_ in FORMATS and ledger.owns_path(f"{stem}.vtt")


def remove_temp_files(out: Path, verdict: Verdict) -> None:
    """Remove the temporary files that were found. The caller must hold the lock.

    Raises:
        FatalError: A file cannot be removed.
    """
    for path in verdict.temp_files:
        try:
            (out / path).unlink(missing_ok=True)
        except OSError as error:
            raise disk_failed(error, out / path) from None


def read_stats(out: Path, path: str) -> FileStats:
    """Read a file of the output folder once, in chunks, and follow no symbolic link.

    Raises:
        OSError: There is no regular file, or it cannot be read.
    """
    validator, digest, size, caption_error = webvtt.Validator(), hashlib.sha256(), 0, ""
    with open_file(out, path) as file:
        while chunk := file.read(CHUNK_SIZE):
            size += len(chunk)
            digest.update(chunk)
            if not caption_error:
                caption_error = _error_of(partial(validator.feed, chunk))
        modified = os.fstat(file.fileno()).st_mtime
    cues = 0
    if not caption_error:
        try:
            cues = validator.finish()
        except BadCaption as error:
            caption_error = error.message
    return FileStats(size, digest.hexdigest(), cues, caption_error, modified)


def _check_file(out: Path, row: CompletedRow) -> FileProblem | None:
    try:
        kind, message = _compare(row, read_stats(out, row.path))
    except (FileNotFoundError, NotADirectoryError):
        kind, message = "missing", "the file is missing"
    except OSError as error:
        kind, message = "unreadable", error.strerror or str(error)
    return FileProblem(row.key, row.path, kind, message) if kind else None


def _compare(row: CompletedRow, stats: FileStats) -> tuple[str, str]:
    """Return kind and message of what differs from the ledger, both empty if nothing does."""
    detail = f"; {stats.error}" if stats.error else ""
    if stats.bytes != row.bytes:
        return "size", f"{stats.bytes:,} bytes instead of {row.bytes:,}{detail}"
    if stats.sha256 != row.sha256:
        return "sha256", f"not the bytes that were downloaded (sha256){detail}"
    if stats.error:
        return "caption", stats.error
    if stats.cues != row.cues:
        return "cues", f"{stats.cues} cues instead of {row.cues}"
    return "", ""


def _error_of(step: Callable[[], None]) -> str:
    try:
        step()
    except BadCaption as error:
        return error.message
    return ""


def open_file(out: Path, path: str) -> BinaryIO:
    """Open a regular file of the output folder to read it, and follow no symbolic link.

    Raises:
        OSError: The file is missing or cannot be read.
    """
    target = out / path
    if target.parent.resolve() != out.resolve() / Path(path).parent:
        raise OSError(errno.ELOOP, "behind a symbolic link, which is not followed")
    if target.is_symlink():
        raise OSError(errno.ELOOP, "a symbolic link, which is not followed")
    handle = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    raise OSError(errno.EINVAL, "not a regular file")


def _files(out: Path) -> Iterator[str]:
    """Yield every file in the output folder except batchcap's own, relative and with "/"."""
    for inner, folders, names in os.walk(out):
        hidden = _OWN_FILES if Path(inner) == out else set()
        folders[:] = sorted(name for name in folders if name not in hidden)
        for name in sorted(names):
            if name not in hidden:
                yield (Path(inner) / name).relative_to(out).as_posix()
