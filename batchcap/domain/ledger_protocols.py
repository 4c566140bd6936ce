"""Protocols of the ledger as a whole: reading it, running on it, making a new one.

The part that the engine records in is `protocols.Checkpoint`. One contract suite,
`tests/contract/test_ledger.py`, runs against every implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from batchcap.domain.forgetting import ForgetScope, Hold
from batchcap.domain.models import (
    Caption,
    CaptionRecord,
    CompletedRow,
    FailureGroup,
    FindingCount,
    ImportResult,
    InvalidRow,
    LanguageCount,
    MinuteCount,
    OpenJob,
    PendingRow,
    Row,
    RowPair,
    Totals,
)
from batchcap.domain.protocols import Checkpoint, KeyValueStore
from batchcap.domain.selection import Selection
from batchcap.domain.workload import PaidVideo, RowRules, TaskCount, Workload


class LedgerReader(Protocol):
    """What commands read from a ledger, also while a run writes it.

    Every method raises `FatalError` if the ledger cannot be read.
    """

    def close(self) -> None:
        """Close the ledger. It must not be used afterwards."""
        ...

    def totals(self) -> Totals:
        """Count all rows."""
        ...

    def providers_with_pending(self) -> list[str]:
        """Return the providers that have pending rows; only chosen rows count."""
        ...

    def pending_by_provider(self) -> dict[str, int]:
        """Count the pending rows that this run works on, by provider; only chosen rows count."""
        ...

    def workloads(self, rules: RowRules) -> list[Workload]:
        """Return what there is to do at each provider; only chosen rows count."""
        ...

    def pending_by_manifest(self) -> dict[str, int]:
        """Count the pending rows by the name of their manifest; only chosen rows count."""
        ...

    def paid_videos(self) -> list[PaidVideo]:
        """Return what the latest completed jobs cost whose videos have a known length."""
        ...

    def failed_codes(self) -> list[str]:
        """Return the error codes of failed rows."""
        ...

    def language_counts(self) -> list[LanguageCount]:
        """Count the valid rows by language, in the order of the languages."""
        ...

    def failures(self) -> list[FailureGroup]:
        """Group the failed and invalid rows by their error code, the most frequent one first."""
        ...

    def open_jobs(self, limit: int) -> list[OpenJob]:
        """Return the jobs that have been open for longest, the oldest first."""
        ...

    def open_job_count(self) -> int:
        """Count the pending rows with a job that has not ended."""
        ...

    def results(self) -> Iterator[dict[str, Any]]:
        """Yield one object for each row in manifest order, as results.jsonl shows it.

        A pending row has the id of the job that was created for it, unless that job ended
        without a caption.
        """
        ...

    def result_lines(self) -> Iterator[bytes]:
        """Yield the lines of results.jsonl."""
        ...

    def data_version(self) -> int:
        """Return a number that is another one if something was committed through another opening.

        It is only compared with the number that the last call returned.
        """
        ...

    def row_versions(self, since: float) -> dict[int, float]:
        """Return the rows that may differ from what they were at `since` (unix seconds).

        These are the rows that ended then or later and all pending rows whose job is open, each
        by number, with a value that is another one when the row has ended or has another job.
        """
        ...

    def results_of(self, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return the objects of some rows by number, as `results` yields them."""
        ...

    def findings(self) -> dict[str, FindingCount]:
        """Count what was found in captions that runs checked, by kind."""
        ...

    def completed_rows(self) -> Iterator[list[CompletedRow]]:
        """Yield the rows that are done, in manifest order, a page at a time."""
        ...

    def rows(self, provider: str, *, done: bool) -> Iterator[list[Row]]:
        """Yield the rows of a provider that are done, or those that are pending and chosen.

        They come in manifest order, a page at a time.
        """
        ...

    def has_task(self, row: Row) -> bool:
        """Return whether the ledger has the task that a row asks for."""
        ...

    def owns_path(self, path: str) -> bool:
        """Return whether any row's file has this path below the output folder."""
        ...

    def has_caption(self, path: str) -> bool:
        """Return whether a row that is done has its file at this path below the output folder."""
        ...

    def providers_with_jobs(self) -> list[str]:
        """Return the providers at which jobs are made for rows of the ledger."""
        ...

    def source_ids(self, provider: str) -> Iterator[str]:
        """Yield the source ids for which jobs are made at a provider, each once."""
        ...

    def captions_of(self, provider: str, source_id: str) -> list[CaptionRecord]:
        """Return the captions of one source, each with its creates in their order."""
        ...

    def regional_siblings(self, provider: str) -> Iterator[RowPair]:
        """Yield rows of one source whose languages differ in region or script only.

        Both are pending or done; at least one may still create a job.
        """
        ...

    def rows_with_equal(self, param: str, provider: str) -> Iterator[RowPair]:
        """Yield rows of one source whose text in a parameter is equal, whatever its case.

        Both are pending or done; at least one may still create a job.
        """
        ...

    def manifests(self) -> list[str]:
        """Return the names of the manifests that its rows were imported from."""
        ...

    def unlisted_keys(self) -> Iterator[str]:
        """Yield the keys of rows that `mark_unlisted` marked and that are pending or failed."""
        ...

    def count_holds(self, scope: ForgetScope) -> dict[Hold, int]:
        """Count the selected rows by what holds them in the ledger."""
        ...

    def held_keys(self, scope: ForgetScope, hold: Hold) -> Iterator[tuple[str, str | None]]:
        """Yield key and last job id of the selected rows that something holds."""
        ...

    def values(self, prefix: str = "") -> dict[str, str]:
        """Return the values of its `KeyValueStore` whose keys have a prefix."""
        ...

    def minutes(self, since: int = 0) -> Iterator[MinuteCount]:
        """Yield what happened in each minute of its runs from `since` on, in the order of time.

        What a run that was killed did in its last seconds may be missing.
        """
        ...

    def fingerprint(self, file: str) -> str | None:
        """Return the fingerprint of a file that was stored last, or None."""
        ...


