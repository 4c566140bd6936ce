"""What counts as paid twice, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batchcap.auditing import Audit, audit
from batchcap.errors import FatalError, RowError, Unavailable
from batchcap.interfaces import LedgerReader
from batchcap.ledger import open_ledger
from batchcap.model import JobState, ProviderJob
from tests.world import heygen_row, ledger_sql, mux_row

pytestmark = pytest.mark.anyio


class Shelf:
    """A provider's books in memory; counts how often each source is listed."""

    def __init__(self, *records: ProviderJob) -> None:
        self.records = records
        self.listed: list[str] = []
        self.fault: Exception | None = None

    async def list_jobs(self, source_id: str) -> list[ProviderJob]:
        self.listed.append(source_id)
        if self.fault is not None:
            raise self.fault
        return [one for one in self.records if one.source_id == source_id]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerReader]:
    rows = [mux_row("film", "es", track_id="film-en"), mux_row("film", "ja"), heygen_row("clip")]
    with closing(open_ledger(tmp_path, create=True)) as ledger:
        ledger.import_rows([("m.csv", rows)], skip_invalid=False)
        yield ledger


def paid(
    out: Path,
    row: int,
    *jobs: str | None,
    ended: str | None = None,
    units: int = 1,
) -> None:
    for nth, job in enumerate(jobs, 1):
        sql = "INSERT INTO creates VALUES (?, ?, 0, ?, ?, ?)"
        ledger_sql(out, sql, row, nth, job, ended, units)


def job(name: str, state: JobState = JobState.COMPLETED, **changes: object) -> ProviderJob:
    given = {"source_id": "film", "target": "es", "track_id": "film-en", "units": 2, **changes}
    return ProviderJob(id=name, state=state, **given)  # type: ignore[arg-type]  # fields by name


async def audited(ledger: LedgerReader, *records: ProviderJob) -> Audit:
    return await audit(ledger, {"mux": Shelf(*records)})


async def test_every_job_is_held_against_the_books(ledger: LedgerReader, tmp_path: Path) -> None:
    paid(tmp_path, 1, "a", ended="completed")
    paid(tmp_path, 2, "gone", None)
    shelf = Shelf(job("a"))
    found = await audit(ledger, {"mux": shelf})
    assert shelf.listed == ["film"]
    assert found.states() == {"completed": 1, "unknown": 1}
    assert (found.units_consumed, found.units_in_ledger) == (3, 3)
    assert found.captions == 2
    assert [one.key for one in found.unanswered] == ["mux:film:ja"]
    assert found.paid_twice == []


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.COMPLETED])
@pytest.mark.parametrize("ours", [True, False])
async def test_two_jobs_that_cost_are_paid_twice(
    ledger: LedgerReader, tmp_path: Path, state: JobState, ours: bool
) -> None:
    paid(tmp_path, 1, "a")
    found = await audited(ledger, job("a"), job("b", state, created_by_batchcap=ours))
    assert [(one.key, len(one.jobs)) for one in found.paid_twice] == [("mux:film:es", 2)]
    assert found.paid_twice[0].jobs[1].whose == ("batchcap" if ours else "others")


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
async def test_these_are_no_duplicates(
    ledger: LedgerReader, tmp_path: Path, other: ProviderJob
) -> None:
    paid(tmp_path, 1, "a")
    found = await audited(ledger, job("a"), other)
    assert found.paid_twice == []


async def test_what_others_pay_for_twice_is_theirs(ledger: LedgerReader) -> None:
    assert (await audited(ledger, job("x"), job("y"))).paid_twice == []


async def test_a_completed_job_that_was_deleted_since_was_still_paid(
    ledger: LedgerReader,
    tmp_path: Path,
) -> None:
    paid(tmp_path, 1, "old", ended="completed")
    ledger_sql(tmp_path, "INSERT INTO creates VALUES (1, 2, 0, 'a', NULL, 0)")
    found = await audited(ledger, job("a"))
    assert [one.job_id for one in found.paid_twice[0].jobs] == ["a", "old"]


async def test_a_job_of_ours_beside_an_intent_is_named(
    ledger: LedgerReader, tmp_path: Path
) -> None:
    paid(tmp_path, 1, None)
    found = await audited(ledger, job("a", created_by_batchcap=True), job("b"))
    assert found.unanswered[0].jobs == ["a"]


async def test_a_source_that_cannot_be_seen_is_named(ledger: LedgerReader) -> None:
    shelf = Shelf()
    shelf.fault = RowError("rejected", "not this one")
    assert (await audit(ledger, {"mux": shelf})).unasked == ["film: not this one"]


async def test_a_provider_that_does_not_answer_ends_the_audit(ledger: LedgerReader) -> None:
    shelf = Shelf()
    shelf.fault = Unavailable("no answer")
    with pytest.raises(ExceptionGroup) as raised:
        await audit(ledger, {"mux": shelf})
    assert raised.group_contains(FatalError, match="no answer")
