"""The fields and status words of HeyGen's responses, and what they mean.

Bulk status, detail and v2 each have their own status words, and the documents use further
synonyms; one table has all of them.
"""

from __future__ import annotations

from batchcap.domain.errors import FatalError, RowError
from batchcap.domain.events import Warned
from batchcap.domain.models import Failure, Job, JobState, Json
from batchcap.domain.protocols import Observer
from batchcap.providers.http_errors import check_access, rejected
from batchcap.transport.response import ApiResponse, as_object, as_text, sanitize

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


class EndpointRetired(Exception):
    """The endpoint itself does not exist (any more), whatever the id."""

    def __init__(self, answer: ApiResponse) -> None:
        super().__init__(answer.status)
        self.answer = answer


class ResponseParser:
    """Parses HeyGen's jobs. Unknown values never raise."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._unknown: set[str] = set()

    def state(self, word: str) -> JobState:
        """Return what a status means. An unknown one counts as running, with one warning."""
        state = _STATES.get(word.lower())
        if state is None and word not in self._unknown:
            self._unknown.add(word)
            self._observer(
                Warned(f"heygen: unknown status {sanitize(word)!r}; treating it as running")
            )
        return state or JobState.RUNNING

    def job(self, job_id: str, data: Json) -> Job:
        """Return the job of a detail object of v3 or a status object of v2."""
        state = self.state(as_text(data.get("status")))
        reason = next(filter(None, map(as_text, map(data.get, _REASONS))), "")
        failure = Failure("job_failed", sanitize(reason) or "failed without a reason")
        return Job(
            id=job_id,
            state=state,
            link=as_text(data.get("vtt_caption_url")) or None,
            srt_link=as_text(data.get("srt_caption_url")) or None,
            failure=failure if state is JobState.ERRORED else None,
        )


_REASONS = ("failure_message", "failure_reason", "message", "error")


ACCOUNT_CODES = {"400112", "400599", "400631"}
"""v2's codes for unauthorized, an unsupported plan and a suspended account
(docs.heygen.com/reference/errors). Which HTTP status they come with is not documented."""

_INVALID_ID = "40031"
_SUCCESS = "100"


def check(answer: ApiResponse) -> None:
    """Raise the error of a response, except for 404, which each endpoint handles itself.

    Raises:
        FatalError: The account or the credentials are refused.
        EndpointRetired: 410.
        RowError: This row is refused.
    """
    check_access(answer, NAME, CREDENTIALS)
    if answer.status == 410:
        raise EndpointRetired(answer)
    if not answer.ok and answer.status != 404:
        if answer.error().kind in ACCOUNT_CODES:
            raise access_refused(answer)
        raise rejected(answer)


def check_envelope(answer: ApiResponse) -> None:
    """Raise the error that a 2xx response of v2 without data has in its envelope.

    Raises:
        FatalError: The account or the credentials are refused.
        RowError: This row is refused.
    """
    problem = answer.error()
    if problem.kind in ACCOUNT_CODES:
        raise access_refused(answer)
    if as_object(answer.json()).get("error") or problem.kind not in {"", _SUCCESS}:
        raise RowError("rejected", problem.message)


def is_unknown_id(answer: ApiResponse) -> bool:
    """Return whether v2 does not know the translation: a 404, or its code for an invalid id."""
    return answer.status == 404 or (not answer.data() and answer.error().kind == _INVALID_ID)


def access_refused(answer: ApiResponse) -> FatalError:
    """Return the error of an account or a key that has no access (any more)."""
    return FatalError(
        f"heygen refuses access: {answer.error()}",
        hint="Check the account, its plan and HEYGEN_API_KEY, then: batchcap resume",
        provider=NAME,
    )
