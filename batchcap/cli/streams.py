"""Standard output and standard error that no reader and no disk can make fail.

A run must not stop, after captions were paid for, because a message cannot be printed: the
reader of a pipe may have gone (`| head`), and the disk behind `2> file` may be full.
"""

from __future__ import annotations

import io
import os
import sys


class OutputStream(io.FileIO):
    """A descriptor whose writes succeed for the caller, even if they fail.

    `error` is the first failure that lost output that a reader still wanted, or None. A
    reader that closed its pipe wanted no more.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, data: object, /) -> int:
        """Write as much as possible now; after a failure, discard the data."""
        view = memoryview(data)  # type: ignore[arg-type]  # a buffer, by io's protocol
        try:
            return os.write(self.fileno(), view)
        except BrokenPipeError:
            pass
        except OSError as error:
            self.error = self.error or error
        return view.nbytes


def open_streams() -> None:
    """Make `sys.stdout` and `sys.stderr` such streams, in UTF-8.

    What UTF-8 cannot express is printed escaped. A standard stream that is closed (`<&-`)
    becomes the null device; otherwise the next file that batchcap opens would take its
    descriptor. A stream that a program put in the place of Python's own stays.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text_stream(1)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text_stream(2)


def output_error() -> OSError | None:
    """Write what is buffered, and return why standard output is not complete, or None."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.error if isinstance(raw, OutputStream) else None


def _text_stream(descriptor: int) -> io.TextIOWrapper:
    raw = OutputStream(descriptor)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=descriptor == 2 or raw.isatty(),
    )
