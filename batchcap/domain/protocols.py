"""The engine's sockets, on one page.

The engine knows rows, jobs and outcomes; what is behind these Protocols knows
HTTP, SQLite and files. One contract suite in `tests/contract/` runs against
every implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, runtime_checkable

from batchcap.domain.events import Event
from batchcap.domain.models import (
    Caption,
    CaptionRecord,
    CompletedRow,
    ImportResult,
    InvalidRow,
    Job,
    JobRequest,
    Outcome,
    PendingRow,
    ProviderJob,
    Row,
    RowHistory,
    Totals,
)

Observer = Callable[[Event], None]
"""Told what happened, in the order in which it happened. Must not raise or wait."""

OnJob = Callable[[Job], None]
"""Takes what a poll learned of a job, as soon as it is known."""


class Pollable(Protocol):
    """What the poller needs of a provider."""

    name: str
    not_found_grace: float
    """Seconds after a create for which an unknown job id is believed to be a delay."""

    @property
    def read_rate(self) -> float | None:
        """Requests per second that the quota for reading allows; None: no limit."""
        ...

    @property
    def backlog_seconds(self) -> float:
        """Seconds that the requests which queue for the provider's quota take from now on."""
        ...

    async def poll(self, job_ids: Sequence[str], on_job: OnJob) -> int:
        """Ask about many jobs in as few requests as the API allows; return their number.

        Hands every job it learned about to `on_job`, others than the asked ones too. A job
        that is not handed over was not seen; it is asked about again.

        Raises:
            Unavailable: The provider could not be asked.
        """
        ...

    async def get_job(self, row: Row, job_id: str) -> Job:
        """Return one job in full, with a fresh link if it has completed."""
        ...


class SendSlot(Protocol):
    """Room for one create at a provider."""

    async def create(self, request: JobRequest) -> Job:
        """Create the job: one POST.

        The job is a completed one without an id if the caption turned out to exist already.

        Raises:
            NotAccepted: Nothing was created; it may be sent again, in another slot.
            Ambiguous: Nobody knows what became of it.
            RowSkipped: The caption exists already, and the user does not want that one.
        """
        ...


class Provider(Pollable, Protocol):
    """One provider's API, in the engine's words.

    Every method paces itself and repeats what is safe to repeat. All raise
    `RowError` where this row is lost, `Unavailable` where the retries are used
    up, `FatalError` (with the provider's name) where no row of the provider can
    succeed, and `Stopped` where the run is stopped before the request left.
    """

    link_timeout: float
    """Seconds for which "completed, but no link" is believed to be a delay."""

    async def prepare(self, row: Row) -> JobRequest | Job:
        """What has to be created for a row, or the job that is there already.

        A completed job without an id is a caption that exists already. Raises
        `RowSkipped` where the user does not want that one.
        """
        ...

    def send_slot(self, failures: int = 0) -> AbstractAsyncContextManager[SendSlot]:
        """Room for one create: entering waits for the quota, a connection and the end of an outage.

        `failures` is how often this create failed before (`NotAccepted.failures`).
        """
        ...

    async def find_existing_job(self, row: Row, history: RowHistory, since: float) -> Job | None:
        """Return the job that an earlier create of this row made, None if surely there is none.

        Asked from `since` (unix seconds) on, when a create of `history.intent_at` would
        have arrived. Jobs in `history.previous_job_ids` belong to earlier creates. A
        completed job without an id is a caption that outlived its job.

        Raises:
            RowError: "outcome_unknown", if it cannot be told any more.
        """
        ...

    async def get_download_url(self, row: Row, job: Job, expired: Container[str]) -> str | None:
        """Return where the completed job's caption can be fetched now, None if nowhere yet.

        `expired` are links that a file host refused.
        """
        ...


@runtime_checkable
class JobHistory(Protocol):
    """What an audit needs of a provider at which a create costs; others have none."""

    async def list_jobs(self, source_id: str) -> list[ProviderJob]:
        """Every job of a source that the provider still knows, by GETs alone.

        Raises what the methods of `Provider` raise.
        """
        ...


class Downloader(Protocol):
    """From a link to a verified file."""

    async def adopt(self, path: str, since: float) -> Caption | None:
        """The caption at `path` where a run that died had put it there already.

        A file younger than `since` (unix seconds) that is a whole caption; None where
        there is none. Raises `FatalError` where it cannot be read.
        """
        ...

    async def fetch(self, link: str, path: str) -> Caption:
        """Put the caption behind `link` at `path` below the output folder.

        Complete or absent, never partial, durable on return. Raises `LinkExpired`,
        `BadCaption`, `Unavailable` where the retries are used up, `RowError`
        ("link_dead") and `FatalError` where the disk does not take it.
        """
        ...