class Ledger(LedgerReader, Checkpoint, KeyValueStore, Protocol):
    """The ledger of a run, which is its only writer.

    It belongs to the event loop's thread. Every method raises `FatalError` if the ledger
    cannot be used.
    """

    def import_rows(
        self,
        manifests: Sequence[tuple[str, Iterable[Row | InvalidRow]]],
        *,
        skip_invalid: bool,
        check: Callable[[], None] = ...,
        is_trial: bool = False,
    ) -> ImportResult:
        """Import manifests, given as (name, rows), all or none.

        A task that the ledger has already takes a new description if it failed or never
        started. A task with a job that completed or may be running keeps its own: the row is
        invalid then.

        `check` is called before the commit, and undoes the import if it raises. Invalid rows
        of an earlier import of the same manifest are imported again.

        With `is_trial` nothing is refused: what is wrong is found by `problems`.

        Raises:
            UsageError: Rows are invalid, and `skip_invalid` is off. It lists the first ones.
        """
        ...

    def task_counts(self) -> list[TaskCount]:
        """Count the tasks that the last import named, those that were there before too."""
        ...

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield "file:line" and text of each invalid row of the last import, in its order."""
        ...

    def choose(self, selection: Selection) -> int:
        """Choose from the rows that are pending now; return how many were chosen.

        From now on, all other rows count as if they were not pending: `pending` and what
        counts pending rows leave them out. `totals` and results show every row.

        Raises:
            UsageError: A filter names a column that no pending row has.
        """
        ...

    def requeue_failed(
        self,
        code: str | None,
        check: Callable[[], None] = ...,
        *,
        only_retryable: bool = False,
    ) -> int:
        """Make failed rows pending again, those with an error code or all; return how many.

        With `only_retryable`, rows stay failed whose error is permanent.

        Their jobs stay recorded: a completed job is not created again. `check` is called before
        the commit, and leaves the rows as they were if it raises.
        """
        ...

    def requeue_damaged(self, numbers: Sequence[int]) -> None:
        """Make rows that are done pending again, by number, all or none.

        It stays recorded that they were done once, with their jobs: nothing is created for them.
        """
        ...

    def held_rows(self, scope: ForgetScope, hold: Hold) -> Iterator[PendingRow]:
        """Yield the selected rows that something holds, in manifest order, in whatever state.

        They may be changed meanwhile; each row is yielded once.
        """
        ...

    def forget(self, scope: ForgetScope) -> int:
        """Remove the selected rows that nothing holds, all or none; return how many.

        Their jobs are remembered: if a later import has the same task, no look-up takes one of
        them for that row's own. The next import reads every manifest again.
        """
        ...

    def mark_unlisted(self, manifests: Sequence[str]) -> None:
        """Mark the failed and pending rows of manifests that the last import did not name.

        That import must have read each of these manifests. If its `check` calls this, it is
        part of its transaction. A row that is imported again is no longer marked.
        """
        ...

    def set_fingerprint(self, file: str, fingerprint: str) -> None:
        """Store a file's fingerprint; in the import's transaction if `check` calls it."""
        ...

    def add_minutes(self, counts: Iterable[MinuteCount]) -> None:
        """Add to the counts of minutes. They are durable with one of the next commits."""
        ...

    def recording(self, *, threads: bool) -> AbstractAsyncContextManager[None]:
        """Record in a thread until the block ends; without `threads`, in the event loop.

        The loop is for virtual time. When the block ends, everything that was recorded is
        durable, and no thread is at work.
        """
        ...

    async def drain(self) -> None:
        """Return when everything that was recorded is durable."""
        ...


class NewLedger(Ledger, Protocol):
    """A new ledger, which may replace one that is lost."""

    def copy_values(self, values: Mapping[str, str]) -> None:
        """Set the values that another ledger held as a `KeyValueStore`."""
        ...

    def mark_creates_unknown(self, at: float) -> None:
        """Record for every caption made by a job that a create may have left by `at`."""
        ...

    def unfinished_files(self) -> Iterator[list[tuple[int, str]]]:
        """Yield number and path of the pending rows, a page at a time."""
        ...

    def mark_done(self, files: Sequence[tuple[int, Caption, float]]) -> None:
        """Make rows done by what their files hold: (number, caption, time of the file)."""
        ...
