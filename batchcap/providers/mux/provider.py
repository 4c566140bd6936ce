"""Mux Robots v0: a translate-captions job for each row.

Sources are Mux's API reference and guides, and its SDK @mux/mux-node 15.3.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Container, Sequence
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import quote

from batchcap.domain.account import AccountPage, AccountQuery
from batchcap.domain.errors import NotAccepted, RowError
from batchcap.domain.forgetting import RemovedTrack
from batchcap.domain.models import (
    Job,
    JobRequest,
    JobState,
    Json,
    ProviderJob,
    Row,
    RowHistory,
    SourceLink,
)
from batchcap.domain.protocols import OnChecked, OnJob, SendSlot
from batchcap.providers.http_errors import rejected
from batchcap.providers.mux import refusals
from batchcap.providers.mux.asset_check import AssetCheck
from batchcap.providers.mux.asset_list import AssetList
from batchcap.providers.mux.assets import Asset, Assets
from batchcap.providers.mux.job_control import MuxJobControl
from batchcap.providers.mux.job_history import AssetJobs, has_parameters, is_same_work
from batchcap.providers.mux.robots_api import (
    ACTIVE,
    MAX_PAGES,
    PAGE,
    TRANSLATE,
    EndlessListError,
    RobotsApi,
    check_create,
)
from batchcap.providers.mux.schema import (
    LIVE,
    NAME,
    ResponseParser,
    body,
    has_tag,
    is_valid_id,
    mark,
    preference,
    replaces,
    tag,
)
from batchcap.providers.mux.signing import PlaybackSigner
from batchcap.providers.mux.source_tracks import SourceTracks
from batchcap.providers.registry import BaseUrl, ProviderContext
from batchcap.transport.api_client import SendSlot as PostSlot
from batchcap.transport.api_client import quote_path_segment
from batchcap.transport.rate_limiter import Priority
from batchcap.transport.response import ApiResponse, as_count, as_object, as_text

STREAM_URL = BaseUrl("MUX_STREAM_BASE_URL", "https://stream.mux.com")

JOB_RETENTION = 29 * 86400.0
"""Seconds after which a missing job proves nothing: Mux deletes jobs after 30 days."""

_SHARED_SECONDS = 2.0
"""For how long a list of jobs that was read for one row serves others of its asset."""


class Mux:
    """The `Provider` for Mux, with all parts that `protocols` knows of a provider."""

    name = NAME
    link_timeout = 180.0  # an uploaded track may be preparing for two minutes
    not_found_grace = 60.0

    def __init__(self, context: ProviderContext) -> None:
        self._api = context.api
        self._stream = context.settings.other_urls[STREAM_URL.variable]
        self._on_existing = context.settings.options["on_existing"]
        self._now = context.now
        self._parser = ResponseParser(context.observer)
        self._robots = RobotsApi(context.api, self._parser)
        self._assets = Assets(self._robots.get_asset)
        self._asset_jobs = AssetJobs(
            self._robots.list_asset_jobs, self._robots.get_details, context.now
        )
        self._source_tracks = SourceTracks(context.memory, self._recent_jobs)
        self._job_control = MuxJobControl(self._robots, self._parser)
        self._asset_list = AssetList(self._robots.list_assets, self._source_tracks)
        self._asset_check = AssetCheck(
            self._assets, self._robots.list_assets, self.prepare, self._on_existing
        )
        self._signer = PlaybackSigner(context.settings.secrets, context.now)
        self._list_pages = len(ACTIVE)
        self._failed_conflicts: set[str | None] = set()

    @property
    def read_rate(self) -> float | None:
        """See `protocols.Pollable`."""
        return self._api.read_rate

    @property
    def backlog_seconds(self) -> float:
        """See `protocols.Pollable`."""
        return self._api.backlog_seconds

    async def prepare(self, row: Row) -> JobRequest | Job:
        """See `protocols.Provider`.

        Reads the asset if the row names no track, or may replace the one that it names.
        """
        track_id = row.params.get("track_id")
        if track_id is None:
            asset = await self._assets.get(row.source_id, priority=Priority.START)
            if not replaces(row) and (
                existing := refusals.existing_caption(row, asset, self._on_existing)
            ):
                return existing
            track_id = await self._source_tracks.choose(asset, row.params.get("from_language"))
            refusals.keep_source_track(asset, row, track_id)
        elif replaces(row):  # Mux would not refuse it
            asset = await self._assets.get(row.source_id, priority=Priority.START)
            refusals.keep_source_track(asset, row, track_id)
        return JobRequest(row, body(row, track_id))

    @asynccontextmanager
    async def send_slot(self, failures: int = 0) -> AsyncIterator[SendSlot]:
        """See `protocols.Provider`."""
        async with self._api.send_slot(failures=failures) as slot:
            yield _CreateSlot(partial(self._create, slot, failures))

    async def _create(self, slot: PostSlot, failures: int, request: JobRequest) -> Job:
        """Send `POST /robots/v0/jobs/translate-captions`; success is 202."""
        answer = await slot.post(TRANSLATE, request.body)
        check_create(answer)
        if answer.status == 409:
            return await self._resolve_conflict(request, answer, failures)
        if answer.status in {404, 405, 410}:
            await self._robots.check_endpoint()
        return self._accepted(answer) if answer.ok else await self._explain_422(request, answer)

    async def _resolve_conflict(
        self, request: JobRequest, answer: ApiResponse, failures: int
    ) -> Job:
        """Handle a 409: Mux has a job for this already (since 2026-09-23).

        A job that ended without a caption should not block a new one, so the create is
        sent again, once for each such job.
        """
        job = await self._conflicting_job(request)
        if job is not None and job.state in LIVE:
            return job
        if job is not None and job.id not in self._failed_conflicts:
            self._failed_conflicts.add(job.id)
            raise NotAccepted(str(answer.error()), failures=failures, delay=0.0)
        which = f"; job {job.id} is {job.state.value}" if job else ""
        raise RowError("rejected", f"{answer.error()}{which}")

    async def find_existing_job(self, row: Row, history: RowHistory, since: float) -> Job | None:
        """See `protocols.Provider`.

        A running or completed job that does this work is adopted, also if another program
        created it. A job that ended otherwise is adopted only if it has our tag. If the
        caption was delivered before, the track on the asset is enough.
        """
        jobs = await self._asset_jobs.jobs(row.source_id, since)
        track_id = row.params.get("track_id")
        same = [job for job in jobs if is_same_work(job, row.source_id, row.target, track_id)]
        candidates = [
            self._parser.job(job)
            for job in same
            if as_text(job.get("id")) not in history.previous_job_ids
        ]
        tagged = {as_text(job.get("id")) for job in same if has_tag(job, tag(row))}
        adoptable = () if history.was_completed else tagged
        usable = [job for job in candidates if job.state in LIVE or job.id in adoptable]
        if usable:
            created_at = {as_text(job.get("id")): as_count(job.get("created_at")) for job in same}
            return min(usable, key=lambda job: preference(job, tagged, created_at))
        if history.was_completed:
            return await self._find_track(row, None)
        if self._now() - (history.intent_at or 0.0) > JOB_RETENTION:
            return await self._find_track_of_deleted_job(row)
        return None

    async def poll(self, job_ids: Sequence[str], on_job: OnJob) -> int:
        """See `protocols.Pollable`.

        A few jobs are requested one by one. Many are compared with the lists of active
        jobs: a job on neither list has ended, however long the account's history is and
        however it is sorted.
        """
        if len(job_ids) <= self._list_pages:
            for job_id in job_ids:
                on_job(await self._robots.get_job(job_id, Priority.POLL))
            return len(job_ids)
        active: set[str] = set()
        pages = 0
        for status in ACTIVE:
            try:
                summaries = await self._robots.list_jobs({"status": status}, Priority.POLL)
            except EndlessListError as error:  # from now on, every job is requested by itself
                self._list_pages = MAX_PAGES
                raise RowError("rejected", error.message) from None
            pages += 1 + len(summaries) // PAGE
            active.update(as_text(summary.get("id")) for summary in summaries)
        self._list_pages = pages
        for job_id in job_ids:
            state = JobState.RUNNING if job_id in active else JobState.NOT_RUNNING
            on_job(Job(id=job_id, state=state))
        return pages

    async def get_job(self, row: Row, job_id: str) -> Job:
        """See `protocols.Provider`.

        Jobs are deleted 30 days after their creation; the caption stays on the asset as a
        text track.
        """
        job = await self._robots.get_job(job_id, Priority.FINISH)
        if job.state is JobState.MISSING:
            return await self._find_track(row, job_id) or job
        return job

    async def get_download_url(self, row: Row, job: Job, expired: Container[str]) -> str | None:
        """See `protocols.Provider`. The temporary link, else the uploaded track.

        The temporary link is valid for 7 days after the job and is not renewed.
        """
        if job.link is not None and job.link not in expired:
            return job.link
        if job.track is None:
            return None
        asset = await self._assets.get(row.source_id)
        track = asset.track(job.track)
        if track is None or not track.ready:  # it may have become ready since
            asset = await self._assets.get(row.source_id, fresh=True)
            track = asset.track(job.track)
        if track is not None and track.status == "preparing":
            return None
        return self._track_url(asset, job.track)

    async def source_link(self, row: Row) -> SourceLink:
        """See `protocols.SourceCaptions`. An asset that was read once serves, however long ago."""
        asset = await self._assets.get_spare(row.source_id)
        track_id = row.params.get("track_id") or await self._source_tracks.choose(
            asset, row.params.get("from_language")
        )
        return SourceLink(track_id, self._track_url(asset, track_id))

    async def list_jobs(self, source_id: str) -> list[ProviderJob]:
        """See `protocols.JobHistory`. Every job that Mux still keeps for an asset."""
        return [self._provider_job(job) for job in await self._asset_jobs.jobs(source_id, 0.0)]

    async def list_account(self, cursor: str, query: AccountQuery) -> AccountPage:
        """See `protocols.AccountList`. A page of assets, with what a run would do with each."""
        return await self._asset_list.page(cursor, query)

    async def check_rows(self, rows: Sequence[Row], on_checked: OnChecked) -> None:
        """See `protocols.AccountCheck`."""
        await self._asset_check.check(rows, on_checked)

    async def cancel_job(self, row: Row, job_id: str) -> Job:
        """See `protocols.JobControl`."""
        return await self._job_control.cancel_job(row, job_id)

    async def remove_track(self, row: Row, job_id: str) -> RemovedTrack:
        """See `protocols.JobControl`."""
        return await self._job_control.remove_track(row, job_id)

    async def _recent_jobs(self, asset_id: str) -> list[Json]:
        """Return every job of an asset; rows that start together share the requests."""
        return await self._asset_jobs.jobs(asset_id, self._now() - _SHARED_SECONDS)

    def _track_url(self, asset: Asset, track_id: str) -> str:
        track = f"text/{quote(track_id, safe='')}.vtt"
        for playback_id in asset.playback.get("public", ()):
            return f"{self._stream}/{quote_path_segment(playback_id)}/{track}"
        for playback_id in asset.playback.get("signed", ()):
            token = self._signer.token(playback_id)
            return f"{self._stream}/{quote_path_segment(playback_id)}/{track}?token={token}"
        policies = asset.policies or "none"
        raise RowError("link_dead", f"asset {asset.id} has no usable playback id ({policies})")

    async def _conflicting_job(self, request: JobRequest) -> Job | None:
        """Return the job that Mux means: an active one with equal parameters, if there is one.

        Else the best of those that do the same work: a job may have ended meanwhile.
        """
        row, parameters = request.row, request.body["parameters"]
        jobs = [
            job
            for job in await self._asset_jobs.jobs(row.source_id, self._now())
            if is_same_work(job, row.source_id, row.target, parameters["track_id"])
        ]

        def rank(job: Json) -> tuple[bool, bool, bool]:
            state, is_equal = (
                self._parser.state(as_text(job.get("status"))),
                has_parameters(job, parameters),
            )
            is_meant = is_equal and state is JobState.RUNNING
            return not is_meant, not is_equal, state not in LIVE

        best = min(jobs, key=rank, default=None)
        return self._parser.job(best) if best is not None else None

    async def _find_track_of_deleted_job(self, row: Row) -> Job:
        """Return the caption of a job that may be deleted: only its track can prove it."""
        if job := await self._find_track(row, None):
            return job
        raise RowError(
            "outcome_unknown",
            "a create was sent over 29 days ago and its answer was lost; "
            "jobs are deleted after 30 days, so it is unknown whether it arrived",
            retryable=True,
        )

    async def _find_track(self, row: Row, job_id: str | None) -> Job | None:
        """Return the ready text track in the row's language as the result of a job."""
        track = (await self._assets.get(row.source_id, fresh=True)).in_language(row.target)
        if track is None or not track.ready:
            return None
        return Job(id=job_id, state=JobState.COMPLETED, track=track.id)

    def _provider_job(self, data: Json) -> ProviderJob:
        parameters = as_object(data.get("parameters"))
        source = as_text(parameters.get("asset_id"))
        target = as_text(parameters.get("to_language_code"))
        return ProviderJob(
            id=as_text(data.get("id")),
            state=self._parser.state(as_text(data.get("status"))),
            source_id=source,
            target=target,
            track_id=as_text(parameters.get("track_id")) or None,
            created_by_batchcap=has_tag(data, mark(source, target)),
            units=as_count(data.get("units_consumed")),
        )

    async def _explain_422(self, request: JobRequest, answer: ApiResponse) -> Job:
        """Return the caption for which a create was refused with 422; else raise why it was."""
        if answer.status == 422:
            asset = await self._assets.get(request.row.source_id, fresh=True)
            if existing := refusals.check_request(request, asset, self._on_existing):
                return existing
        raise rejected(answer)

    def _accepted(self, answer: ApiResponse) -> Job:
        job = self._parser.job(answer.data())
        if not is_valid_id(job.id):
            message = "Mux accepted the job but returned no valid id"
            raise RowError("outcome_unknown", message, retryable=True)
        return job


class _CreateSlot:
    """Room for one create. Satisfies `protocols.SendSlot`."""

    def __init__(self, create: Callable[[JobRequest], Awaitable[Job]]) -> None:
        self._create = create

    async def create(self, request: JobRequest) -> Job:
        """See `protocols.SendSlot`."""
        return await self._create(request)
