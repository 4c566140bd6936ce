"""Compares the ledger with the provider's list of jobs: was every caption paid for once?

A caption was paid for twice if the provider has two jobs for it that are running or
completed, and batchcap created at least one of them: it is in this ledger, or has the mark
that batchcap puts on every create. Jobs of other programs count only beside one of
batchcap's. A new job after one that errored or was cancelled is not a duplicate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import anyio
import msgspec

from batchcap.domain.errors import FatalError, RowError, Unavailable
from batchcap.domain.languages import canonical
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import CaptionRecord, JobState, ProviderJob
from batchcap.domain.protocols import JobHistory

WORKERS = 32  # sources listed at once
_BILLED = (JobState.RUNNING, JobState.COMPLETED)
UNKNOWN = "unknown"
"""The state of a job that the provider does not know, or no longer."""


class PaidJob(msgspec.Struct, frozen=True):
    """A job of the ledger or of batchcap's own making, in the state that the provider has."""

    key: str
    job_id: str
    state: str
    units: int


class DuplicateJob(msgspec.Struct, frozen=True):
    """One of several jobs for a caption. `owner` is `ledger`, `batchcap` or `others`."""

    job_id: str
    state: str
    owner: str
    units: int


class DoubleCharge(msgspec.Struct, frozen=True):
    """A caption with more than one job that is running or completed."""

    key: str
    source_id: str
    language: str
    jobs: list[DuplicateJob]


class UnansweredCreate(msgspec.Struct, frozen=True):
    """A create without a response. `jobs` are those at the provider that may be its job."""

    key: str
    jobs: list[str]


class Audit(msgspec.Struct):
    """The result of an audit. `units_in_ledger` is the part of `units_consumed` in the ledger."""

    captions: int = 0
    units_consumed: int = 0
    units_in_ledger: int = 0
    jobs: list[PaidJob] = []
    paid_twice: list[DoubleCharge] = []
    unanswered_creates: list[UnansweredCreate] = []
    unchecked: list[str] = []

    def states(self) -> Counter[str]:
        """Return the number of jobs in each state."""
        return Counter(job.state for job in self.jobs)


async def audit(ledger: LedgerReader, histories: Mapping[str, JobHistory]) -> Audit:
    """Compare every job and caption of the ledger with the providers' lists.

    Sends GET requests only, one listing for each source. `unchecked` names the sources that a
    provider refused to list.

    Raises:
        FatalError: A provider is unavailable.
    """
    result = Audit()
    for name, history in histories.items():
        source_ids = ledger.source_ids(name)
        async with anyio.create_task_group() as group:
            for _ in range(WORKERS):
                group.start_soon(_worker, result, ledger, name, history, source_ids)
    return result


async def _worker(
    result: Audit,
    ledger: LedgerReader,
    name: str,
    history: JobHistory,
    source_ids: Iterator[str],
) -> None:
    for source_id in source_ids:
        try:
            jobs = await history.list_jobs(source_id)
        except RowError as error:
            result.unchecked.append(f"{source_id}: {error.message}")
            continue
        except Unavailable as error:
            raise FatalError(
                f"{name}: listing jobs failed: {error.message}",
                hint="Nothing is wrong with the ledger; run the audit again later.",
                provider=name,
            ) from None
        for caption in ledger.captions_of(name, source_id):
            _compare(result, caption, jobs)


def _compare(result: Audit, caption: CaptionRecord, jobs: list[ProviderJob]) -> None:
    """Compare one caption's creates with the jobs that the provider has for its source."""
    result.captions += 1
    by_id = {job.id: job for job in jobs}
    paid = {
        create.job_id: _paid_job(caption.key, create.job_id, create.units, by_id.get(create.job_id))
        for create in caption.creates
        if create.job_id is not None
    }
    result.jobs += paid.values()
    result.units_consumed += sum(job.units for job in paid.values())
    result.units_in_ledger += sum(create.units for create in caption.creates)
    candidates = [job for job in jobs if _makes(job, caption)]
    if any(create.job_id is None for create in caption.creates):
        lost = [job.id for job in candidates if job.created_by_batchcap and job.id not in paid]
        result.unanswered_creates.append(UnansweredCreate(caption.key, lost))
    billed = _billed_jobs(caption, candidates, paid)
    result.jobs += (
        PaidJob(caption.key, job.job_id, job.state, job.units)
        for job in billed
        if job.owner == "batchcap"
    )
    result.units_consumed += sum(job.units for job in billed if job.owner == "batchcap")
    if len(billed) > 1 and any(job.owner != "others" for job in billed):
        charge = DoubleCharge(caption.key, caption.source_id, caption.target, billed)
        result.paid_twice.append(charge)


def _paid_job(key: str, job_id: str, units: int, job: ProviderJob | None) -> PaidJob:
    if job is None:
        return PaidJob(key, job_id, UNKNOWN, units)
    return PaidJob(key, job_id, job.state.value, job.units)


def _makes(job: ProviderJob, caption: CaptionRecord) -> bool:
    """Return whether a job makes this caption, by the rule by which the engine adopts jobs."""
    return (
        job.source_id == caption.source_id
        and canonical(job.target) == canonical(caption.target)
        and caption.track_id in {None, job.track_id}
    )


def _billed_jobs(
    caption: CaptionRecord, candidates: list[ProviderJob], paid: Mapping[str, PaidJob]
) -> list[DuplicateJob]:
    """Return the jobs that cost something: the provider's, and the ledger's that it deleted."""
    listed = [
        DuplicateJob(job.id, job.state.value, _owner(job, paid), job.units)
        for job in candidates
        if job.state in _BILLED
    ]
    deleted = [
        DuplicateJob(create.job_id, UNKNOWN, "ledger", create.units)
        for create in caption.creates
        if create.job_id and create.ended == "completed" and paid[create.job_id].state == UNKNOWN
    ]
    return listed + deleted


def _owner(job: ProviderJob, paid: Mapping[str, PaidJob]) -> str:
    if job.id in paid:
        return "ledger"
    return "batchcap" if job.created_by_batchcap else "others"
