"""HeyGen v3: many states in a request, links on the detail object.

There is no caption route in v3 (it was removed on 2026-04-13): a translation's
`vtt_caption_url` is on its detail, and on every item of the list.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence

from batchcap.answers import Answer, as_object, clean, text
from batchcap.errors import RowError
from batchcap.interfaces import OnJob
from batchcap.model import Failure, Job, JobState
from batchcap.pacing import Priority
from batchcap.providers.heygen.schema import RouteGone, Words, check
from batchcap.transport import Api, segment

_ROOT = "/v3/video-translations"
_PAGE = 100
_WORTH = 2.0
"""Rows that a page of the list has to settle: each saves the request for its link."""

_PATIENCE = 3
"""Pages by which the list is judged: the last ones, since one row far down is not worth all."""

_KEPT = 30_000
"""Links of the list that wait for their rows, some 500 bytes each."""

_AT_ONCE = 4
"""Status requests in line together, so that none waits for the answer to another."""


class V3:
    """Asks v3."""

    def __init__(self, api: Api, words: Words) -> None:
        self._api = api
        self._words = words
        self._list = _List(self._page, words)

    async def poll(self, job_ids: Sequence[str], on_job: OnJob) -> int:
        """The list, as long as it settles more than it costs; statuses for the rest."""
        wanted = dict.fromkeys(job_ids)
        requests = await self._list.settle(wanted, on_job)
        rest = list(wanted)
        lots = [rest[start : start + _PAGE] for start in range(0, len(rest), _PAGE)]
        for start in range(0, len(lots), _AT_ONCE):
            together = lots[start : start + _AT_ONCE]
            await asyncio.gather(*(self._statuses(lot, on_job) for lot in together))
        return requests + len(lots)

    async def look(self, job_id: str) -> Job:
        """The detail, with a fresh link."""
        answer = await self._api.get(f"{_ROOT}/{segment(job_id)}", priority=Priority.FINISH)
        check(answer)
        if answer.status == 404:
            return Job(id=job_id, state=JobState.MISSING)
        return self._words.job(job_id, answer.data())

    async def _page(self, token: str) -> Answer:
        query = {"limit": str(_PAGE), **({"token": token} if token else {})}
        answer = await self._api.get(_ROOT, query, priority=Priority.POLL)
        check(answer)
        if answer.status == 404:
            raise RouteGone(answer)
        return answer

    async def _statuses(self, job_ids: list[str], on_job: OnJob) -> None:
        """Up to 100 states. "completed" has no link here: a look at it has."""
        query = {"video_translation_ids": ",".join(job_ids)}
        answer = await self._api.get(f"{_ROOT}/statuses", query, priority=Priority.POLL)
        check(answer)
        if answer.status == 404:
            raise RouteGone(answer)
        if not isinstance(as_object(answer.json()).get("data"), list):
            raise RowError("rejected", f"statuses without data: {answer.problem()}")
        for item in answer.items():
            job_id = text(item.get("video_id")) or text(item.get("id"))
            on_job(self._brief(job_id, text(item.get("status")), item.get("error")))

    def _brief(self, job_id: str, word: str, error: object) -> Job:
        state = self._words.state(word)
        if state is JobState.COMPLETED:
            return Job(id=job_id, state=JobState.ENDED)
        told = clean(text(error) or text(as_object(error).get("message")))
        failed = state is JobState.ERRORED
        failure = Failure("job_failed", told or "failed without a reason") if failed else None
        return Job(id=job_id, state=state, failure=failure)


class _List:
    """The account's list, walked through once, for as long as that is worth it.

    What it names before its row asks is kept for the row.
    """

    def __init__(self, page: Callable[[str], Awaitable[Answer]], words: Words) -> None:
        self._page, self._words = page, words
        self._walking = self._over = False
        self._token = ""
        self._pages = self._settled = 0
        self._before: deque[int] = deque(maxlen=_PATIENCE)
        self._kept: OrderedDict[str, Job] = OrderedDict()

    async def settle(self, wanted: dict[str, None], on_job: OnJob) -> int:
        """OnJob what the list knows of the wanted, who are wanted no more; returns requests."""
        for job_id in self._kept.keys() & wanted.keys():
            self._take(wanted, self._kept.pop(job_id), on_job)
        self._walking = self._walking or len(wanted) >= _PAGE
        before = self._pages
        while wanted and self._walking and not self._over:
            await self._next(wanted, on_job)
        return self._pages - before

    async def _next(self, wanted: dict[str, None], on_job: OnJob) -> None:
        try:
            answer = await self._page(self._token)
        except RowError:  # the statuses do without it
            self._over = True
            return
        self._pages += 1
        self._before.append(self._settled)
        for item in answer.items():
            job = self._words.job(text(item.get("id")), item)
            if job.id in wanted:
                self._take(wanted, job, on_job)
            elif job.link is not None and job.id:
                self._kept[job.id] = job
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        self._token = text(as_object(answer.json()).get("next_token"))
        worth = self._settled - self._before[0] >= _WORTH * _PATIENCE
        self._over = not self._token or (len(self._before) == _PATIENCE and not worth)

    def _take(self, wanted: dict[str, None], job: Job, on_job: OnJob) -> None:
        del wanted[job.id or ""]
        self._settled += job.state is not JobState.RUNNING
        on_job(job)
