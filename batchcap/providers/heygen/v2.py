"""HeyGen v2, as in the API document that the project began with.

`GET /v2/video_translate/caption` signs a fresh link on every call; the state is
a request of its own. What the caption route answers before the end is not
documented, so anything but a link is followed by the state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from batchcap.answers import Answer, text
from batchcap.errors import RowError
from batchcap.interfaces import OnJob
from batchcap.model import Job, JobState
from batchcap.pacing import Priority
from batchcap.providers.heygen.schema import RouteGone, Words, check, refused, told_error
from batchcap.transport import Api, segment

_ROOT = "/v2/video_translate"
_AT_ONCE = 8
"""Questions that are asked together."""


class V2:
    """Asks v2."""

    def __init__(self, api: Api, words: Words) -> None:
        self._api = api
        self._words = words
        self._running: set[str] = set()
        self._route_checked = False

    async def poll(self, job_ids: Sequence[str], on_job: OnJob) -> int:
        """Asks about those that were seen running, one by one.

        The rows of all others look for themselves: their captions may be there already.
        What is returned counts a request for each of them too.
        """
        for job_id in job_ids:
            if job_id not in self._running:
                on_job(Job(id=job_id, state=JobState.ENDED))
        known = [job_id for job_id in job_ids if job_id in self._running]
        for start in range(0, len(known), _AT_ONCE):
            together = known[start : start + _AT_ONCE]
            await asyncio.gather(*(self._again(job_id, on_job) for job_id in together))
        return len(job_ids)

    async def look(self, job_id: str) -> Job:
        """The link where there is one, else the state.

        The caption first, one request for a translation that is done; the state
        first once it was seen running.
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

    async def _again(self, job_id: str, on_job: OnJob) -> None:
        """Whether it still runs; how it ended is for its row to find out."""
        try:
            job = await self._status(job_id, Priority.POLL)
        except RowError:
            job = Job(id=job_id, state=JobState.ENDED)
        if job.state is not JobState.RUNNING:
            self._running.discard(job_id)
            on_job(Job(id=job_id, state=JobState.ENDED))

    async def _caption(self, job_id: str) -> str | None:
        query = {"video_translate_id": job_id, "caption_type": "vtt"}
        answer = await self._api.get(f"{_ROOT}/caption", query, priority=Priority.FINISH)
        try:
            check(answer)
        except RowError:
            return None
        return text(answer.data().get("caption_url")) or None

    async def _status(self, job_id: str, priority: Priority) -> Job:
        answer = await self._api.get(f"{_ROOT}/{segment(job_id)}", priority=priority)
        check(answer)
        if answer.status == 404:
            await self._check_route(answer)
            return Job(id=job_id, state=JobState.MISSING)
        if not answer.data() and told_error(answer):
            raise refused(answer)
        return self._words.job(job_id, answer.data())

    async def _check_route(self, missing: Answer) -> None:
        """A 404 may mean the id or the API: a route without an id tells, once."""
        if self._route_checked:
            return
        answer = await self._api.get(f"{_ROOT}/target_languages", priority=Priority.FINISH)
        if answer.status in {404, 410}:
            raise RouteGone(missing)
        self._route_checked = True
