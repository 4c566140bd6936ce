"""Acme's events: the job's id and status, signed with HMAC-SHA256 of the body."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from batchcap.domain.models import Job, JobState
from batchcap.transport.response import as_object, as_text
from batchcap.webhooks.event import Webhook, WebhookEvent
from batchcap.webhooks.signing import get_header, has_signature

NAME = "acme"
SIGNATURE = "acme-signature"


def verify(secret: str, headers: Mapping[str, str], body: bytes, _now: float) -> bool:
    """Check the hex signature of the body."""
    return has_signature(secret, body, [get_header(headers, SIGNATURE)])


def read(_headers: Mapping[str, str], body: bytes) -> WebhookEvent | None:
    """Return that a job ended; a poll has to find out how."""
    try:
        event = as_object(orjson.loads(body))
    except orjson.JSONDecodeError:
        return None
    job_id, event_id = as_text(event.get("job")), as_text(event.get("event"))
    if not job_id or not event_id:
        return None
    return WebhookEvent(NAME, event_id, Job(id=job_id, state=JobState.NOT_RUNNING))


WEBHOOK = Webhook(
    provider=NAME,
    secret_variable="ACME_WEBHOOK_SECRET",  # the variable's name
    setup_hint="acme.example, Settings, Webhooks",
    verify=verify,
    read=read,
)
