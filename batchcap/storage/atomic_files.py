"""The system calls that put files into the output folder.

The order is fixed: write and sync the part file, rename it, sync the folder. If the
process is killed in between, a final name is complete or absent. Many files share the
sync of their folder.

No symbolic link inside the output folder is followed: each folder is opened component
by component without following links, and everything in it is done by that descriptor,
so that nothing can be swapped in between. That takes one walk for each folder of a
batch, which costs no more than `mkdir`, and nothing is cached between batches. The
output folder itself may be a link, because the user named it.

Nothing here knows the event loop: it is called in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from batchcap.domain.failpoints import reach

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
MAX_OPEN = 16
"""Part files that are open together."""
_ADVICE = getattr(os, "POSIX_FADV_DONTNEED", None)
"""Makes Linux start to write. On other systems, `fsync` does all of the work."""


class OutputDir:
    """The folders at and below `root`. Every method may raise `OSError`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def part(self, path: str) -> Path:
        """Return the path of the temporary file for `path`, in the same folder."""
        return (self.root / path).with_name(_part(path))

    def opener(self, path: str) -> Callable[[str, int], int]:
        """Return an opener for `open` that creates the part file, never through a link."""

        def opened(_name: str, _flags: int) -> int:
            with self._folder(_split(path)[0]) as folder:
                return _create_temp(folder, _part(path))

        return opened

    def discard(self, path: str) -> None:
        """Remove the part file of `path` if there is one."""
        with contextlib.suppress(OSError), self._folder(_split(path)[0], make=False) as folder:
            os.unlink(_part(path), dir_fd=folder)

    def remove(self, path: str) -> None:
        """Remove the file at `path` if there is one."""
        inner, name = _split(path)
        with contextlib.suppress(FileNotFoundError), self._folder(inner, make=False) as folder:
            os.unlink(name, dir_fd=folder)
            os.fsync(folder)

    def read(self, path: str, since: float) -> bytes | None:
        """Return a file that was placed after `since` (unix seconds), or None.

        Raises:
            OSError: The file exists, and cannot be opened or read.
        """
        inner, name = _split(path)
        try:
            with self._folder(inner, make=False) as folder:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                handle = os.open(name, flags, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None  # batchcap makes no links; downloading puts a file in its place
            raise
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_mtime < since:
            os.close(handle)
            return None
        with os.fdopen(handle, "rb") as file:
            return file.read()

    def commit(self, files: Sequence[TempFile]) -> list[Exception | None]:
        """Write, sync and rename files; return an error or None for each.

        One folder is open at a time.
        """
        by_folder: defaultdict[str, list[TempFile]] = defaultdict(list)
        for file in files:
            by_folder[file.inner].append(file)
        for inner, siblings in by_folder.items():
            try:
                with self._folder(inner) as folder:
                    _commit_dir(folder, siblings)
            except OSError as error:
                for file in siblings:
                    file.error = file.error or error
        return [file.error for file in files]

    @contextlib.contextmanager
    def _folder(self, inner: str, *, make: bool = True) -> Iterator[int]:
        """Open a folder below the root without following a link; yield its descriptor."""
        handle = _open_root(self.root, make=make)
        try:
            for name in filter(None, inner.split("/")):
                outer, handle = handle, _open_subdir(handle, name, make=make)
                os.close(outer)
            yield handle
        finally:
            os.close(handle)


def _split(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


def _part(path: str) -> str:
    return f".{hashlib.sha256(path.encode()).hexdigest()[:16]}.part"


def _open_root(root: Path, *, make: bool) -> int:
    """Open the output folder. Its errors have no `filename`: they concern every file in it."""
    try:
        try:
            return os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            if not make:
                raise
        root.mkdir(parents=True, exist_ok=True)
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise OSError(error.errno, error.strerror) from None


def _open_subdir(outer: int, name: str, *, make: bool) -> int:
    """Open the folder `name` in a folder. With `make`, create it if it is missing."""
    try:
        try:
            return os.open(name, _FOLDER, dir_fd=outer)
        except FileNotFoundError:
            if not make:
                raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=outer)
            os.fsync(outer)
        return os.open(name, _FOLDER, dir_fd=outer)
    except NotADirectoryError:  # Linux's answer for a link that it must not follow
        if stat.S_ISLNK(os.stat(name, dir_fd=outer, follow_symlinks=False).st_mode):
            message = f"{name} is a symbolic link, which is not followed"
            raise OSError(errno.ELOOP, message) from None
        raise


def _create_temp(folder: int, name: str) -> int:
    """Create a file. What a killed run or another program left under its name is removed."""
    try:
        return os.open(name, _NEW, 0o666, dir_fd=folder)
    except FileExistsError:
        os.unlink(name, dir_fd=folder)
        return os.open(name, _NEW, 0o666, dir_fd=folder)


def _commit_dir(folder: int, files: Sequence[TempFile]) -> None:
    """Write and sync all, rename all, sync the folder once; errors stay with their files."""
    for first in range(0, len(files), MAX_OPEN):
        batch = files[first : first + MAX_OPEN]
        # Start to write all files before waiting for the first. Written one by one, each file
        # would need an `fsync` that allocates its blocks and commits the journal.
        for step in (TempFile.write, TempFile.start_sync, TempFile.sync):
            _for_each_ok(batch, step, folder)
    _for_each_ok(files, TempFile.rename, folder)
    if any(file.error is None for file in files):
        os.fsync(folder)
        reach("folder synced")


def _for_each_ok(
    files: Sequence[TempFile], step: Callable[[TempFile, int], None], folder: int
) -> None:
    """Take a step with every file that has no error yet; a file that fails is removed."""
    for file in files:
        if file.error is not None:
            continue
        try:
            step(file, folder)
        except OSError as error:
            file.error = error
            with contextlib.suppress(OSError):
                os.unlink(file.part, dir_fd=folder)


class TempFile:
    """A part file on the way to its final name; `error` is what went wrong with it.

    `path` is below the root. Without `data`, the part file was written before.
    """

    __slots__ = ("data", "error", "handle", "inner", "name", "part", "path")

    def __init__(self, path: str, data: bytes | None) -> None:
        self.path, self.data = path, data
        self.inner, self.name = _split(path)
        self.part = ""  # its name, which is hashed in the thread
        self.handle = -1
        self.error: OSError | None = None

    def write(self, folder: int) -> None:
        """Hand the data to the system.

        Raises:
            OSError: The disk refuses the file; no descriptor stays open.
        """
        self.part = _part(self.path)
        if self.data is None:
            self.handle = os.open(self.part, os.O_RDWR | os.O_NOFOLLOW, dir_fd=folder)
            return
        self.handle = _create_temp(folder, self.part)
        try:
            _write_all(self.handle, self.data)
        except OSError:
            os.close(self.handle)
            raise
        reach("part written")

    def start_sync(self, _folder: int) -> None:
        """Advise the system to write the data soon, without waiting for it."""
        if _ADVICE is not None:
            with contextlib.suppress(OSError):
                os.posix_fadvise(self.handle, 0, 0, _ADVICE)

    def sync(self, _folder: int) -> None:
        """Wait until the data is on disk.

        Raises:
            OSError: It may not be on disk.
        """
        try:
            os.fsync(self.handle)
        finally:
            os.close(self.handle)
        reach("part synced")

    def rename(self, folder: int) -> None:
        """Give it its final name."""
        os.replace(self.part, self.name, src_dir_fd=folder, dst_dir_fd=folder)
        reach("file renamed")


def _write_all(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(handle, left) :]
