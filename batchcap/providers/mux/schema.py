"""The fields of Mux's jobs and creates: what they mean, and which job belongs to which row."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping

import orjson

from batchcap.domain.events import Warned
from batchcap.domain.languages import canonical
from batchcap.domain.models import Failure, Job, JobState, Json, Row
from batchcap.domain.protocols import Observer
from batchcap.transport.response import as_count, as_object, as_text, error_message, sanitize

NAME = "mux"
DASHBOARDS = frozenset({"dashboard.mux.com", "mux.com", "www.mux.com"})
CREDENTIALS = ("MUX_TOKEN_ID", "MUX_TOKEN_SECRET")

_STATES = {
    "pending": JobState.RUNNING,
    "processing": JobState.RUNNING,
    "completed": JobState.COMPLETED,
    "errored": JobState.ERRORED,
    "cancelled": JobState.CANCELLED,
}
LIVE = (JobState.RUNNING, JobState.COMPLETED)

_PARAMETERS = ("upload_to_mux", "never_translate", "track_name", "replace_existing_tracks")
_MAX_ID_LENGTH = 255
MAX_PASSTHROUGH = 255
"""Mux documents no limit; its own integrations stay under 255 characters."""


class ResponseParser:
    """Parses Mux's jobs. Unknown values never raise."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._unknown: set[str] = set()

    def job(self, data: Json, job_id: str | None = None) -> Job:
        """Return the job that a detail or a summary describes."""
        status = as_text(data.get("status"))
        outputs = as_object(data.get("outputs"))
        state = self.state(status)
        return Job(
            id=as_text(data.get("id")) or job_id,
            state=state,
            link=as_text(outputs.get("temporary_vtt_url")) or None,
            track=as_text(outputs.get("uploaded_track_id")) or None,
            failure=_failure(data) if state is JobState.ERRORED else None,
            units=as_count(data.get("units_consumed")),
            duration=_duration(data) if state is not JobState.RUNNING else None,
        )

    def state(self, status: str) -> JobState:
        """Return what a status means. An unknown one counts as running, with one warning."""
        if status not in _STATES and status not in self._unknown:
            self._unknown.add(status)
            self._observer(
                Warned(f"mux: unknown job status {sanitize(status)!r}; treating it as running")
            )
        return _STATES.get(status, JobState.RUNNING)


def tag(row: Row) -> str:
    """Return the mark of our creates in `passthrough`, always the same for the same task."""
    return mark(row.source_id, row.target)


def mark(source_id: str, language: str) -> str:
    """Return the tag of a task. The spelling of a language tag does not matter."""
    task = f"{NAME}\n{source_id}\n{canonical(language)}"
    return hashlib.sha256(task.encode()).hexdigest()[:20]


def body(row: Row, track_id: str) -> Json:
    """Return the body of a create: the user's parameters, and our tag beside the passthrough."""
    handed_on = {key: row.params[key] for key in _PARAMETERS if key in row.params}
    return {
        "passthrough": passthrough(tag(row), row.params.get("passthrough")),
        "parameters": {
            "asset_id": row.source_id,
            "track_id": track_id,
            "to_language_code": row.language or row.target,
            **handed_on,
        },
    }


def passthrough(own_tag: str, users: str | None) -> str:
    """Return the passthrough of a create: our tag, and the user's own text if there is any."""
    values = {"batchcap": own_tag} if users is None else {"batchcap": own_tag, "passthrough": users}
    return orjson.dumps(values).decode()


def replaces(row: Row) -> bool:
    """Return whether the user wants an existing track replaced, so it must not be used."""
    return bool(row.params.get("replace_existing_tracks", "fail") != "fail")


def preference(
    job: Job, tagged: Container[str], created_at: Mapping[str, int]
) -> tuple[bool, bool, int]:
    """Return a sort key: jobs that give a caption first, then tagged, then the youngest."""
    return job.state not in LIVE, job.id not in tagged, -created_at[job.id or ""]


def is_valid_id(job_id: str | None) -> bool:
    """Return whether an id has 1 to 255 characters, as Mux's API reference says."""
    return 0 < len(job_id or "") <= _MAX_ID_LENGTH


def has_tag(job: Json, own_tag: str) -> bool:
    """Return whether a job's passthrough has our tag."""
    try:
        return bool(
            as_object(orjson.loads(as_text(job.get("passthrough")))).get("batchcap") == own_tag
        )
    except orjson.JSONDecodeError:
        return False


def _duration(data: Json) -> float | None:
    """Return how long a job took; `updated_at` is when its state last changed (SDK 15.3)."""
    began, ended = as_count(data.get("created_at")), as_count(data.get("updated_at"))
    return float(ended - began) if 0 < began <= ended else None


def _failure(data: Json) -> Failure:
    """Return the job's errors. It is retryable only if `retryable` is there and true."""
    listed = data.get("errors")
    errors = [as_object(error) for error in listed] if isinstance(listed, list) else []
    message = "; ".join(f"{as_text(error.get('type'))}: {error_message(error)}" for error in errors)
    retryable = any(error.get("retryable") is True for error in errors)
    return Failure(
        "job_failed", sanitize(message, DASHBOARDS) or "the job errored without a reason", retryable
    )
