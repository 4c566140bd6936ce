"""What is done to the output folder, one system call after the other.

Files get their final names, many with one sync. The order is fixed: part file
written and synced, renamed, folder synced. Killed anywhere in between, a final name
is complete or absent.

No symbolic link is followed out of the folder, whoever planted it: each folder is
opened component by component without following links, and everything in it is
done by that descriptor, so that nothing can be swapped in between. That is one
walk a folder and batch, no dearer than the `mkdir` that it replaces, and nothing
is remembered from one batch to the next. The output folder itself may be a link:
that is the user's word.

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

from batchcap.failpoints import reach

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_OPEN_AT_ONCE = 16
"""Part files that are open together: few, whatever the system allows."""
_ADVICE = getattr(os, "POSIX_FADV_DONTNEED", None)
"""Linux starts to write what will not be read soon; elsewhere `fsync` does all of it."""


class Folders:
    """The folders at and below `root`. Every method may raise `OSError`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def part(self, path: str) -> Path:
        """Where a file is written before it is whole: beside its target."""
        return (self.root / path).with_name(_part(path))

    def opener(self, path: str) -> Callable[[str, int], int]:
        """For `open`: makes the part file of `path` anew, never through a link."""

        def opened(_name: str, _flags: int) -> int:
            with self._folder(_split(path)[0]) as folder:
                return _fresh(folder, _part(path))

        return opened

    def discard(self, path: str) -> None:
        """Remove the part file of `path`, where there is one."""
        with contextlib.suppress(OSError), self._folder(_split(path)[0], make=False) as folder:
            os.unlink(_part(path), dir_fd=folder)

    def read(self, path: str, since: float) -> bytes | None:
        """A file that was placed since then (unix seconds), or None."""
        inner, name = _split(path)
        try:
            with self._folder(inner, make=False) as folder:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                handle = os.open(name, flags, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None  # a link is no file of ours; fetching puts one in its place
            raise
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            whole = stat.S_ISREG(found.st_mode) and found.st_mtime >= since
            return file.read() if whole else None

    def place(self, parts: Sequence[Part]) -> list[Exception | None]:
        """Folder by folder, so that one at a time is open: one result a part."""
        shares: defaultdict[str, list[Part]] = defaultdict(list)
        for part in parts:
            shares[part.inner].append(part)
        for inner, some in shares.items():
            try:
                with self._folder(inner) as folder:
                    _filed(folder, some)
            except OSError as error:
                for part in some:
                    part.error = part.error or error
        return [part.error for part in parts]

    @contextlib.contextmanager
    def _folder(self, inner: str, *, make: bool = True) -> Iterator[int]:
        """A descriptor of a folder below the root, reached without following a link."""
        handle = _opened_root(self.root, make=make)
        try:
            for name in filter(None, inner.split("/")):
                outer, handle = handle, _entered(handle, name, make=make)
                os.close(outer)
            yield handle
        finally:
            os.close(handle)


def _split(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


def _part(path: str) -> str:
    return f".{hashlib.sha256(path.encode()).hexdigest()[:16]}.part"


def _opened_root(root: Path, *, make: bool) -> int:
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        if not make:
            raise
    root.mkdir(parents=True, exist_ok=True)
    return os.open(root, os.O_RDONLY | os.O_DIRECTORY)


def _entered(outer: int, name: str, *, make: bool) -> int:
    """The folder `name` in a folder, made where it is missing."""
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
    except NotADirectoryError:  # what Linux says of a link that it must not follow
        if stat.S_ISLNK(os.stat(name, dir_fd=outer, follow_symlinks=False).st_mode):
            told = f"{name} is a symbolic link, which is not followed"
            raise OSError(errno.ELOOP, told) from None
        raise


def _fresh(folder: int, name: str) -> int:
    """A new file, whatever a kill or a stranger left under its name."""
    try:
        return os.open(name, _NEW, 0o666, dir_fd=folder)
    except FileExistsError:
        os.unlink(name, dir_fd=folder)
        return os.open(name, _NEW, 0o666, dir_fd=folder)


def _filed(folder: int, parts: Sequence[Part]) -> None:
    """Write and sync all, rename all, sync the folder once; errors stay with their parts."""
    for first in range(0, len(parts), _OPEN_AT_ONCE):
        some = parts[first : first + _OPEN_AT_ONCE]
        # All are on their way to the disk before the first is waited for. Written alone, each
        # would get its place on the disk, and a commit of the journal, in its own `fsync`.
        for step in (Part.write, Part.start, Part.sync):
            _each(some, step, folder)
    _each(parts, Part.rename, folder)
    if any(part.error is None for part in parts):
        os.fsync(folder)
        reach("folder synced")


def _each(parts: Sequence[Part], step: Callable[[Part, int], None], folder: int) -> None:
    """Take a step with all that went well so far; a part that fails is removed."""
    for part in parts:
        if part.error is not None:
            continue
        try:
            step(part, folder)
        except OSError as error:
            part.error = error
            with contextlib.suppress(OSError):
                os.unlink(part.part, dir_fd=folder)


class Part:
    """A part file on the way to its final name; `error` is what went wrong with it.

    `path` is below the root. A part without `data` was written before.
    """

    __slots__ = ("data", "error", "handle", "inner", "name", "part", "path")

    def __init__(self, path: str, data: bytes | None) -> None:
        self.path, self.data = path, data
        self.inner, self.name = _split(path)
        self.part = ""  # its name: found where it is written, not where it is handed over
        self.handle = -1
        self.error: OSError | None = None

    def write(self, folder: int) -> None:
        """Hand the data to the system."""
        self.part = _part(self.path)
        if self.data is None:
            self.handle = os.open(self.part, os.O_RDWR | os.O_NOFOLLOW, dir_fd=folder)
            return
        self.handle = _fresh(folder, self.part)
        try:
            _write_all(self.handle, self.data)
        except OSError:
            os.close(self.handle)
            raise
        reach("part written")

    def start(self, _folder: int) -> None:
        """Have the data written soon, without waiting. An advice: nothing rests on it."""
        if _ADVICE is not None:
            with contextlib.suppress(OSError):
                os.posix_fadvise(self.handle, 0, 0, _ADVICE)

    def sync(self, _folder: int) -> None:
        """Wait until the data is on disk."""
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
