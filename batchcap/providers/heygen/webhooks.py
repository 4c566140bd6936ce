"""HeyGen's webhooks: an event is a hint that a translation has ended.

The signature covers only the body (a timestamp, if one is sent, is not signed), so an old
event can be replayed, and no event has a caption's link. A GET therefore confirms each of
them. Sources are docs.heygen.com (webhook events) and
developers.heygen.com (webhooks). Which header has the signature depends on the kind of
endpoint and on the document, so all of them are read.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from batchcap.domain.models import Job, JobState
from batchcap.providers.heygen.schema import NAME
from batchcap.transport.response import as_object, text
from batchcap.webhooks.event import MAX_ID_LENGTH, Webhook, WebhookEvent
from batchcap.webhooks.signing import get_header, has_signature

_HEADERS = ("heygen-signature", "signature", "x-heygen-signature")
_EVENTS = {"video_translate.success", "video_translate.fail"}
_IDS = ("video_translate_id", "video_translation_id", "video_id")
"""The documented name first; v3's responses use the others for the same id."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, _now: float) -> bool:
    """Check the hex signature of the body in any of the headers that HeyGen may use."""
    return has_signature(
        secret, body, filter(None, (get_header(headers, name) for name in _HEADERS))
    )


def read(body: bytes) -> WebhookEvent | None:
    """That a translation has ended, by `video_translate.success` or `.fail`."""
    try:
        event = as_object(orjson.loads(body))
    except orjson.JSONDecodeError:
        return None
    kind, data = text(event.get("event_type")), as_object(event.get("event_data"))
    job_id = next(filter(None, (text(data.get(name)) for name in _IDS)), "")
    if kind not in _EVENTS or not 0 < len(job_id) <= MAX_ID_LENGTH:
        return None
    return WebhookEvent(NAME, f"{kind}:{job_id}", Job(id=job_id, state=JobState.NOT_RUNNING))


WEBHOOK = Webhook(
    provider=NAME,
    secret_variable="HEYGEN_WEBHOOK_SECRET",  # noqa: S106  # the variable's name
    setup_hint="POST /v3/webhooks/endpoints with the events video_translate.success and .fail; "
    "its answer shows the secret, once",
    verify=verify,
    read=read,
)
