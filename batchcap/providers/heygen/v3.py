"""HeyGen v3: many states in a request, links on the detail object.

There is no caption route in v3 (it was removed on 2026-04-13): a translation's
`vtt_caption_url` is on its detail, and on every item of the list.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence

from batchcap.domain.errors import RowError
from batchcap.domain.models import Failure, Job, JobState
from batchcap.domain.protocols import OnJob
from batchcap.providers.heygen.schema import (
    EndpointRetired,
    ResponseParser,
    access_refused,
    check,
    check_envelope,
)
from batchcap.transport.api_client import Api, quote_path_segment
from batchcap.transport.rate_limiter import Priority
from batchcap.transport.response import ApiResponse, as_object, as_text, sanitize

ROOT = "/v3/video-translations"
_PAGE = 100
MIN_ROWS_PER_PAGE = 2.0
"""Rows that a page of the list must resolve on average. Each saves one request for a link."""

PAGES_JUDGED = 3
"""Recent pages that are judged: if they resolve too few rows, the list is not read on."""

MAX_KEPT_LINKS = 30_000
"""Most links of the list that are kept for their rows, some 500 bytes each."""

_PARALLEL = 4
"""Status requests that are in flight together."""


class V3:
    """The requests of v3."""

    def __init__(self, api: Api, parser: ResponseParser) -> None:
        self._api = api
        self._parser = parser
        self._list = _List(self.page, parser)

    async def poll(self, job_ids: Sequence[str], on_job: OnJob) -> int:
        """Read the list while it resolves enough rows; request statuses for the rest."""
        wanted = dict.fromkeys(job_ids)
        requests = await self._list.resolve(wanted, on_job)
        rest = list(wanted)
        pages = [rest[start : start + _PAGE] for start in range(0, len(rest), _PAGE)]
        for start in range(0, len(pages), _PARALLEL):
            together = pages[start : start + _PARALLEL]
            requests += sum(
                await asyncio.gather(*(self._statuses(page, on_job) for page in together))
            )
        return requests

    async def get_job(self, job_id: str) -> Job:
        """Return the detail, with a fresh link.

        Raises:
            FatalError: The account or the credentials are refused.
            EndpointRetired: v3 is no longer available.
            RowError: This translation is refused.
        """
        answer = await self._api.get(
            f"{ROOT}/{quote_path_segment(job_id)}", priority=Priority.FINISH
        )
        if answer.status == 403:
            await self._check_account(job_id, answer)
        check(answer)
        if answer.status == 404:
            return Job(id=job_id, state=JobState.MISSING)
        data = answer.data()
        if not data:
            check_envelope(answer)
        return self._parser.job(job_id, data)

    async def _check_account(self, job_id: str, refused: ApiResponse) -> None:
        """Find out whether a 403 is about one translation or about the account.

        The statuses report a translation of another account as not found, so a 403 from them
        is about the account.

        Raises:
            FatalError: The account has no access.
        """
        if refused.error().kind != "resource_access_denied":
            query = {"video_translation_ids": job_id}
            answer = await self._api.get(f"{ROOT}/statuses", query, priority=Priority.FINISH)
            if answer.status == 403:
                raise access_refused(answer)

    async def page(self, token: str, priority: Priority = Priority.POLL) -> ApiResponse:
        """Return a page of the account's list; "" is the token of the first one.

        Raises:
            RowError: The page is refused.
            EndpointRetired: There is no list.
        """
        query = {"limit": str(_PAGE), **({"token": token} if token else {})}
        answer = await self._api.get(ROOT, query, priority=priority)
        check(answer)
        if answer.status == 404:
            raise EndpointRetired(answer)
        return answer

    async def _statuses(self, job_ids: list[str], on_job: OnJob) -> int:
        """Request up to 100 states; return the requests made.

        A completed one has no link here; its detail has. Whether HeyGen ever spreads 100 states
        over several pages is not documented, but its responses have a token for the next one.
        """
        requests, token = 1, await self._statuses_page(job_ids, "", on_job)
        while token and requests < len(job_ids):  # a page has at least one state
            requests, token = requests + 1, await self._statuses_page(job_ids, token, on_job)
        return requests

    async def _statuses_page(self, job_ids: list[str], token: str, on_job: OnJob) -> str:
        """Report the states of one page; return the token of the next one, "" after the last."""
        query = {"video_translation_ids": ",".join(job_ids), **({"token": token} if token else {})}
        answer = await self._api.get(f"{ROOT}/statuses", query, priority=Priority.POLL)
        if answer.status == 403:
            raise access_refused(answer)
        check(answer)
        if answer.status == 404:
            raise EndpointRetired(answer)
        if not isinstance(as_object(answer.json()).get("data"), list):
            raise RowError("rejected", f"statuses without data: {answer.error()}")
        for item in answer.items():
            job_id = as_text(item.get("video_id")) or as_text(item.get("id"))
            on_job(self._brief(job_id, as_text(item.get("status")), item.get("error")))
        return as_text(as_object(answer.json()).get("next_token"))

    def _brief(self, job_id: str, word: str, error: object) -> Job:
        state = self._parser.state(word)
        if state is JobState.COMPLETED:
            return Job(id=job_id, state=JobState.NOT_RUNNING)
        reason = sanitize(as_text(error) or as_text(as_object(error).get("message")))
        failed = state is JobState.ERRORED
        failure = Failure("job_failed", reason or "failed without a reason") if failed else None
        return Job(id=job_id, state=state, failure=failure)


class _List:
    """The account's list, read once, as long as it resolves enough rows.

    Links of translations that no row has asked about yet are kept.
    """

    def __init__(
        self, page: Callable[[str], Awaitable[ApiResponse]], parser: ResponseParser
    ) -> None:
        self._page, self._parser = page, parser
        self._is_started = self._is_finished = False
        self._token = ""
        self._pages = self._resolved = 0
        self._before: deque[int] = deque(maxlen=PAGES_JUDGED)
        self._unclaimed: OrderedDict[str, Job] = OrderedDict()

    async def resolve(self, wanted: dict[str, None], on_job: OnJob) -> int:
        """Report the wanted jobs that are on the list and remove them; return the requests made."""
        for job_id in self._unclaimed.keys() & wanted.keys():
            self._take(wanted, self._unclaimed.pop(job_id), on_job)
        self._is_started = self._is_started or len(wanted) >= _PAGE
        before = self._pages
        while wanted and self._is_started and not self._is_finished:
            await self._next(wanted, on_job)
        return self._pages - before

    async def _next(self, wanted: dict[str, None], on_job: OnJob) -> None:
        try:
            answer = await self._page(self._token)
        except RowError:  # the statuses are enough
            self._is_finished = True
            return
        self._pages += 1
        self._before.append(self._resolved)
        for item in answer.items():
            job = self._parser.job(as_text(item.get("id")), item)
            if job.id in wanted:
                self._take(wanted, job, on_job)
            elif job.link is not None and job.id:
                self._unclaimed[job.id] = job
        while len(self._unclaimed) > MAX_KEPT_LINKS:
            self._unclaimed.popitem(last=False)
        self._token = as_text(as_object(answer.json()).get("next_token"))
        is_worth_it = self._resolved - self._before[0] >= MIN_ROWS_PER_PAGE * PAGES_JUDGED
        self._is_finished = not self._token or (
            len(self._before) == PAGES_JUDGED and not is_worth_it
        )

    def _take(self, wanted: dict[str, None], job: Job, on_job: OnJob) -> None:
        del wanted[job.id or ""]
        self._resolved += job.state is not JobState.RUNNING
        on_job(job)
