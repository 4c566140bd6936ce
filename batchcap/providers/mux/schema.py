"""Mux's words: what a job's fields mean, what a create says, and whose job is whose."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping

import orjson

from batchcap.answers import as_object, clean, text, whole
from batchcap.events import Warned
from batchcap.interfaces import Observer
from batchcap.model import Failure, Job, JobState, Json, Row

_STATES = {
    "pending": JobState.RUNNING,
    "processing": JobState.RUNNING,
    "completed": JobState.COMPLETED,
    "errored": JobState.ERRORED,
    "cancelled": JobState.CANCELLED,
}
GOOD = (JobState.RUNNING, JobState.COMPLETED)

_PARAMETERS = ("upload_to_mux", "never_translate", "track_name", "replace_existing_tracks")
_LONGEST_ID = 255


class Words:
    """Reads Mux's jobs tolerantly."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._odd: set[str] = set()

    def job(self, data: Json, job_id: str | None = None) -> Job:
        """A job as a detail or a summary describes it."""
        word = text(data.get("status"))
        outputs = as_object(data.get("outputs"))
        state = self.state(word)
        return Job(
            id=text(data.get("id")) or job_id,
            state=state,
            link=text(outputs.get("temporary_vtt_url")) or None,
            track=text(outputs.get("uploaded_track_id")) or None,
            failure=_failure(data) if state is JobState.ERRORED else None,
            units=whole(data.get("units_consumed")),
            duration=_duration(data) if state is not JobState.RUNNING else None,
        )

    def state(self, word: str) -> JobState:
        """A word never seen before is "still running", told once."""
        if word not in _STATES and word not in self._odd:
            self._odd.add(word)
            self._observer(Warned(f"mux: job status {clean(word)!r} is new; taken as running"))
        return _STATES.get(word, JobState.RUNNING)


def tag(row: Row) -> str:
    """What marks our create in `passthrough`: the same for the same task, always."""
    return mark(row.source_id, row.target)


def mark(source_id: str, language: str) -> str:
    """The tag of a task; a language tag's case means nothing."""
    task = f"mux\n{source_id}\n{language.lower()}"
    return hashlib.sha256(task.encode()).hexdigest()[:20]


def body(row: Row, track_id: str) -> Json:
    """What a create says: the user's parameters as they are, our tag beside the passthrough."""
    passthrough = {"batchcap": tag(row), "passthrough": row.params.get("passthrough")}
    kept = {key: value for key, value in passthrough.items() if value is not None}
    handed_on = {key: row.params[key] for key in _PARAMETERS if key in row.params}
    return {
        "passthrough": orjson.dumps(kept).decode(),
        "parameters": {
            "asset_id": row.source_id,
            "track_id": track_id,
            "to_language_code": row.language or row.target,
            **handed_on,
        },
    }


def replaces(row: Row) -> bool:
    """Whether the user wants an existing track replaced, so that it is no caption to take."""
    return bool(row.params.get("replace_existing_tracks", "fail") != "fail")


def fitness(job: Job, ours: Container[str], made: Mapping[str, int]) -> tuple[bool, bool, int]:
    """Of several jobs the least: one that gives a caption, ours, the youngest."""
    return job.state not in GOOD, job.id not in ours, -made[job.id or ""]


def sound(job_id: str | None) -> bool:
    """Whether a job can be asked after by its id (Mux's API reference: 1 to 255 characters)."""
    return 0 < len(job_id or "") <= _LONGEST_ID


def tagged(job: Json, mine: str) -> bool:
    """Whether a job's passthrough carries our tag."""
    try:
        return bool(as_object(orjson.loads(text(job.get("passthrough")))).get("batchcap") == mine)
    except orjson.JSONDecodeError:
        return False


def _duration(data: Json) -> float | None:
    """Seconds of a job's life; `updated_at` is when its state changed last (SDK 15.3)."""
    began, ended = whole(data.get("created_at")), whole(data.get("updated_at"))
    return float(ended - began) if 0 < began <= ended else None


def _failure(data: Json) -> Failure:
    """The job's errors; `retryable` may be absent, and then nobody promised anything."""
    listed = data.get("errors")
    errors = [as_object(one) for one in listed] if isinstance(listed, list) else []
    told = "; ".join(
        f"{text(one.get('type'))}: {text(one.get('message')) or text(one.get('messages'))}"
        for one in errors
    )
    retryable = any(one.get("retryable") is True for one in errors)
    return Failure("job_failed", clean(told) or "the job errored without a reason", retryable)
