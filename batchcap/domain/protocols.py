"""Protocols that the engine depends on, on one page.

The engine knows rows, jobs and outcomes; what is behind these Protocols knows HTTP, SQLite
and files. The contract suites in `tests/contract/` run against every implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from batchcap.domain.account import AccountPage, AccountQuery
from batchcap.domain.errors import RowError, RowSkipped, Unavailable
from batchcap.domain.events import Event
from batchcap.domain.forgetting import RemovedTrack
from batchcap.domain.models import (
    Caption,
    Failure,
    Job,
    JobRequest,
    Outcome,
    PendingRow,
    ProviderJob,
    Row,
    RowHistory,
    SourceLink,
)
from batchcap.domain.quality import Examine

Observer = Callable[[Event], None]
"""Called with each event, in the order in which they happen. Must not raise or wait."""

OnJob = Callable[[Job], None]
"""Called with each job that a poll or a webhook reports, at once."""


class Pollable(Protocol):
    """The part of a provider that the poller needs."""

    name: str
    not_found_grace: float
    """Seconds after a create in which an unknown job id counts as a delay."""

    @property
    def read_rate(self) -> float | None:
        """Requests per second that the quota for reading allows; None: no limit."""
        ...

    @property
    def backlog_seconds(self) -> float:
        """Seconds that the requests which queue for the provider's quota will take."""
        ...

    async def poll(self, job_ids: Sequence[str], on_job: OnJob) -> int:
        """Poll many jobs in as few requests as the API allows; return their number.

        Calls `on_job` with every job that a response describes, also with others than the
        requested ones. A job that no response describes is polled again later.

        Raises:
            Unavailable: No request got a usable response.
            RowError: The provider refuses the request.
            FatalError: No row of the provider can succeed.
            Stopped: The run was stopped before the request left.
        """
        ...

    async def get_job(self, row: Row, job_id: str) -> Job:
        """Return one job in full, with a fresh link if it has completed.

        Raises:
            RowError: The provider refuses the request.
            Unavailable: All retries failed.
            FatalError: No row of the provider can succeed.
            Stopped: The run was stopped before the request left.
        """
        ...


class SendSlot(Protocol):
    """The right to send one create to a provider."""

    async def create(self, request: JobRequest) -> Job:
        """Create the job: one POST.

        Returns a completed job without an id if the caption turns out to exist already.

        Raises:
            NotAccepted: Nothing was created; the create may be sent again, in another slot.
            Ambiguous: The response was lost; the job may exist or not.
            RowSkipped: The caption exists already, and the user does not want that one.
            RowError: The provider refuses this row.
            FatalError: No row of the provider can succeed.
        """
        ...


class Provider(Pollable, Protocol):
    """One provider's API.

    Each method waits for its quota and retries what is safe to repeat. Beside what its own
    docstring lists, each raises `RowError` if this row fails, `Unavailable` if all retries
    failed, `FatalError` (with the provider's name) if no row of the provider can succeed, and
    `Stopped` if the run was stopped before the request left.
    """

    link_timeout: float
    """Seconds in which a completed job without a link counts as a delay."""

    async def prepare(self, row: Row) -> JobRequest | Job:
        """Return the job to create for a row, or the job that exists already.

        A completed job without an id stands for a caption that exists without a known job.

        Raises:
            RowSkipped: The caption exists already, and the user does not want that one.
        """
        ...

    def send_slot(self, failures: int = 0) -> AbstractAsyncContextManager[SendSlot]:
        """Return a slot for one create.

        Entering it waits for the quota, a connection and the end of an outage. `failures` is
        how often this create failed before (`NotAccepted.failures`).
        """
        ...

    async def find_existing_job(self, row: Row, history: RowHistory, since: float) -> Job | None:
        """Return the job that an earlier create of this row made, None if surely there is none.

        Call it no earlier than `since` (unix seconds), when a create of `history.intent_at`
        has arrived if it ever does. Jobs in `history.previous_job_ids` belong to earlier
        creates. A completed job without an id is a caption whose job was deleted.

        Raises:
            RowError: "outcome_unknown", if the provider no longer knows.
        """
        ...

    async def get_download_url(self, row: Row, job: Job, expired: Container[str]) -> str | None:
        """Return a link to the completed job's caption, None if there is none yet.

        `expired` are links that a file host refused.
        """
        ...


