"""HeyGen v3: many states in a request, links on the detail object.

There is no caption route in v3 (it was removed on 2026-04-13): a translation's
`vtt_caption_url` is on its detail, and on every item of the list.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchcap.answers import Answer, as_object, clean, text
from batchcap.errors import RowError
from batchcap.interfaces import Report
from batchcap.model import Failure, Job, JobState
from batchcap.pacing import Priority
from batchcap.providers.heygen_words import RouteGone, Words, check
from batchcap.transport import Api, segment

_ROOT = "/v3/video-translations"
_PAGE = 100
_WORTH = 2.0
"""Rows that a page of the list has to settle: each saves the request for its link."""

_PATIENCE = 3
"""Pages to read before the list is judged."""


class V3:
    """Asks v3."""

    def __init__(self, api: Api, words: Words) -> None:
        self._api = api
        self._words = words
        self._listing = True

    async def poll(self, job_ids: Sequence[str], report: Report) -> int:
        """The list, as long as it settles more than it costs; statuses for the rest."""
        wanted = dict.fromkeys(job_ids)
        requests = 0
        if self._listing and len(wanted) >= _PAGE:
            requests = await self._list(wanted, report)
        rest = list(wanted)
        for start in range(0, len(rest), _PAGE):
            await self._statuses(rest[start : start + _PAGE], report)
            requests += 1
        return requests

    async def look(self, job_id: str) -> Job:
        """The detail, with a fresh link."""
        answer = await self._api.get(f"{_ROOT}/{segment(job_id)}", priority=Priority.FINISH)
        check(answer)
        if answer.status == 404:
            return Job(id=job_id, state=JobState.MISSING)
        return self._words.job(job_id, answer.data())

    async def _list(self, wanted: dict[str, None], report: Report) -> int:
        """Walk the list while it is worth it; what it settled leaves `wanted`."""
        token, pages, before = "", 0, len(wanted)
        while wanted:
            answer = await self._page(token)
            pages += 1
            for item in answer.items():
                job_id = text(item.get("id"))
                if job_id in wanted:
                    del wanted[job_id]
                    report(self._words.job(job_id, item))
            token = text(as_object(answer.json()).get("next_token"))
            worth = (before - len(wanted)) / pages >= _WORTH
            if not token or (pages >= _PATIENCE and not worth):
                self._listing = worth
                break
        return pages

    async def _page(self, token: str) -> Answer:
        query = {"limit": str(_PAGE), **({"token": token} if token else {})}
        answer = await self._api.get(_ROOT, query, priority=Priority.POLL)
        check(answer)
        if answer.status == 404:
            raise RouteGone(answer)
        return answer

    async def _statuses(self, job_ids: list[str], report: Report) -> None:
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
            report(self._brief(job_id, text(item.get("status")), item.get("error")))

    def _brief(self, job_id: str, word: str, error: object) -> Job:
        state = self._words.state(word)
        if state is JobState.COMPLETED:
            return Job(id=job_id, state=JobState.ENDED)
        told = clean(text(error) or text(as_object(error).get("message")))
        failed = state is JobState.ERRORED
        failure = Failure("job_failed", told or "failed without a reason") if failed else None
        return Job(id=job_id, state=state, failure=failure)
