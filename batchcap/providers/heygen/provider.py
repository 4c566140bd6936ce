"""HeyGen: the captions of translations that exist already; nothing is created.

v3 is HeyGen's current API. v2 was announced to end on 2026-10-31, and the response of a
retired endpoint is not documented. So `auto` tries v3 once, falls back to v2, and stores
the version that answered in the ledger.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio

from batchcap.domain.account import AccountPage, AccountQuery
from batchcap.domain.errors import FatalError, RowError, Unavailable
from batchcap.domain.events import Warned
from batchcap.domain.models import Job, JobRequest, JobState, Row, RowHistory
from batchcap.domain.protocols import Finding, OnChecked, OnJob, SendSlot
from batchcap.providers.heygen.schema import NAME, EndpointRetired, ResponseParser
from batchcap.providers.heygen.translation_list import translations
from batchcap.providers.heygen.v2 import V2
from batchcap.providers.heygen.v3 import V3
from batchcap.providers.registry import ProviderContext
from batchcap.transport.rate_limiter import Priority
from batchcap.transport.response import ApiResponse

_VERSION_KEY = "heygen.api"

CHECKED_TOGETHER = 1000
"""Translations whose states are requested in one go before a run."""

CHECKED_AT_ONCE = 32
"""Translations that are requested one by one at the same time."""


class _ApiVersion(Protocol):
    async def poll(self, job_ids: Sequence[str], on_job: OnJob) -> int: ...
    async def get_job(self, job_id: str) -> Job: ...


class HeyGen:
    """The `Provider` for HeyGen, with its `protocols.AccountList` and `AccountCheck`."""

    name = NAME
    link_timeout = 90.0
    not_found_grace = 0.0

    def __init__(self, context: ProviderContext) -> None:
        self._api = context.api
        self._memory = context.memory
        self._observer = context.observer
        parser = ResponseParser(context.observer)
        self._v3 = V3(context.api, parser)
        self._versions: dict[str, _ApiVersion] = {
            "v3": self._v3,
            "v2": V2(context.api, parser),
        }
        chosen = context.settings.options["heygen_api"]
        self._auto = chosen == "auto"
        self._deciding = chosen == "auto" and context.memory.get(_VERSION_KEY) is None
        self._version = (context.memory.get(_VERSION_KEY) or "v3") if chosen == "auto" else chosen

    @property
    def read_rate(self) -> float | None:
        """See `protocols.Pollable`."""
        return self._api.read_rate

    @property
    def backlog_seconds(self) -> float:
        """See `protocols.Pollable`."""
        return self._api.backlog_seconds

    async def prepare(self, row: Row) -> JobRequest | Job:
        """See `protocols.Provider`. The translation is the job, and it exists."""
        return Job(id=row.source_id, state=JobState.RUNNING)

    def send_slot(self, failures: int = 0) -> AbstractAsyncContextManager[SendSlot]:
        """Never called, because `prepare` always returns a job."""
        raise NotImplementedError("nothing is ever created at HeyGen")

    async def find_existing_job(self, row: Row, history: RowHistory, since: float) -> Job | None:
        """See `protocols.Provider`. The translation itself."""
        return Job(id=row.source_id, state=JobState.RUNNING)

    async def poll(self, job_ids: Sequence[str], on_job: OnJob) -> int:
        """See `protocols.Pollable`. The first poll of a ledger decides on the version."""
        try:
            requests = await self._versions[self._version].poll(job_ids, on_job)
        except EndpointRetired as retired:
            if not self._deciding:
                raise self._retired(retired.answer) from None
            self._observer(Warned("heygen: v3 is not available, continuing with v2"))
            self._version, self._deciding = "v2", False
            return await self.poll(job_ids, on_job)
        if self._version == "v3":  # v2 may not have sent a request
            self._store_version()
        return requests

    async def get_job(self, row: Row, job_id: str) -> Job:
        """See `protocols.Provider`."""
        try:
            job = await self._versions[self._version].get_job(job_id)
        except EndpointRetired as retired:
            raise self._retired(retired.answer) from None
        self._store_version()
        return job

    async def get_download_url(self, row: Row, job: Job, expired: Container[str]) -> str | None:
        """See `protocols.Provider`. Every response has a new link, valid for 7 days."""
        return job.link if job.link not in expired else None

    async def list_account(self, cursor: str, query: AccountQuery) -> AccountPage:
        """See `protocols.AccountList`. v2 has no list."""
        try:
            answer = await self._v3.page(cursor, Priority.START)
        except EndpointRetired as retired:
            raise FatalError(
                f"HeyGen v3, which lists translations, is not available: {retired.answer.error()}",
                hint="Check HEYGEN_API_BASE.",
                provider=NAME,
            ) from None
        return translations(answer, query)

    async def check_rows(self, rows: Sequence[Row], on_checked: OnChecked) -> None:
        """See `protocols.AccountCheck`.

        In v3, whether there is a caption shows on the list only. v2 has neither list nor states
        of many, so each translation is requested.
        """
        waiting = {row.source_id: row for row in rows}

        def on_job(job: Job) -> None:
            is_guess = job.state is JobState.NOT_RUNNING and self._version == "v2"
            if not is_guess and (row := waiting.pop(job.id or "", None)) is not None:
                on_checked(row, _finding(job))

        ids = list(waiting)
        for start in range(0, len(ids), CHECKED_TOGETHER):
            try:
                await self.poll(ids[start : start + CHECKED_TOGETHER], on_job)
            except (RowError, Unavailable) as error:
                for job_id in ids[start : start + CHECKED_TOGETHER]:
                    if (row := waiting.pop(job_id, None)) is not None:
                        on_checked(row, error)
        left = list(waiting.values())
        for start in range(0, len(left), CHECKED_AT_ONCE):
            async with anyio.create_task_group() as group:
                for row in left[start : start + CHECKED_AT_ONCE]:
                    group.start_soon(self._check_row, row, on_checked)

    async def _check_row(self, row: Row, on_checked: OnChecked) -> None:
        try:
            on_checked(row, _finding(await self.get_job(row, row.source_id)))
        except (RowError, Unavailable) as error:
            on_checked(row, error)

    def _store_version(self) -> None:
        """Store the version that answered, so that no later run has to try."""
        self._deciding = False
        if self._auto:
            self._memory.set(_VERSION_KEY, self._version)

    def _retired(self, answer: ApiResponse) -> FatalError:
        other = "v2" if self._version == "v3" else "v3"
        return FatalError(
            f"HeyGen {self._version} is no longer available: {answer.error()}",
            hint=f"Try --heygen-api {other}, or check HEYGEN_API_BASE; then: batchcap resume",
            provider=NAME,
        )


def _finding(job: Job) -> Finding:
    """Return what a run would find: the job, or the error that it would end with."""
    if job.state is JobState.MISSING:
        return RowError("not_found", f"HeyGen has no translation {job.id}")
    if job.state is JobState.COMPLETED and job.link is None and job.srt_link is None:
        return RowError("captions_not_enabled", "the translation completed without a caption")
    if job.failure is not None:
        return RowError(job.failure.code, job.failure.message, retryable=job.failure.retryable)
    return job
