"""What was downloaded for a caption and refused, kept so that the user can look at it.

The files are in `DIR/.batchcap/refused/`, which only the owner may read, because an error page
can hold parts of a signed link. At most `MAX_FILES` are kept, with the first `MAX_BYTES` of each.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import os
from pathlib import Path

from batchcap.storage.ledger.schema import folder

MAX_FILES = 50
MAX_BYTES = 256 * 1024
"""Bytes that are kept of one file."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


class RefusedFiles:
    """The refused files of one output folder; one for each caption, the latest.

    Only `write` works on the disk, and it may be called in a thread.
    """

    def __init__(self, out: Path) -> None:
        self.folder = folder(out) / "refused"
        try:
            self._names = {path.name for path in self.folder.iterdir()}
        except OSError:
            self._names = set()

    def reserve(self, path: str, data: bytes) -> str | None:
        """Return the name for what was refused for the caption at `path`, None if it is not kept.

        Only text is kept, and no new file once there are `MAX_FILES`.
        """
        name = _name(path)
        is_full = name not in self._names and len(self._names) >= MAX_FILES
        if is_full or not _is_text(data):
            return None
        self._names.add(name)
        return name

    def write(self, name: str, data: bytes) -> Path | None:
        """Write a file that was reserved; return its path, None if the disk refuses it."""
        try:
            with contextlib.suppress(FileExistsError):
                self.folder.mkdir(mode=0o700)
            inner = os.open(self.folder, _FOLDER)
            try:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=inner)
                with os.fdopen(os.open(name, _NEW, 0o600, dir_fd=inner), "wb") as file:
                    file.write(data[:MAX_BYTES])
            finally:
                os.close(inner)
        except OSError:  # the row fails anyway, and the run must not
            return None
        return self.folder / name

    def discard(self, path: str) -> None:
        """Remove what was refused for a caption that has been downloaded since."""
        if self._names and (name := _name(path)) in self._names:
            self._names.discard(name)
            with contextlib.suppress(OSError):
                (self.folder / name).unlink(missing_ok=True)


def _name(path: str) -> str:
    return f"{hashlib.sha256(path.encode()).hexdigest()[:16]}.txt"


def _is_text(data: bytes) -> bool:
    """Return whether the bytes to keep are UTF-8 text. If some are cut off, the end may be, too."""
    beginning = data[:MAX_BYTES]
    try:
        decoder = codecs.getincrementaldecoder("utf-8")()
        text = decoder.decode(beginning, final=len(data) < MAX_BYTES)
    except UnicodeDecodeError:
        return False
    return bool(text) and "\0" not in text
