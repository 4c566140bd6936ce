"""Names and messages in UTF-8, whatever the locale and PYTHONIOENCODING say.

In another locale Python would open files by names in that encoding, and fail for a name
that it lacks, after the caption was paid for.
"""

from __future__ import annotations

import io
import os
import sys


def use_utf8() -> None:
    """Print UTF-8, and restart the interpreter in UTF-8 mode if file names are not UTF-8.

    The process keeps its id and its streams. File names of the command line are passed on
    byte by byte. What UTF-8 cannot express is printed escaped.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"  # for the processes that batchcap starts
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606  # the same program
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not _is_utf8(stream):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _is_utf8(stream: io.TextIOWrapper) -> bool:
    return stream.encoding.lower() == "utf-8" and stream.errors == "backslashreplace"
