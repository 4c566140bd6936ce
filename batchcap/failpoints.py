"""Crash on purpose at a boundary, to prove that nothing is lost there.

Inert unless armed (BATCHCAP_CRASH_AT=N). Armed, the process kills itself with
SIGKILL when the N-th boundary is reached, counted over all of `BOUNDARIES`, in
this process and its `sidecar`, which goes down together with it.
"""

from __future__ import annotations

import os
import signal

BOUNDARIES = (
    "intent committed",
    "request sent",
    "answer read",
    "job committed",
    "part written",
    "part synced",
    "file renamed",
    "folder synced",
    "outcome committed",
)
"""The steps of a caption, each of which can be the last one."""


class _Crash:
    left: int | None = None
    """A file with a byte for each boundary that may yet be passed. Processes that share it
    read on from one place."""
    parent: int | None = None


def arm(at: int | None) -> None:
    """Crash at the `at`-th boundary from now on; None: never."""
    _Crash.left = None
    if at is not None:
        import tempfile  # a seventh of a sidecar's start

        with tempfile.TemporaryFile() as file:
            _Crash.left = os.dup(file.fileno())
            os.write(_Crash.left, bytes(at - 1))
            os.lseek(_Crash.left, 0, os.SEEK_SET)


def shared() -> int:
    """What a child needs to count along (`join`): an open file that it inherits; -1: unarmed."""
    return -1 if _Crash.left is None else _Crash.left


def join(left: int) -> None:
    """Count along with the parent, and take it down too."""
    if left >= 0:
        _Crash.left, _Crash.parent = left, os.getppid()


def reach(boundary: str) -> None:
    """Say that a boundary was reached. Called from any thread."""
    if _Crash.left is None:
        return
    assert boundary in BOUNDARIES, boundary
    if not os.read(_Crash.left, 1):
        if _Crash.parent is not None and _Crash.parent == os.getppid():
            os.kill(_Crash.parent, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
