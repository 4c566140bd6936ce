"""Which captions count as paid for twice, and which do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batchcap.app.audit import Audit, audit
from batchcap.domain.errors import FatalError, RowError, Unavailable
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import JobState, ProviderJob
from batchcap.storage.ledger import open_ledger
from tests.harness.rows import heygen_row, mux_row
from tests.harness.runs import ledger_sql

pytestmark = pytest.mark.anyio


class JobList:
    """A provider's jobs in memory; records which sources are listed."""

    def __init__(self, *jobs: ProviderJob) -> None:
        self.jobs = jobs
        self.listed: list[str] = []
        self.error: Exception | None = None

    async def list_jobs(self, source_id: str) -> list[ProviderJob]:
        self.listed.append(source_id)
        if self.error is not None:
            raise self.error
        return [job for job in self.jobs if job.source_id == source_id]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerReader]:
    rows = [mux_row("film", "es", track_id="film-en"), mux_row("film", "ja"), heygen_row("clip")]
    with closing(open_ledger(tmp_path, create=True)) as ledger:
        ledger.import_rows([("m.csv", rows)], skip_invalid=False)
        yield ledger


def add_creates(
    out: Path,
    row: int,
    *jobs: str | None,
    ended: str | None = None,
    units: int = 1,
) -> None:
    for number, job in enumerate(jobs, 1):
        sql = "INSERT INTO creates VALUES (?, ?, 0, ?, ?, ?)"
        ledger_sql(out, sql, row, number, job, ended, units)


def job(name: str, state: JobState = JobState.COMPLETED, **changes: object) -> ProviderJob:
    fields = {"source_id": "film", "target": "es", "track_id": "film-en", "units": 2, **changes}
    return ProviderJob(id=name, state=state, **fields)  # type: ignore[arg-type]  # fields by name


async def audit_jobs(ledger: LedgerReader, *jobs: ProviderJob) -> Audit:
    return await audit(ledger, {"mux": JobList(*jobs)})


async def test_audit_every_job_is_compared_with_the_provider(
    ledger: LedgerReader, tmp_path: Path
) -> None:
    add_creates(tmp_path, 1, "a", ended="completed")
    add_creates(tmp_path, 2, "gone", None)
    jobs = JobList(job("a"))
    result = await audit(ledger, {"mux": jobs})
    assert jobs.listed == ["film"]
    assert result.states() == {"completed": 1, "unknown": 1}
    assert (result.units_consumed, result.units_in_ledger) == (3, 3)
    assert result.captions == 2
    assert [create.key for create in result.unanswered_creates] == ["mux:film:ja"]
    assert result.paid_twice == []


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.COMPLETED])
@pytest.mark.parametrize("is_created_by_batchcap", [True, False])
async def test_audit_two_billed_jobs_are_paid_twice(
    ledger: LedgerReader, tmp_path: Path, state: JobState, is_created_by_batchcap: bool
) -> None:
    add_creates(tmp_path, 1, "a")
    result = await audit_jobs(
        ledger, job("a"), job("b", state, created_by_batchcap=is_created_by_batchcap)
    )
    assert [(charge.key, len(charge.jobs)) for charge in result.paid_twice] == [("mux:film:es", 2)]
    assert result.paid_twice[0].jobs[1].owner == (
        "batchcap" if is_created_by_batchcap else "others"
    )
    assert {job.job_id for job in result.jobs} == ({"a", "b"} if is_created_by_batchcap else {"a"})
    assert result.units_consumed == sum(job.units for job in result.jobs)


@pytest.mark.parametrize(
    "other",
    [
        job("b", JobState.ERRORED, created_by_batchcap=True),
        job("b", JobState.CANCELLED, created_by_batchcap=True),
        job("b", target="ja"),
        job("b", track_id="film-fr"),
        job("b", source_id="another"),
    ],
)
async def test_audit_other_jobs_are_not_duplicates(
    ledger: LedgerReader, tmp_path: Path, other: ProviderJob
) -> None:
    add_creates(tmp_path, 1, "a")
    result = await audit_jobs(ledger, job("a"), other)
    assert result.paid_twice == []


async def test_audit_two_jobs_of_others_are_ignored(ledger: LedgerReader) -> None:
    assert (await audit_jobs(ledger, job("x"), job("y"))).paid_twice == []


async def test_audit_deleted_completed_job_counts_as_paid(
    ledger: LedgerReader,
    tmp_path: Path,
) -> None:
    add_creates(tmp_path, 1, "old", ended="completed")
    ledger_sql(tmp_path, "INSERT INTO creates VALUES (1, 2, 0, 'a', NULL, 0)")
    result = await audit_jobs(ledger, job("a"))
    assert [job.job_id for job in result.paid_twice[0].jobs] == ["a", "old"]


async def test_audit_unanswered_create_names_the_likely_job(
    ledger: LedgerReader, tmp_path: Path
) -> None:
    add_creates(tmp_path, 1, None)
    result = await audit_jobs(ledger, job("a", created_by_batchcap=True), job("b"))
    assert result.unanswered_creates[0].jobs == ["a"]


async def test_audit_refused_source_is_unchecked(ledger: LedgerReader) -> None:
    jobs = JobList()
    jobs.error = RowError("rejected", "not this one")
    assert (await audit(ledger, {"mux": jobs})).unchecked == ["film: not this one"]


async def test_audit_unavailable_provider_raises(ledger: LedgerReader) -> None:
    jobs = JobList()
    jobs.error = Unavailable("no answer")
    with pytest.raises(ExceptionGroup) as raised:
        await audit(ledger, {"mux": jobs})
    assert raised.group_contains(FatalError, match="no answer")
