"""Crash on purpose at a boundary, to prove that nothing is lost there.

Inert unless armed (BATCHCAP_CRASH_AT=N). Armed, the process kills itself with
SIGKILL when the N-th boundary is reached, counted over all of `BOUNDARIES` and
all threads.
"""

from __future__ import annotations

import os
import signal
import threading

BOUNDARIES = (
    "intent committed",
    "request sent",
    "response read",
    "job committed",
    "part written",
    "part synced",
    "file renamed",
    "folder synced",
    "outcome committed",
)
"""The steps of a caption, each of which can be the last one."""


class _Crash:
    lock = threading.Lock()
    remaining: int | None = None
    """Boundaries until the crash; None: never."""


def arm(at: int | None) -> None:
    """Crash at the `at`-th boundary from now on; None: never."""
    _Crash.remaining = at


def reach(boundary: str) -> None:
    """Count a boundary that was reached. Called from any thread.

    No thread passes a boundary after the one that crashes: the lock is never released.
    """
    if _Crash.remaining is None:
        return
    assert boundary in BOUNDARIES, boundary
    with _Crash.lock:
        _Crash.remaining -= 1
        if _Crash.remaining == 0:
            os.kill(os.getpid(), signal.SIGKILL)
