"""Takes rows back: finds out what became of their creates, cancels jobs, deletes tracks.

Every answer of a provider is recorded before the next step. If the process is killed in
between, the ledger still has the job, and the same command or the next run finds out how it
ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping

import anyio
import msgspec

from batchcap.domain.errors import RowError, Unavailable
from batchcap.domain.forgetting import ForgetScope, Hold
from batchcap.domain.ledger_protocols import Ledger
from batchcap.domain.models import Job, JobState, PendingRow
from batchcap.domain.protocols import JobControl, Provider
from batchcap.engine.engine import with_lost_at

WORKERS = 16  # rows in progress at once; the rate limits decide the speed

Report = Callable[[str], None]
"""Called with a line for the user about one row."""


class Withdrawal(msgspec.Struct):
    """What was done at the providers. `unavailable` rows could not be asked about."""

    cancelled: int = 0
    tracks_deleted: int = 0
    tracks_kept: int = 0
    unavailable: int = 0


class Forgetter:
    """Asks providers about selected rows. `now` gives unix seconds, `settle` is --settle."""

    def __init__(
        self,
        ledger: Ledger,
        providers: Mapping[str, Provider],
        scope: ForgetScope,
        report: Report,
        *,
        settle: float,
        now: Callable[[], float],
    ) -> None:
        self._ledger, self._providers, self._scope = ledger, providers, scope
        self._report, self._settle, self._now = report, settle, now
        self._began = now()
        self.result = Withdrawal()

    async def cancel(self) -> None:
        """Look up creates without a response, then cancel the jobs that are running.

        Raises:
            FatalError: A provider refuses the account. What was recorded before stays.
        """
        await self._for_each(Hold.UNKNOWN, self._look_up)
        await self._for_each(Hold.RUNNING, self._cancel)
        await self._ledger.drain()

    async def remove_tracks(self) -> None:
        """Delete the tracks that completed jobs of selected rows added.

        Raises:
            FatalError: A provider refuses the account.
        """
        for hold in (Hold.DONE, Hold.PAID):
            await self._for_each(hold, self._remove_track)

    async def _for_each(self, hold: Hold, work: Callable[[PendingRow], Awaitable[None]]) -> None:
        rows = self._ledger.held_rows(self._scope, hold)
        async with anyio.create_task_group() as group:
            for _ in range(WORKERS):
                group.start_soon(self._worker, rows, work)

    async def _worker(
        self, rows: Iterator[PendingRow], work: Callable[[PendingRow], Awaitable[None]]
    ) -> None:
        for pending in rows:
            try:
                await work(pending)
            except RowError as error:
                self._report(f"not changed: {pending.row.key}: {error.message}")
            except Unavailable as error:
                self.result.unavailable += 1
                self._report(f"not changed: {pending.row.key}: {error.message}")

    async def _look_up(self, pending: PendingRow) -> None:
        """Find the job of an unanswered create. If it has none, discard the create."""
        row, history = pending.row, with_lost_at(pending.history, self._began)
        if history.response_lost_at is None:
            return
        since = history.response_lost_at + self._settle
        await anyio.sleep(max(0.0, since - self._now()))
        job = await self._providers[row.provider].find_existing_job(row, history, since)
        if job is None:
            await self._ledger.discard_intent(row)
        elif job.id is not None:
            await self._ledger.record_job(row, job.id)
            await self._record_end(pending, job)

    async def _cancel(self, pending: PendingRow) -> None:
        row, job_id = pending.row, pending.history.job_id
        provider = self._providers[row.provider]
        if not isinstance(provider, JobControl):
            self._report(f"not changed: {row.key}: {row.provider} cannot cancel jobs")
            return
        if job_id is None:
            return
        job = await provider.cancel_job(row, job_id)
        await self._record_end(pending, job)
        self.result.cancelled += job.state is JobState.CANCELLED
        self._report(f"{job.state.value}: {row.key}: job {job_id}")

    async def _record_end(self, pending: PendingRow, job: Job) -> None:
        if job.state is not JobState.RUNNING:
            await self._ledger.record_job_ended(pending.row, job)

    async def _remove_track(self, pending: PendingRow) -> None:
        row, job_id = pending.row, pending.history.job_id
        provider = self._providers.get(row.provider)
        if job_id is None or not isinstance(provider, JobControl):
            return
        removed = await provider.remove_track(row, job_id)
        if removed.reason:
            self.result.tracks_kept += not removed.is_gone
            word = "gone" if removed.is_gone else "kept"
            self._report(f"{word}: {row.key}: {removed.track_id or 'its track'}: {removed.reason}")
        else:
            self.result.tracks_deleted += 1
            self._report(f"deleted: {row.key}: {removed.track_id} of {row.source_id}")
