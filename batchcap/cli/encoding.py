"""File names in UTF-8, whatever the locale says.

In another locale Python would open files by names in that encoding, and fail for a name
that it lacks, after the caption was paid for.
"""

from __future__ import annotations

import os
import sys


def use_utf8() -> None:
    """Restart the interpreter in UTF-8 mode if file names are not UTF-8.

    The process keeps its id and its streams. File names of the command line are passed on
    byte by byte.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"  # for the processes that batchcap starts
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606  # the same program
