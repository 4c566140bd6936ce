"""Processes all rows: one lane for each provider, one worker for each row of its window."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio
from msgspec.structs import replace

from batchcap.domain.errors import CreatesRefused, FatalError, Stopped
from batchcap.domain.events import LaneStopped, RowEnded, RowHeldBack, RowStarted
from batchcap.domain.models import Failure, PendingRow, Row, RowHistory
from batchcap.domain.protocols import Checkpoint, Observer
from batchcap.engine.lane import Lane, PendingRows, Policy
from batchcap.engine.row_task import RowTask

_STARTED_AT_ONCE = 100
"""Workers started before the event loop runs: 2,000 at once would block it for 30 ms."""

LONGEST_SEND = 120.0
"""Seconds for which a create may be under way: the transport's timeout."""

_CLOCK_CHECK = 30.0
"""Seconds from one look at the time of day to the next: the clock may be set."""


def with_lost_at(history: RowHistory, began: float) -> RowHistory:
    """Add the latest time at which a create of an earlier run can have lost its response.

    `began` is when this run began (unix seconds).
    """
    if history.intent_at is None:
        return history
    return replace(history, response_lost_at=min(history.intent_at + LONGEST_SEND, began))


class Engine:
    """Works until every row of the lanes' providers has ended, or is stopped.

    After `run` returned, `fatal` holds what stopped a lane, if anything did.
    """

    def __init__(
        self,
        ledger: Checkpoint,
        lanes: list[Lane],
        policy: Policy,
        observer: Observer,
        now: Callable[[], float],
    ) -> None:
        self._ledger, self._lanes, self._policy = ledger, lanes, policy
        self._observer, self._now = observer, now
        self._began = now()
        self.fatal: list[FatalError] = []

    async def run(self) -> None:
        """Process all rows. An error that stops one lane leaves the others at work."""
        async with anyio.create_task_group() as group:
            for lane in self._lanes:
                group.start_soon(self._run_lane, lane)

    async def _run_lane(self, lane: Lane) -> None:
        rows = PendingRows(self._ledger, lane.provider.name)
        async with anyio.create_task_group() as group:
            group.start_soon(self._stop_lane_on_fatal, lane, lane.poller.run)
            if self._policy.create_until is not None:
                group.start_soon(self._close_creates_at, lane, self._policy.create_until)
            async with anyio.create_task_group() as workers:
                for number in range(await self._worker_count(lane, rows)):
                    workers.start_soon(self._stop_lane_on_fatal, lane, self._work, lane, rows)
                    if number % _STARTED_AT_ONCE == 0:
                        await asyncio.sleep(0)
            group.cancel_scope.cancel()

    async def _worker_count(self, lane: Lane, rows: PendingRows) -> int:
        """Return the size of the window, or the number of rows if there are fewer."""
        try:
            return min(lane.window, await rows.prefetch(lane.window))
        except FatalError as error:
            self._stop_for(lane, error)
            return 0

    async def _work(self, lane: Lane, rows: PendingRows) -> None:
        """Process one row after the other."""
        while not lane.stop.requested and (pending := await rows.get()):
            await self._process(lane, pending)

    async def _process(self, lane: Lane, pending: PendingRow) -> None:
        """Process one row, from its history to its outcome."""
        row = pending.row
        self._observer(RowStarted(row))
        task = RowTask(self._ledger, lane, self._policy, self._observer, self._now, row)
        try:
            outcome = await task.run(with_lost_at(pending.history, self._began))
        except CreatesRefused as error:
            await self._hold_back(lane, row, error)
            return
        await self._ledger.record_outcome(row, outcome)
        self._observer(RowEnded(row, outcome))

    async def _hold_back(self, lane: Lane, row: Row, error: CreatesRefused) -> None:
        """Leave a row pending, and let no other row of the lane create a job in this run."""
        lane.creates.close(error)
        if not lane.creates.is_reported:
            lane.creates.is_reported = True
            self._report_fatal(lane, error)
        failure = Failure("units_exhausted", error.message, retryable=True)
        await self._ledger.record_held_back(row, failure)
        self._observer(RowHeldBack(row, failure))

    async def _close_creates_at(self, lane: Lane, until: float) -> None:
        """Create no more jobs from a time on. Rows that have a job are not affected."""
        while (left := until - self._now()) > 0:  # noqa: ASYNC110  # the time is the event
            await asyncio.sleep(min(left, _CLOCK_CHECK))
        lane.creates.close(
            CreatesRefused(
                f"{lane.provider.name}: no more jobs are created, so that those which run can "
                "end by --deadline",
                hint="Captions that were paid for are fetched. For the rest: batchcap resume.",
                provider=lane.provider.name,
            )
        )

    async def _stop_lane_on_fatal(
        self, lane: Lane, work: Callable[..., Awaitable[None]], *args: object
    ) -> None:
        """Run `work`; a fatal error stops the lanes that it concerns, and nothing else."""
        try:
            await work(*args)
        except Stopped:
            pass
        except FatalError as error:
            self._stop_for(lane, error)

    def _stop_for(self, lane: Lane, error: FatalError) -> None:
        cause = (error.provider, error.message)
        if any((fatal.provider, fatal.message) == cause for fatal in self.fatal):
            return
        self._report_fatal(lane, error)
        for other in self._lanes:
            if error.provider is None or other is lane:
                other.stop.request()

    def _report_fatal(self, lane: Lane, error: FatalError) -> None:
        self.fatal.append(error)
        self._observer(LaneStopped(lane.provider.name, error.message, error.hint))
