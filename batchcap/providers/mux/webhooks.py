"""Mux's webhooks: events about translate-captions jobs.

Sources are Mux's webhook guide and reference, and its SDK @mux/mux-node 15.3
(`resources/webhooks`), where the signature is checked the same way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson

from batchcap.domain.models import Job, JobState, Json
from batchcap.providers.mux.schema import NAME, ResponseParser, is_valid_id
from batchcap.transport.response import as_object, as_text
from batchcap.webhooks.event import Webhook, WebhookEvent
from batchcap.webhooks.signing import get_header, has_signature

_TOLERANCE = 300
"""Seconds after which a signature is too old, as in Mux's SDK. One from the future passes."""

_EVENT = re.compile(r"robots\.(?:v1\.)?job\.(translate_captions)\.([a-z]+)")
"""Events of v0 and v1; an event has the name of the version that created its job."""

_STATES = {"pending", "processing", "completed", "errored", "cancelled"}


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Check `mux-signature: t=SECONDS,v1=HEX[,v1=HEX...]`, over "SECONDS.BODY"."""
    fields = [
        part.strip().partition("=") for part in get_header(headers, "mux-signature").split(",")
    ]
    stamps = [value for name, _, value in fields if name == "t"]
    if len(stamps) != 1 or not re.fullmatch(r"[0-9]{1,12}", stamps[0]):
        return False
    signatures = [value for name, _, value in fields if name == "v1"]
    fresh = now - int(stamps[0]) <= _TOLERANCE
    return has_signature(secret, stamps[0].encode() + b"." + body, signatures) and fresh


def read(_headers: Mapping[str, str], body: bytes) -> WebhookEvent | None:
    """Return the job of a `robots.job.translate_captions.*` event.

    The job is only `NOT_RUNNING` if the event does not say where its captions are.
    """
    event = _loaded(body)
    event_type = as_text(event.get("type"))
    match = _EVENT.fullmatch(event_type)
    if match is None or match[2] not in _STATES:
        return None
    data = _unwrapped(as_object(event.get("data")))
    job_id = as_text(data.get("id")) or as_text(as_object(event.get("object")).get("id"))
    workflow = match[1].replace("_", "-")
    if not is_valid_id(job_id) or as_text(data.get("workflow")) not in {"", workflow}:
        return None
    event_id = as_text(event.get("id"))
    named = event_id if is_valid_id(event_id) else f"{event_type}:{job_id}"
    return WebhookEvent(NAME, named, _event_job(data, job_id, match[2]))


def _loaded(body: bytes) -> Json:
    try:
        return as_object(orjson.loads(body))
    except orjson.JSONDecodeError:
        return {}


def _unwrapped(data: Json) -> Json:
    """Return the job, which the SDK's types nest under the event's name and the guide does not."""
    names = [name for name in data if name.startswith("robots.")]
    return as_object(data[names[0]]) if len(names) == 1 else data


def _event_job(data: Json, job_id: str, status: str) -> Job:
    """Return the job by the status of the event and its own; if they differ, only `NOT_RUNNING`."""
    statuses = {status, as_text(data.get("status"))} & _STATES
    parser = ResponseParser(lambda _event: None)
    ends = {name for name in statuses if parser.state(name) is not JobState.RUNNING}
    if not ends:
        return Job(id=job_id, state=JobState.RUNNING)
    job = parser.job({**data, "status": ends.pop()}, job_id)
    bare = job.state is JobState.COMPLETED and job.link is None and job.track is None
    return Job(id=job_id, state=JobState.NOT_RUNNING) if ends or bare else job


WEBHOOK = Webhook(
    provider=NAME,
    secret_variable="MUX_WEBHOOK_SECRET",  # noqa: S106  # the variable's name
    setup_hint="dashboard.mux.com, Settings, Webhooks, in the environment of the access token",
    verify=verify,
    read=read,
)
