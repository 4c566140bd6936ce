"""Cancelling jobs, and deleting the tracks that they added."""

from __future__ import annotations

import anyio

from batchcap.domain.errors import Ambiguous, NotAccepted, RowError
from batchcap.domain.forgetting import RemovedTrack
from batchcap.domain.models import Job, JobState, Row
from batchcap.providers.http_errors import rejected
from batchcap.providers.mux.robots_api import RobotsApi
from batchcap.providers.mux.schema import ResponseParser, has_tag, tag
from batchcap.transport.rate_limiter import Priority
from batchcap.transport.response import ApiResponse, as_object, as_text

MAX_LOST_CANCELS = 5
"""How often a cancel is sent whose response is lost, while its job is still running."""


class MuxJobControl:
    """Satisfies `protocols.JobControl`."""

    def __init__(self, robots: RobotsApi, parser: ResponseParser) -> None:
        self._robots, self._parser = robots, parser

    async def cancel_job(self, row: Row, job_id: str) -> Job:
        """See `protocols.JobControl`.

        A job's detail may lag behind by a minute. So the summary in the response decides, and
        the detail only adds the units. A job without batchcap's mark, which was adopted, is left
        to the program that created it. One whose detail Mux does not show, or not yet, is
        reported as missing and not cancelled.

        Raises:
            RowError: Another program created the job, or Mux refuses to cancel it.
        """
        data = await self._robots.get_details(job_id)
        if data is None:
            return Job(id=job_id, state=JobState.MISSING)
        if not has_tag(data, tag(row)):
            raise RowError("rejected", f"job {job_id} was created by another program")
        for _ in range(MAX_LOST_CANCELS):
            answer = await self._cancel(job_id)
            if answer is None:  # it may have arrived
                job = await self._ended_or_running(row, job_id)
                if job.state is not JobState.RUNNING:
                    return job
                continue
            if answer.status == 404:
                return Job(id=job_id, state=JobState.MISSING)
            if answer.status == 409:  # it has ended already
                return await self._ended_or_running(row, job_id)
            if not answer.ok:
                raise rejected(answer)
            return await self._with_units(self._parser.job(answer.data(), job_id))
        return Job(id=job_id, state=JobState.RUNNING)

    async def _cancel(self, job_id: str) -> ApiResponse | None:
        """Send a cancel; return None if the response was lost. A second cancel is harmless."""
        failures = 0
        while True:
            try:
                return await self._robots.cancel(job_id, failures)
            except NotAccepted as error:
                failures = error.failures
                await anyio.sleep(error.delay)
            except Ambiguous:
                return None

    async def _ended_or_running(self, row: Row, job_id: str) -> Job:
        """Return a job by its detail, or by the asset's list, which does not lag behind."""
        job = await self._robots.get_job(job_id, Priority.FINISH)
        if job.state is not JobState.RUNNING:
            return job
        for summary in await self._robots.list_asset_jobs(row.source_id):
            if as_text(summary.get("id")) == job_id:
                return self._parser.job(summary)
        return job

    async def _with_units(self, job: Job) -> Job:
        """Return a job as the cancel left it, with the units that its detail has."""
        detail = await self._robots.get_job(job.id or "", Priority.FINISH)
        if job.state is JobState.RUNNING or detail.state in {JobState.RUNNING, JobState.MISSING}:
            return job
        return detail

    async def remove_track(self, row: Row, job_id: str) -> RemovedTrack:
        """See `protocols.JobControl`.

        The job itself names the track (`outputs.uploaded_track_id`), and has batchcap's mark. A
        track that only has the right language may belong to anyone.

        Raises:
            RowError: Mux refuses to delete the track.
        """
        data = await self._robots.get_details(job_id)
        if data is None:
            return RemovedTrack(reason=f"Mux does not know job {job_id} any more")
        if not has_tag(data, tag(row)):
            return RemovedTrack(reason=f"job {job_id} was created by another program")
        track_id = as_text(as_object(data.get("outputs")).get("uploaded_track_id"))
        if not track_id:
            return RemovedTrack(reason=f"job {job_id} added no track")
        answer = await self._robots.delete_track(row.source_id, track_id)
        if answer.status == 404:
            return RemovedTrack(track_id, "it was gone already", is_gone=True)
        if not answer.ok:
            raise rejected(answer)
        return RemovedTrack(track_id, is_gone=True)
