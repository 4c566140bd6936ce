"""HeyGen's words, all of them, and what they mean.

Bulk status, detail and v2 each have a vocabulary of their own, and its documents
use synonyms in places; one table takes them all.
"""

from __future__ import annotations

from batchcap.answers import Answer, as_object, clean, text
from batchcap.errors import RowError
from batchcap.events import Warned
from batchcap.interfaces import Observer
from batchcap.model import Failure, Job, JobState, Json
from batchcap.providers.http_errors import check_access, rejected

NAME = "heygen"
CREDENTIALS = ("HEYGEN_API_KEY",)

_STATES = {
    "pending": JobState.RUNNING,
    "queued": JobState.RUNNING,
    "waiting": JobState.RUNNING,
    "running": JobState.RUNNING,
    "processing": JobState.RUNNING,
    "completed": JobState.COMPLETED,
    "complete": JobState.COMPLETED,
    "success": JobState.COMPLETED,
    "succeeded": JobState.COMPLETED,
    "failed": JobState.ERRORED,
    "fail": JobState.ERRORED,
    "error": JobState.ERRORED,
    "cancelled": JobState.CANCELLED,
    "canceled": JobState.CANCELLED,
    "not_found": JobState.MISSING,
}


class RouteGone(Exception):
    """The route itself is not there (any more); no id can be blamed for it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Words:
    """Reads HeyGen's answers tolerantly."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._odd: set[str] = set()

    def state(self, word: str) -> JobState:
        """A word never seen before is "still running", told once."""
        state = _STATES.get(word.lower())
        if state is None and word not in self._odd:
            self._odd.add(word)
            self._observer(Warned(f"heygen: status {clean(word)!r} is new; taken as running"))
        return state or JobState.RUNNING

    def job(self, job_id: str, data: Json) -> Job:
        """A job from a detail object of v3, or a status object of v2."""
        state = self.state(text(data.get("status")))
        reason = next(filter(None, map(text, map(data.get, _REASONS))), "")
        failure = Failure("job_failed", clean(reason) or "failed without a reason")
        return Job(
            id=job_id,
            state=state,
            link=text(data.get("vtt_caption_url")) or None,
            failure=failure if state is JobState.ERRORED else None,
        )


_REASONS = ("failure_message", "failure_reason", "message", "error")


def check(answer: Answer) -> None:
    """Raise where the answer concerns the account or is a refusal of this row.

    404 passes: what is missing depends on the route.
    """
    check_access(answer, NAME, CREDENTIALS)
    if answer.status == 410:
        raise RouteGone(answer)
    if not answer.ok and answer.status != 404:
        raise rejected(answer)


def told_error(answer: Answer) -> str:
    """The envelope's `error` of a 2xx answer: null, a string or an object; "" for null."""
    content = as_object(answer.json())
    return answer.problem().message if content.get("error") else ""


def refused(answer: Answer) -> RowError:
    """A 2xx answer whose envelope tells an error."""
    return RowError("rejected", told_error(answer))
