"""How many units the jobs of a run may cost together.

What a job costs is known only once it has completed. So each create reserves what the job is
expected to cost, and waits while that would pass the limit. When a job ends, the reserve is
replaced by its real cost. If nothing is known of the cost, one job is created, and the others
wait for its end; the next ones may cost more, so for a while twice as much is reserved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchcap.domain.errors import CreatesRefused
from batchcap.domain.models import Job, JobState, Row

FEW_JOBS = 20
"""Until this many jobs have completed, one may cost much more than the dearest of them."""

MARGIN = 2.0
"""How much is reserved meanwhile, as a multiple of the dearest job."""


class UnitBudget:
    """The units left to a run, shared by its lanes.

    `expected` returns the units of a row's job, None if they are unknown: then the dearest job
    so far counts.
    """

    def __init__(self, limit: float, expected: Callable[[Row], float | None]) -> None:
        self._limit, self._expected = limit, expected
        self._spent = 0.0
        self._dearest: float | None = None
        self._completed = 0
        self._factor = 1.0
        """By how much jobs turned out to cost more than expected, at worst."""
        self._reserved: dict[int, float] = {}
        self._reserved_units = 0.0
        self._changed = asyncio.Event()

    async def reserve(self, row: Row) -> None:
        """Reserve the units of a row's job; wait while the jobs that run may need them.

        Raises:
            CreatesRefused: The units that are left are not enough, whatever these jobs cost.
        """
        while row.number not in self._reserved:
            expected = self._expected(row)
            units = self._likely_most() if expected is None else expected * self._factor
            if units is None and not self._reserved:
                units = 0.0  # the first job shows what one costs
            if units is not None and self._fits(units) and self._may_learn_more(expected):
                self._reserved[row.number] = units
                self._reserved_units += units
            elif not self._reserved:
                raise self._refused(row.provider)
            else:
                await self._changed.wait()

    def settle(self, row: Row, job: Job | None) -> None:
        """Replace the reserve of a row by what its job cost.

        If the job has not ended, or it is unknown whether there is one, the reserve is spent.
        """
        if row.number not in self._reserved:
            return
        reserved = self._take(row)
        has_ended = job is not None and job.state is not JobState.RUNNING
        self._spent += job.units if job is not None and has_ended else reserved
        if job is not None and job.state is JobState.COMPLETED and job.units:
            self._completed += 1
            self._dearest = max(self._dearest or 0.0, float(job.units))
            if expected := self._expected(row):
                self._factor = max(self._factor, job.units / expected)
        self._wake()

    def release(self, row: Row) -> None:
        """Give back the reserve of a row for which no job was created, if it has one."""
        if row.number in self._reserved:
            self._take(row)
            self._wake()

    def _may_learn_more(self, expected: float | None) -> bool:
        """Return whether another job of unknown cost may start before more have ended.

        At first only as many run at once as have ended, so that a cheap first job does not let
        all others start.
        """
        is_early = expected is None and self._completed < FEW_JOBS
        return not is_early or len(self._reserved) <= self._completed

    def _likely_most(self) -> float | None:
        """Return what a job of unknown cost may need, None before the first one."""
        if self._dearest is None:
            return None
        return self._dearest * (MARGIN if self._completed < FEW_JOBS else 1.0)

    def _take(self, row: Row) -> float:
        units = self._reserved.pop(row.number)
        self._reserved_units = self._reserved_units - units if self._reserved else 0.0
        return units

    def _fits(self, units: float) -> bool:
        return self._spent + self._reserved_units + units <= self._limit

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _refused(self, provider: str) -> CreatesRefused:
        return CreatesRefused(
            f"{provider}: {self._spent:,.6g} of --max-units {self._limit:,.6g} are spent, and "
            "another job could pass it; no more jobs are created",
            hint="Captions that were paid for are fetched. For the rest: batchcap resume, with "
            "another --max-units.",
            provider=provider,
        )
