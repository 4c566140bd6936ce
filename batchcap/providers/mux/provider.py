"""Mux Robots v0: a translate-captions job for each row.

Sources are Mux's API reference and guides, and its SDK @mux/mux-node 15.3. The
version of the Robots API is this module's `ROBOTS` and nothing else: v1 changes
fields, shapes and events, and its contract is not public yet.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import quote

from batchcap.answers import Answer, as_object, text, whole
from batchcap.errors import FatalError, NotAccepted, RowError, RowSkipped, Unavailable
from batchcap.interfaces import OnJob, SendSlot
from batchcap.model import Job, JobRequest, JobState, Json, ProviderJob, Row, RowHistory
from batchcap.pacing import Priority
from batchcap.providers.http_errors import check_access, rejected
from batchcap.providers.mux.assets import Asset, Assets
from batchcap.providers.mux.job_history import History, same_work
from batchcap.providers.mux.schema import (
    GOOD,
    Words,
    body,
    fitness,
    mark,
    replaces,
    sound,
    tag,
    tagged,
)
from batchcap.providers.mux.signing import PlaybackSigner
from batchcap.providers.registry import BaseUrl, ProviderContext
from batchcap.transport import SendSlot as PostSlot
from batchcap.transport import segment

ROBOTS = "/robots/v0"
WORKFLOW = "translate-captions"
_JOBS = f"{ROBOTS}/jobs"
_TRANSLATE = f"{_JOBS}/{WORKFLOW}"

CREDENTIALS = ("MUX_TOKEN_ID", "MUX_TOKEN_SECRET")
STREAM_URL = BaseUrl("MUX_STREAM_BASE_URL", "https://stream.mux.com")

_ACTIVE = ("pending", "processing")
"""In this order: a job that moves on between the two lists is then in both."""

_PURGED = 29 * 86400.0
"""Seconds after which an absent job proves nothing: Mux deletes jobs after 30 days."""

_PAGE = 100
_MOST_PAGES = 500


class Mux:
    """The `Provider` for Mux. Satisfies `interfaces.Provider`."""

    name = "mux"
    link_timeout = 30.0
    not_found_grace = 60.0

    def __init__(self, context: ProviderContext) -> None:
        self._api = context.api
        self._stream = context.settings.other_urls[STREAM_URL.variable]
        self._on_existing = context.settings.options["on_existing"]
        self._assets = Assets(self._read_asset)
        self._now = context.now
        self._history = History(self._jobs_of, self._detail, context.now)
        self._signer = PlaybackSigner(context.settings.secrets, context.now)
        self._sweep_pages = len(_ACTIVE)
        self._words = Words(context.observer)
        self._dead_twins: set[str | None] = set()

    @property
    def read_rate(self) -> float | None:
        """See `interfaces.Pollable`."""
        return self._api.read_rate

    @property
    def backlog_seconds(self) -> float:
        """See `interfaces.Pollable`."""
        return self._api.backlog_seconds

    async def prepare(self, row: Row) -> JobRequest | Job:
        """See `interfaces.Provider`. Reads the asset only where the row names no track."""
        track_id = row.params.get("track_id")
        if track_id is None:
            asset = await self._assets.get(row.source_id, priority=Priority.START)
            if not replaces(row) and (found := self._existing(row, asset)):
                return found
            track_id = asset.source_track(row.params.get("from_language"))
        return JobRequest(row, body(row, track_id))

    @asynccontextmanager
    async def send_slot(self, failures: int = 0) -> AsyncIterator[SendSlot]:
        """See `interfaces.Provider`."""
        async with self._api.send_slot(failures=failures) as slot:
            yield _CreateSlot(partial(self._create, slot, failures))

    async def _create(self, slot: PostSlot, failures: int, request: JobRequest) -> Job:
        """`POST /robots/v0/jobs/translate-captions`: 202."""
        answer = await slot.post(_TRANSLATE, request.body)
        self._check(answer)
        if answer.status == 409:
            return await self._existing_job(request, answer, failures)
        if answer.status in {404, 405, 410}:
            await self._check_route()
        return self._accepted(answer) if answer.ok else await self._explained(request, answer)

    async def _existing_job(self, request: JobRequest, answer: Answer, failures: int) -> Job:
        """409: Mux has a job for this already (since 2026-09-23).

        One that ended without a caption should not be in the way: once for each, the
        create is sent again.
        """
        twin = await self._twin(request)
        if twin is not None and twin.state in GOOD:
            return twin
        if twin is not None and twin.id not in self._dead_twins:
            self._dead_twins.add(twin.id)
            raise NotAccepted(str(answer.problem()), failures=failures, delay=0.0)
        which = f"; job {twin.id} is {twin.state.value}" if twin else ""
        raise RowError("rejected", f"{answer.problem()}{which}")

    async def find_existing_job(self, row: Row, history: RowHistory, since: float) -> Job | None:
        """See `interfaces.Provider`.

        A running or completed job that does this work is adopted, whoever made it;
        one that ended otherwise only where it carries our tag. Of a caption that was
        delivered once, the track on the asset does as well.
        """
        jobs = await self._history.jobs(row.source_id, since)
        track_id = row.params.get("track_id")
        mine = [job for job in jobs if same_work(job, row.source_id, row.target, track_id)]
        found = [
            self._words.job(job)
            for job in mine
            if text(job.get("id")) not in history.previous_job_ids
        ]
        ours = {text(job.get("id")) for job in mine if tagged(job, tag(row))}
        spent = () if history.was_completed else ours
        usable = [job for job in found if job.state in GOOD or job.id in spent]
        if usable:
            made = {text(job.get("id")): whole(job.get("created_at")) for job in mine}
            return min(usable, key=lambda job: fitness(job, ours, made))
        if history.was_completed:
            return await self._uploaded(row, None)
        if self._now() - (history.intent_at or 0.0) > _PURGED:
            return await self._outlived(row)
        return None

    async def poll(self, job_ids: Sequence[str], on_job: OnJob) -> int:
        """See `interfaces.Pollable`.

        A few are asked for one by one. Many are compared with the lists of active
        jobs: what is not on them any more has ended, whatever the account's
        history is and however it is sorted.
        """
        if len(job_ids) <= self._sweep_pages:
            for job_id in job_ids:
                on_job(await self._described(job_id, Priority.POLL))
            return len(job_ids)
        active: dict[str, Json] = {}
        pages = 0
        for status in _ACTIVE:
            try:
                listed = await self._listed({"status": status}, Priority.POLL)
            except _EndlessError as error:  # no sweep any more: each row looks for itself
                self._sweep_pages = _MOST_PAGES
                raise RowError("rejected", error.message) from None
            pages += 1 + len(listed) // _PAGE
            active.update((text(one.get("id")), one) for one in listed)
        self._sweep_pages = pages
        for job_id in job_ids:
            state = JobState.RUNNING if job_id in active else JobState.ENDED
            on_job(Job(id=job_id, state=state))
        return pages

    async def get_job(self, row: Row, job_id: str) -> Job:
        """See `interfaces.Provider`.

        Jobs are deleted 30 days after their creation; what one made stays on the
        asset as a text track.
        """
        job = await self._described(job_id, Priority.FINISH)
        if job.state is JobState.MISSING:
            return await self._uploaded(row, job_id) or job
        return job

    async def get_download_url(self, row: Row, job: Job, expired: Container[str]) -> str | None:
        """See `interfaces.Provider`. The temporary link, else the uploaded track.

        The temporary link lives for 7 days after the job and is not renewed.
        """
        if job.link is not None and job.link not in expired:
            return job.link
        if job.track is None:
            return None
        asset = await self._assets.get(row.source_id)
        return self._track_url(asset, job.track)

    def _track_url(self, asset: Asset, track_id: str) -> str:
        track = f"text/{quote(track_id, safe='')}.vtt"
        for playback_id in asset.playback.get("public", ()):
            return f"{self._stream}/{segment(playback_id)}/{track}"
        for playback_id in asset.playback.get("signed", ()):
            token = self._signer.token(playback_id)
            return f"{self._stream}/{segment(playback_id)}/{track}?token={token}"
        policies = ", ".join(asset.playback) or "none"
        raise RowError("link_dead", f"asset {asset.id} has no usable playback id ({policies})")

    async def _twin(self, request: JobRequest) -> Job | None:
        """The best of the jobs that do the same work."""
        row, track_id = request.row, request.body["parameters"]["track_id"]
        jobs = await self._history.jobs(row.source_id, self._now())
        twins = [
            self._words.job(job)
            for job in jobs
            if same_work(job, row.source_id, row.target, track_id)
        ]
        return min(twins, key=lambda job: job.state not in GOOD, default=None)

    async def _outlived(self, row: Row) -> Job:
        """Where the job may be deleted already, only what it made can tell of it."""
        if found := await self._uploaded(row, None):
            return found
        raise RowError(
            "outcome_unknown",
            "a create was sent over 29 days ago and its answer was lost; "
            "jobs are deleted after 30 days, so nobody can tell whether it arrived",
            retryable=True,
        )

    async def _uploaded(self, row: Row, job_id: str | None) -> Job | None:
        """The ready text track in the row's language, as what a job that is gone made."""
        track = (await self._assets.get(row.source_id, fresh=True)).in_language(row.target)
        if track is None or not track.ready:
            return None
        return Job(id=job_id, state=JobState.COMPLETED, track=track.id)

    async def list_jobs(self, source_id: str) -> list[ProviderJob]:
        """See `interfaces.JobHistory`. Every job that Mux still keeps for an asset."""
        return [self._record(job) for job in await self._history.jobs(source_id, 0.0)]

    def _record(self, data: Json) -> ProviderJob:
        about = as_object(data.get("parameters"))
        source, target = text(about.get("asset_id")), text(about.get("to_language_code"))
        return ProviderJob(
            id=text(data.get("id")),
            state=self._words.state(text(data.get("status"))),
            source_id=source,
            target=target,
            track_id=text(about.get("track_id")) or None,
            created_by_batchcap=tagged(data, mark(source, target)),
            units=whole(data.get("units_consumed")),
        )

    async def _jobs_of(self, asset_id: str) -> list[Json]:
        listed = await self._listed({"asset_id": asset_id})
        if not all(sound(text(job.get("id"))) for job in listed):
            told = f"asset {asset_id} has jobs without a sound id, so nobody can tell which is ours"
            raise RowError("outcome_unknown", told, retryable=True)
        return listed

    async def _detail(self, job_id: str) -> Json | None:
        answer = await self._get(f"{_TRANSLATE}/{segment(job_id)}")
        return answer.data() if answer.ok else None

    async def _explained(self, request: JobRequest, answer: Answer) -> Job:
        """A 422 says in words what the asset says in facts: read the asset."""
        if answer.status != 422:
            raise rejected(answer)
        row = request.row
        asset = await self._assets.get(row.source_id, fresh=True)
        if not asset.playback:
            raise RowError("rejected", f"asset {asset.id} has no playback id")
        source_id = request.body["parameters"]["track_id"]
        source = asset.track(source_id)
        if source is None:
            raise RowError("track_not_found", f"asset {asset.id} has no text track {source_id}")
        if not source.ready:
            message = f"text track {source_id} of asset {asset.id} is {source.status}"
            raise RowError("track_not_ready", message, retryable=source.status == "preparing")
        if not replaces(row) and (found := self._existing(row, asset)):
            return found
        raise rejected(answer)

    def _existing(self, row: Row, asset: Asset) -> Job | None:
        """The caption where the asset has one in the target language, by --on-existing."""
        track = asset.in_language(row.target)
        if track is None or track.status in {"errored", "deleted"}:
            return None
        message = f"asset {asset.id} has text track {track.id} in {row.target} already"
        match self._on_existing:
            case "skip":
                raise RowSkipped(message)
            case "fail":
                raise RowError("language_exists", message)
            case _:
                return Job(id=None, state=JobState.COMPLETED, track=track.id)

    def _accepted(self, answer: Answer) -> Job:
        job = self._words.job(answer.data())
        if not sound(job.id):
            told = "the create was accepted without a sound job id"
            raise RowError("outcome_unknown", told, retryable=True)
        return job

    async def _described(self, job_id: str, priority: Priority) -> Job:
        answer = await self._get(f"{_TRANSLATE}/{segment(job_id)}", priority=priority)
        if answer.status == 410:
            raise _gone(answer)
        if answer.status == 404:
            return Job(id=job_id, state=JobState.MISSING)
        if not answer.ok:
            raise rejected(answer)
        return self._words.job(answer.data(), job_id)

    async def _listed(
        self, query: Mapping[str, str], priority: Priority = Priority.FINISH
    ) -> list[Json]:
        """All summaries that a filter lets through; pages may drift while jobs move.

        A page without a new id is the end too: a server that does not know `page`
        would give the first one for ever.
        """
        listed: dict[str, Json] = {}
        for page in range(1, _MOST_PAGES + 1):
            asked = {"workflow": WORKFLOW, "limit": str(_PAGE), "page": str(page), **query}
            answer = await self._get(_JOBS, asked, priority=priority)
            if answer.status in {404, 410}:
                raise _gone(answer)
            if not answer.ok:
                raise rejected(answer)
            items = {text(one.get("id")): one for one in answer.items()}
            repeated = items.keys() <= listed.keys()
            listed.update(items)
            if repeated or len(answer.items()) < _PAGE:
                return list(listed.values())
        raise _EndlessError(f"the list of jobs has more than {_MOST_PAGES} pages")

    async def _check_route(self) -> None:
        """Tell a retired API from a refusal: the list has no id that could be missing."""
        await self._listed({"status": _ACTIVE[0]})

    async def _get(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        priority: Priority = Priority.FINISH,
    ) -> Answer:
        answer = await self._api.get(path, query, priority=priority)
        self._check(answer)
        return answer

    async def _read_asset(self, asset_id: str, priority: Priority) -> Answer:
        return await self._get(f"/video/v1/assets/{segment(asset_id)}", priority=priority)

    def _check(self, answer: Answer) -> None:
        check_access(answer, self.name, CREDENTIALS)
        if answer.status == 403:
            raise FatalError(
                f"mux does not allow this: {answer.problem()}",
                hint="The token needs Robots and Video permissions, and the Robots terms have "
                "to be accepted for its environment in the dashboard; then: batchcap resume",
                provider=self.name,
            )


class _CreateSlot:
    """Room for one create. Satisfies `interfaces.SendSlot`."""

    def __init__(self, create: Callable[[JobRequest], Awaitable[Job]]) -> None:
        self._create = create

    async def create(self, request: JobRequest) -> Job:
        """See `interfaces.SendSlot`."""
        return await self._create(request)


class _EndlessError(Unavailable):
    """A list that is longer than any account's."""


def _gone(answer: Answer) -> FatalError:
    return FatalError(
        f"Mux Robots v0 answers as gone: {answer.problem()}",
        hint="v0 ends six months after v1's launch. Look for a batchcap that speaks v1; "
        "the ledger stays good for it.",
        provider=Mux.name,
    )