@runtime_checkable
class JobHistory(Protocol):
    """The part of a provider that an audit needs. Providers without creates lack it."""

    async def list_jobs(self, source_id: str) -> list[ProviderJob]:
        """Return every job of a source that the provider still knows, by GETs alone.

        Raises what the methods of `Provider` raise.
        """
        ...


@runtime_checkable
class JobControl(Protocol):
    """The part of a provider that takes jobs and their tracks back."""

    async def cancel_job(self, row: Row, job_id: str) -> Job:
        """Cancel a job, and return it as it is then.

        One that had ended before is returned as it ended. One that is still running was not
        cancelled, or not yet.

        Raises:
            RowError: The provider refuses to cancel it.

        Beside that, raises what the methods of `Provider` raise.
        """
        ...

    async def remove_track(self, row: Row, job_id: str) -> RemovedTrack:
        """Delete the text track that a job added to the row's source, and no other.

        Raises what the methods of `Provider` raise.
        """
        ...


@runtime_checkable
class SourceCaptions(Protocol):
    """The part of a provider that has the captions which a row's caption is translated from."""

    name: str

    async def source_link(self, row: Row) -> SourceLink:
        """Return the track that a row is translated from, with a link to its text, by GETs alone.

        After a row's caption is done, that takes no request if its source was read for it.

        Raises:
            RowError: It is unknown, or there is no link to it.

        Beside that, raises what the methods of `Provider` raise.
        """
        ...


@runtime_checkable
class AccountList(Protocol):
    """The part of a provider that makes a manifest of what is in the account."""

    async def list_account(self, cursor: str, query: AccountQuery) -> AccountPage:
        """Return one page of the account's list, by GETs alone; "" is the first page's cursor.

        Raises:
            RowError: The provider refuses the page, for example because its cursor is too old.

        Beside that, raises what the methods of `Provider` raise.
        """
        ...


Finding = Job | RowError | RowSkipped | Unavailable | None
"""What a run would find for a row: a job or caption that exists, what would end the row, or
nothing, so that it would create a job."""

OnChecked = Callable[[Row, Finding], None]
"""Called with each row that was checked."""


@runtime_checkable
class AccountCheck(Protocol):
    """The part of a provider that says, before a run, what it would find in the account."""

    async def check_rows(self, rows: Sequence[Row], on_checked: OnChecked) -> None:
        """Look for each row, which has no job yet, by GETs alone and as few as the API allows.

        A running job of a provider without creates is a caption that is not ready yet.

        Raises what the methods of `Provider` raise, but for what concerns a single row.
        """
        ...


class Downloader(Protocol):
    """Turns a link into a verified file."""

    async def adopt(
        self, path: str, since: float, examine: Examine | None = None
    ) -> Caption | None:
        """Return the caption at `path` that a killed run left there, or None.

        Only a complete caption that is younger than `since` (unix seconds) counts. If `examine`
        is given and refuses it, it is removed.

        Raises:
            FatalError: The file cannot be read.
        """
        ...

    async def fetch(
        self, link: str, path: str, examine: Examine | None = None, *, srt: bool = False
    ) -> Caption:
        """Download the caption to `path` below the output folder.

        The file is complete or absent, never partial, and durable on return. `examine`, if it is
        given, looks at it before it gets its name. With `srt`, the link leads to an SRT file,
        which becomes WebVTT.

        Raises:
            LinkExpired: The file host refuses the link.
            BadCaption: The response is not a complete WebVTT file.
            BadQuality: `examine` refuses it.
            Unavailable: All retries failed.
            RowError: "link_dead", if no link can work, or "cannot_store", if the disk refuses
                the name.
            FatalError: The disk refuses every file.
        """
        ...


class Checkpoint(Protocol):
    """What the engine records of rows. A record is durable when its method returns."""

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
        """Record that the job ended without a caption: another create is no duplicate."""
        ...

    async def record_held_back(self, row: Row, failure: Failure) -> None:
        """Record why no job could be created for a row, which stays pending."""
        ...

    async def record_outcome(self, row: Row, outcome: Outcome) -> None:
        """Record how the row ended; this is final."""
        ...


class KeyValueStore(Protocol):
    """Small values that outlive a run: a pause, a learned rate, an API version."""

    def get(self, key: str) -> str | None:
        """Return the value that was set last, or None."""
        ...

    def set(self, key: str, value: str) -> None:
        """Store a value; it is durable with the ledger's next commit, which starts now."""
        ...