class Checkpoint(Protocol):
    """What the engine records of rows. What a method was awaited for is durable on its return."""

    async def pending(self, provider: str, after: int, limit: int) -> list[PendingRow]:
        """Return rows beyond number `after` that have not ended, in manifest order."""
        ...

    async def record_intent(self, row: Row) -> None:
        """Record that a create is about to leave; again if the last one surely did not arrive."""
        ...

    async def record_job(self, row: Row, job_id: str) -> None:
        """Record that the create was accepted."""
        ...

    async def discard_intent(self, row: Row) -> None:
        """Remove the intent of a create that was surely not accepted."""
        ...

    async def record_job_ended(self, row: Row, job: Job) -> None:
        """Record that the job ended without a caption: a further create is no duplicate."""
        ...

    async def record_outcome(self, row: Row, outcome: Outcome) -> None:
        """Record how the row ended; it stays so."""
        ...


class KeyValueStore(Protocol):
    """Small facts that outlive a run: a pause, a learned rate, an API version."""

    def get(self, key: str) -> str | None:
        """Return the value set last, or None."""
        ...

    def set(self, key: str, value: str) -> None:
        """Keep a value; durable with the ledger's next commit, which starts now."""
        ...


class LedgerReader(Protocol):
    """What commands read from a ledger, also while a run writes it.

    Every method raises `FatalError` if the ledger cannot be read.
    """

    def close(self) -> None:
        """Give back what the reader holds; it must not be used afterwards."""
        ...

    def totals(self) -> Totals:
        """Count all rows."""
        ...

    def providers_with_pending(self) -> list[str]:
        """Return the providers that have pending rows."""
        ...

    def failed_codes(self) -> list[str]:
        """Return the error codes of failed rows."""
        ...

    def results(self) -> Iterator[dict[str, Any]]:
        """Yield one object for each row in manifest order, as results.jsonl shows it."""
        ...

    def result_lines(self) -> Iterator[bytes]:
        """Yield the lines of results.jsonl."""
        ...

    def completed_rows(self) -> Iterator[list[CompletedRow]]:
        """Yield the rows that are done, in manifest order, a page at a time."""
        ...

    def has_task(self, row: Row) -> bool:
        """Return whether the ledger has the task that a row asks for."""
        ...

    def owns_path(self, path: str) -> bool:
        """Return whether any row's file has this path below the output folder."""
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

    def values(self) -> dict[str, str]:
        """Return everything that was set as in a `KeyValueStore`."""
        ...

    def fingerprint(self, file: str) -> str | None:
        """Return the fingerprint of a file that was kept last, or None."""
        ...


class Ledger(LedgerReader, Checkpoint, KeyValueStore, Protocol):
    """The checkpoint of a run, which alone writes it.

    It belongs to the event loop's thread. Every method raises `FatalError` if the ledger
    cannot be used.
    """

    def import_rows(
        self,
        manifests: Sequence[tuple[str, Iterable[Row | InvalidRow]]],
        *,
        skip_invalid: bool,
        check: Callable[[], None] = ...,
    ) -> ImportResult:
        """Import manifests, given as (name, rows), all or none.

        `check` is called before the commit, and undoes the import if it raises. Invalid rows
        of an earlier import of the same manifest are judged anew.

        Raises:
            UsageError: Rows are invalid, and `skip_invalid` is off. It lists the first ones.
        """
        ...

    def requeue_failed(self, code: str | None) -> int:
        """Make failed rows pending again, those with an error code or all; return how many.

        RowHistory about their jobs are kept: a job that ended well is not made again.
        """
        ...

    def requeue_damaged(self, numbers: Sequence[int]) -> None:
        """Make rows that are done pending again, by number, all or none.

        RowHistory about their jobs are kept, and that they were done once, so that nothing is
        created for them.
        """
        ...

    def set_fingerprint(self, file: str, fingerprint: str) -> None:
        """Keep a file's fingerprint; in the import's transaction if `check` calls it."""
        ...

    def recording(self, *, threads: bool) -> AbstractAsyncContextManager[None]:
        """Record in a thread of its own until the block ends, or in the event loop.

        The loop is for virtual time. When the block ends, everything handed over is
        durable, and no thread is at work.
        """
        ...

    async def drain(self) -> None:
        """Return when everything handed over is durable."""
        ...


class NewLedger(Ledger, Protocol):
    """A ledger that is being made; it may take the place of one that is lost."""

    def copy_values(self, values: Mapping[str, str]) -> None:
        """Take over what another ledger kept as a `KeyValueStore`."""
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
