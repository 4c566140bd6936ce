"""HeyGen v2, as in the API document that the project began with.

`GET /v2/video_translate/caption` signs a fresh link on every call; the state is
a request of its own. What the caption route answers before the end is not
documented, so anything but a link is followed by the state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from batchcap.domain.errors import RowError
from batchcap.domain.models import Job, JobState
from batchcap.domain.protocols import OnJob
from batchcap.providers.heygen.schema import (
    EndpointRetired,
    ResponseParser,
    access_refused,
    check,
    check_envelope,
    is_unknown_id,
)
from batchcap.transport.api_client import Api, quote_path_segment
from batchcap.transport.rate_limiter import Priority
from batchcap.transport.response import ApiResponse, as_text

_ROOT = "/v2/video_translate"
_PARALLEL = 8
"""Status requests that are in flight together."""


class V2:
    """The requests of v2."""

    def __init__(self, api: Api, parser: ResponseParser) -> None:
        self._api = api
        self._parser = parser
        self._running: set[str] = set()
        self._endpoint_checked = False

    async def poll(self, job_ids: Sequence[str], on_job: OnJob) -> int:
        """Request the status of each translation that was seen running.

        All others are reported as ended, because their captions may be there already: each
        row then requests its own. The returned number counts that request too.
        """
        for job_id in job_ids:
            if job_id not in self._running:
                on_job(Job(id=job_id, state=JobState.NOT_RUNNING))
        running = [job_id for job_id in job_ids if job_id in self._running]
        for start in range(0, len(running), _PARALLEL):
            together = running[start : start + _PARALLEL]
            await asyncio.gather(*(self._check_running(job_id, on_job) for job_id in together))
        return len(job_ids)

    async def get_job(self, job_id: str) -> Job:
        """Return the link if there is one, else the state.

        Requests the caption first, so that a translation that is done takes one request;
        if it was seen running, the state first.

        Raises:
            FatalError: The account or the credentials are refused.
            EndpointRetired: v2 is no longer available.
            RowError: This translation is refused.
        """
        if job_id not in self._running and (link := await self._caption(job_id)):
            return Job(id=job_id, state=JobState.COMPLETED, link=link)
        job = await self._status(job_id, Priority.FINISH)
        if job.state is JobState.RUNNING:
            self._running.add(job_id)
        elif job_id in self._running:
            self._running.discard(job_id)
            if job.state is JobState.COMPLETED:
                return Job(id=job_id, state=job.state, link=await self._caption(job_id))
        return job

    async def _check_running(self, job_id: str, on_job: OnJob) -> None:
        """Report a translation that no longer runs; its row finds out how it ended."""
        try:
            job = await self._status(job_id, Priority.POLL)
        except RowError:
            job = Job(id=job_id, state=JobState.NOT_RUNNING)
        if job.state is not JobState.RUNNING:
            self._running.discard(job_id)
            on_job(Job(id=job_id, state=JobState.NOT_RUNNING))

    async def _caption(self, job_id: str) -> str | None:
        query = {"video_translate_id": job_id, "caption_type": "vtt"}
        answer = await self._api.get(f"{_ROOT}/caption", query, priority=Priority.FINISH)
        if answer.status == 403:
            await self._check_account()
        try:
            check(answer)
        except RowError:
            return None
        return as_text(answer.data().get("caption_url")) or None

    async def _status(self, job_id: str, priority: Priority) -> Job:
        answer = await self._api.get(f"{_ROOT}/{quote_path_segment(job_id)}", priority=priority)
        if answer.status == 403:
            await self._check_account()
        if is_unknown_id(answer):
            await self._check_endpoint(answer)
            return Job(id=job_id, state=JobState.MISSING)
        check(answer)
        if not answer.data():
            check_envelope(answer)
        return self._parser.job(job_id, answer.data())

    async def _check_account(self) -> None:
        """Find out whether a 403 is about the id or the account: request a path without id.

        Raises:
            FatalError: The account has no access.
        """
        answer = await self._languages()
        if answer.status == 403:
            raise access_refused(answer)

    async def _check_endpoint(self, missing: ApiResponse) -> None:
        """Find out, once, whether a 404 is about the id or the API: request a path without id.

        Raises:
            EndpointRetired: It is about the API.
        """
        if self._endpoint_checked or missing.status != 404:
            return
        answer = await self._languages()
        if answer.status in {404, 410}:
            raise EndpointRetired(missing)
        self._endpoint_checked = True

    async def _languages(self) -> ApiResponse:
        return await self._api.get(f"{_ROOT}/target_languages", priority=Priority.FINISH)
