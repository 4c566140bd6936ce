"""Crash on purpose at a boundary, to prove that nothing is lost there.

Inert unless armed (BATCHCAP_CRASH_AT=N). Armed, the process kills itself with
SIGKILL when the N-th boundary is reached, counted over all of `BOUNDARIES`.
"""

from __future__ import annotations

import itertools
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
    at: int | None = None
    reached = itertools.count(1)


def arm(at: int | None) -> None:
    """Crash at the `at`-th boundary from now on; None: never."""
    _Crash.at = at
    _Crash.reached = itertools.count(1)


def reach(boundary: str) -> None:
    """Say that a boundary was reached. Called from any thread."""
    if _Crash.at is None:
        return
    assert boundary in BOUNDARIES, boundary
    if next(_Crash.reached) == _Crash.at:
        os.kill(os.getpid(), signal.SIGKILL)
