"""Mux's events: what they say of a translate-captions job.

Sources are Mux's webhook guide and reference, and its SDK @mux/mux-node 15.3
(`resources/webhooks`), where the signature is checked the same way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson

from batchcap.answers import as_object, text
from batchcap.model import Job, JobState, Json
from batchcap.providers.mux.schema import Words, sound
from batchcap.webhooks.event import Webhook, WebhookEvent
from batchcap.webhooks.signing import get_header, has_signature

_NAME = "mux"
_TOLERANCE = 300
"""Seconds after which a signature is too old, as in Mux's SDK; one from the future passes."""

_EVENT = re.compile(r"robots\.(?:v1\.)?job\.(translate_captions)\.([a-z]+)")
"""v0 and v1. An event has the name of the version that made its job."""

_STATES = {"pending", "processing", "completed", "errored", "cancelled"}


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Check `mux-signature: t=SECONDS,v1=HEX[,v1=HEX...]`, over "SECONDS.BODY"."""
    fields = [
        part.strip().partition("=") for part in get_header(headers, "mux-signature").split(",")
    ]
    stamps = [value for name, _, value in fields if name == "t"]
    if len(stamps) != 1 or not re.fullmatch(r"[0-9]{1,12}", stamps[0]):
        return False
    told = [value for name, _, value in fields if name == "v1"]
    fresh = now - int(stamps[0]) <= _TOLERANCE
    return has_signature(secret, stamps[0].encode() + b"." + body, told) and fresh


def read(body: bytes) -> WebhookEvent | None:
    """The job of a `robots.job.translate_captions.*` event, in full where it carries that.

    One that completed without saying where its captions are has ended, and has to be
    looked at.
    """
    event = _loaded(body)
    kind = text(event.get("type"))
    match = _EVENT.fullmatch(kind)
    if match is None or match[2] not in _STATES:
        return None
    data = _unwrapped(as_object(event.get("data")))
    job_id = text(data.get("id")) or text(as_object(event.get("object")).get("id"))
    workflow = match[1].replace("_", "-")
    if not sound(job_id) or text(data.get("workflow")) not in {"", workflow}:
        return None
    event_id = text(event.get("id"))
    named = event_id if sound(event_id) else f"{kind}:{job_id}"
    return WebhookEvent(_NAME, named, _told(data, job_id, match[2]))


def _loaded(body: bytes) -> Json:
    try:
        return as_object(orjson.loads(body))
    except orjson.JSONDecodeError:
        return {}


def _unwrapped(data: Json) -> Json:
    """The job, which the SDK's types nest under the event's name and the guide does not."""
    names = [name for name in data if name.startswith("robots.")]
    return as_object(data[names[0]]) if len(names) == 1 else data


def _told(data: Json, job_id: str, word: str) -> Job:
    """A job by the event's word and its own: the later one counts, and doubt is looked at."""
    words = {word, text(data.get("status"))} & _STATES
    read_as = Words(lambda _event: None)
    ends = {one for one in words if read_as.state(one) is not JobState.RUNNING}
    if not ends:
        return Job(id=job_id, state=JobState.RUNNING)
    job = read_as.job({**data, "status": ends.pop()}, job_id)
    bare = job.state is JobState.COMPLETED and job.link is None and job.track is None
    return Job(id=job_id, state=JobState.ENDED) if ends or bare else job


WEBHOOK = Webhook(
    provider=_NAME,
    secret_variable="MUX_WEBHOOK_SECRET",  # noqa: S106  # the variable's name
    setup_hint="dashboard.mux.com, Settings, Webhooks, in the environment of the access token",
    verify=verify,
    read=read,
)
