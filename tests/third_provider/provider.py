"""Acme: a job for each row, statuses of a hundred jobs in one request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager

from batchcap.domain.errors import RowError
from batchcap.domain.events import Warned
from batchcap.domain.models import Failure, Job, JobRequest, JobState, Json, Row, RowHistory
from batchcap.domain.protocols import OnJob, SendSlot
from batchcap.providers.http_errors import check_access, rejected
from batchcap.providers.registry import ProviderContext
from batchcap.transport.api_client import SendSlot as PostSlot
from batchcap.transport.api_client import quote_path_segment
from batchcap.transport.rate_limiter import Priority
from batchcap.transport.response import ApiResponse, as_object, as_text, sanitize
from tests.third_provider.webhooks import NAME

CREDENTIALS = ("ACME_KEY",)
_PAGE = 100
_STATES = {
    "running": JobState.RUNNING,
    "done": JobState.COMPLETED,
    "failed": JobState.ERRORED,
}


class Acme:
    """The `Provider` for Acme. Satisfies `protocols.Provider`."""

    name = NAME
    link_timeout = 30.0
    not_found_grace = 10.0

    def __init__(self, context: ProviderContext) -> None:
        self._api = context.api
        self._observer = context.observer
        self._quality = context.settings.options["acme_quality"]
        self._unknown: set[str] = set()

    @property
    def read_rate(self) -> float | None:
        """See `protocols.Pollable`."""
        return self._api.read_rate

    @property
    def backlog_seconds(self) -> float:
        """See `protocols.Pollable`."""
        return self._api.backlog_seconds

    async def prepare(self, row: Row) -> JobRequest | Job:
        """See `protocols.Provider`. A new job for every row."""
        body = {"clip": row.source_id, "to": row.target, "quality": self._quality, **row.params}
        return JobRequest(row, body)

    @asynccontextmanager
    async def send_slot(self, failures: int = 0) -> AsyncIterator[SendSlot]:
        """See `protocols.Provider`."""
        async with self._api.send_slot(failures=failures) as slot:
            yield _CreateSlot(self, slot)

    async def find_existing_job(self, row: Row, history: RowHistory, since: float) -> Job | None:
        """See `protocols.Provider`."""
        answer = await self._get(f"/clips/{quote_path_segment(row.source_id)}/jobs")
        for item in answer.items():
            if (
                item.get("to") == row.target
                and as_text(item.get("id")) not in history.previous_job_ids
            ):
                return self.job(item)
        return None

    async def poll(self, job_ids: Sequence[str], on_job: OnJob) -> int:
        """See `protocols.Pollable`."""
        pages = [job_ids[start : start + _PAGE] for start in range(0, len(job_ids), _PAGE)]
        for page in pages:
            answer = await self._api.get("/jobs", {"ids": ",".join(page)}, priority=Priority.POLL)
            self.check(answer)
            for item in answer.items():
                job = self.job(item)
                running = job.state is JobState.RUNNING
                on_job(job if running else Job(id=job.id, state=JobState.NOT_RUNNING))
        return len(pages)

    async def get_job(self, row: Row, job_id: str) -> Job:
        """See `protocols.Provider`."""
        answer = await self._get(f"/jobs/{quote_path_segment(job_id)}")
        if answer.status == 404:
            return Job(id=job_id, state=JobState.MISSING)
        return self.job(answer.data())

    async def get_download_url(self, row: Row, job: Job, expired: Container[str]) -> str | None:
        """See `protocols.Provider`. The link is signed again at each request."""
        return job.link if job.link not in expired else None

    def job(self, data: Json) -> Job:
        """Return a job as the API describes it."""
        word = as_text(data.get("status"))
        if word not in _STATES and word not in self._unknown:
            self._unknown.add(word)
            self._observer(Warned(f"acme: unknown job status {sanitize(word)!r}"))
        state = _STATES.get(word, JobState.RUNNING)
        reason = as_text(as_object(data.get("error")).get("message"))
        return Job(
            id=as_text(data.get("id")),
            state=state,
            link=as_text(data.get("vtt_url")) or None,
            failure=Failure("job_failed", reason) if state is JobState.ERRORED else None,
        )

    def check(self, answer: ApiResponse) -> None:
        """Raise what the answer's status means; 404 passes."""
        check_access(answer, NAME, CREDENTIALS)
        if not answer.ok and answer.status != 404:
            raise rejected(answer)

    async def _get(self, path: str) -> ApiResponse:
        answer = await self._api.get(path, priority=Priority.FINISH)
        self.check(answer)
        return answer


class _CreateSlot:
    def __init__(self, provider: Acme, slot: PostSlot) -> None:
        self._provider, self._slot = provider, slot

    async def create(self, request: JobRequest) -> Job:
        """See `protocols.SendSlot`."""
        answer = await self._slot.post("/jobs", request.body)
        self._provider.check(answer)
        if answer.status == 404:
            raise RowError("asset_not_found", f"there is no clip {request.row.source_id}")
        return self._provider.job(answer.data())
