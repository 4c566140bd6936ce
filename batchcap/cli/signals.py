"""Ctrl-C: the first stops in order, the second quits at once."""

from __future__ import annotations

import signal
import sys

import anyio
from anyio.abc import TaskStatus

from batchcap.domain.shutdown import ShutdownToken

GRACE = 10.0
"""Seconds that open requests and downloads get after the first signal."""


class Signals:
    """Turns SIGINT, SIGTERM and SIGHUP into a stop. `received` is the first signal, or None.

    A SIGHUP that was ignored from the start, as by nohup, stays ignored.
    """

    def __init__(self, stop: ShutdownToken, *, quiet: bool) -> None:
        self._stop, self._quiet = stop, quiet
        self.received: int | None = None

    async def watch(
        self, work: anyio.CancelScope, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Handle signals until cancelled.

        The first starts nothing new and cancels `work` after `GRACE`; the second cancels
        it at once.
        """
        handled = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            handled.append(signal.SIGHUP)
        with anyio.open_signal_receiver(*handled) as signals:
            task_status.started()
            async for number in signals:
                if self.received is not None:
                    work.cancel()
                    return
                self.received = number
                self._stop.request()
                work.deadline = anyio.current_time() + GRACE
                if not self._quiet:
                    print(
                        f"stopping: open requests get {GRACE:.0f} s; once more to quit at once",
                        file=sys.stderr,
                    )
