"""The ledger against the provider's books: what was paid, and whether once.

A caption is paid twice where the provider has two jobs for it that run or
completed, and at least one of them is ours: in this ledger, or with the mark that
batchcap puts on every create. Jobs of others count beside ours, never alone. A
further job after one that errored or was cancelled is no duplicate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import anyio
import msgspec

from batchcap.errors import FatalError, RowError, Unavailable
from batchcap.interfaces import JobHistory, LedgerReader
from batchcap.model import CaptionRecord, JobState, ProviderJob

_WORKERS = 32
_GOOD = (JobState.RUNNING, JobState.COMPLETED)
UNKNOWN = "unknown"
"""The state of a job that the provider does not know (any more)."""


class ReadOnlyStore:
    """A `KeyValueStore` with the values of a ledger, which it leaves as it is."""

    def __init__(self, ledger: LedgerReader) -> None:
        self._values = ledger.values()

    def get(self, key: str) -> str | None:
        """See `interfaces.KeyValueStore`."""
        return self._values.get(key)

    def set(self, key: str, value: str) -> None:
        """Keep a value as long as this object lives."""
        self._values[key] = value


class PaidJob(msgspec.Struct, frozen=True):
    """A job that this ledger paid for, as the provider has it."""

    key: str
    job_id: str
    state: str
    units: int


class Twin(msgspec.Struct, frozen=True):
    """One of several jobs for a caption. `whose` is ledger, batchcap or others."""

    job_id: str
    state: str
    whose: str
    units: int


class Twice(msgspec.Struct, frozen=True):
    """A caption with more than one job that runs or completed."""

    key: str
    source_id: str
    language: str
    jobs: list[Twin]


class Unanswered(msgspec.Struct, frozen=True):
    """A create without an answer. `jobs` at the provider look as if they were it."""

    key: str
    jobs: list[str]


class Audit(msgspec.Struct):
    """What an audit found. `units_in_ledger` is what the ledger knew of `units_consumed`."""

    captions: int = 0
    units_consumed: int = 0
    units_in_ledger: int = 0
    jobs: list[PaidJob] = []
    paid_twice: list[Twice] = []
    unanswered: list[Unanswered] = []
    unasked: list[str] = []

    def states(self) -> Counter[str]:
        """How many of the ledger's jobs are in which state."""
        return Counter(job.state for job in self.jobs)


async def audit(ledger: LedgerReader, books: Mapping[str, JobHistory]) -> Audit:
    """Compare every job and caption of the ledger, each source listed once; GETs only.

    Sources that a provider does not let see are in `unasked`. Raises `FatalError`
    where a provider cannot be asked at all.
    """
    found = Audit()
    for name, book in books.items():
        source_ids = ledger.source_ids(name)
        async with anyio.create_task_group() as group:
            for _ in range(_WORKERS):
                group.start_soon(_worker, found, ledger, name, book, source_ids)
    return found


async def _worker(
    found: Audit, ledger: LedgerReader, name: str, book: JobHistory, source_ids: Iterator[str]
) -> None:
    for source_id in source_ids:
        try:
            records = await book.list_jobs(source_id)
        except RowError as error:
            found.unasked.append(f"{source_id}: {error.message}")
            continue
        except Unavailable as error:
            raise FatalError(
                f"{name} cannot be asked: {error.message}",
                hint="Nothing is wrong with the ledger; try the audit again later.",
                provider=name,
            ) from None
        for caption in ledger.captions_of(name, source_id):
            _compare(found, caption, records)


def _compare(found: Audit, caption: CaptionRecord, records: list[ProviderJob]) -> None:
    """One caption's creates against what the provider has for its source."""
    found.captions += 1
    known = {record.id: record for record in records}
    mine = {
        one.job_id: _paid(caption.key, one.job_id, one.units, known.get(one.job_id))
        for one in caption.creates
        if one.job_id is not None
    }
    found.jobs += mine.values()
    found.units_consumed += sum(job.units for job in mine.values())
    found.units_in_ledger += sum(one.units for one in caption.creates)
    alike = [record for record in records if _for(caption, record)]
    if any(one.job_id is None for one in caption.creates):
        lost = [one.id for one in alike if one.created_by_batchcap and one.id not in mine]
        found.unanswered.append(Unanswered(caption.key, lost))
    twins = _twins(caption, alike, mine)
    if len(twins) > 1 and any(twin.whose != "others" for twin in twins):
        found.paid_twice.append(Twice(caption.key, caption.source_id, caption.target, twins))


def _paid(key: str, job_id: str, units: int, record: ProviderJob | None) -> PaidJob:
    if record is None:
        return PaidJob(key, job_id, UNKNOWN, units)
    return PaidJob(key, job_id, record.state.value, record.units)


def _for(caption: CaptionRecord, record: ProviderJob) -> bool:
    """Whether a job makes this caption, by the rule by which the engine adopts jobs."""
    return (
        record.source_id == caption.source_id
        and record.target.lower() == caption.target.lower()
        and caption.track_id in {None, record.track_id}
    )


def _twins(
    caption: CaptionRecord, alike: list[ProviderJob], mine: Mapping[str, PaidJob]
) -> list[Twin]:
    """The jobs for a caption that cost: those at the provider, and ours that it deleted."""
    listed = [
        Twin(record.id, record.state.value, _whose(record, mine), record.units)
        for record in alike
        if record.state in _GOOD
    ]
    deleted = [
        Twin(one.job_id, UNKNOWN, "ledger", one.units)
        for one in caption.creates
        if one.job_id and one.ended == "completed" and mine[one.job_id].state == UNKNOWN
    ]
    return listed + deleted


def _whose(record: ProviderJob, mine: Mapping[str, PaidJob]) -> str:
    if record.id in mine:
        return "ledger"
    return "batchcap" if record.created_by_batchcap else "others"
