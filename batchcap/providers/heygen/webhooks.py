"""HeyGen's webhooks: an event is a hint that a translation has ended.

The signature covers only the body. `Heygen-Timestamp` is not signed, so it does not prove that
an event is new, and it is ignored: an event can be replayed at any time. No event has a link to
captions either. A GET therefore confirms every event. Sources are developers.heygen.com
(webhooks) and, for older endpoints, docs.heygen.com (webhook events).
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from batchcap.domain.models import Job, JobState, Json
from batchcap.providers.heygen.schema import NAME
from batchcap.transport.response import as_object, as_text
from batchcap.webhooks.event import MAX_ID_LENGTH, Webhook, WebhookEvent
from batchcap.webhooks.signing import get_header, has_signature

_SIGNATURE_HEADERS = ("heygen-signature", "signature", "x-heygen-signature")
"""`Signature` is the header of endpoints that were registered with the v1 API."""

_EVENTS = ("video_translate.success", "video_translate.fail", "video_translate.preflight.")
"""How the types of events begin that report an end. Which checks a preflight has may change."""
_IDS = ("video_translate_id", "video_translation_id", "translation_id", "video_id", "id")
"""The documented name first; v3's responses use others for the same id. The payload of preflight
events is not documented. An id of something else costs nothing: a GET confirms every event."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, _now: float) -> bool:
    """Check the hex signature of the body in any of the headers that HeyGen may use."""
    return has_signature(
        secret, body, filter(None, (get_header(headers, name) for name in _SIGNATURE_HEADERS))
    )


def read(headers: Mapping[str, str], body: bytes) -> WebhookEvent | None:
    """Return that a translation may have ended, or None for events of other kinds."""
    try:
        event = as_object(orjson.loads(body))
    except orjson.JSONDecodeError:
        return None
    kind, data = as_text(event.get("event_type")), as_object(event.get("event_data"))
    places = (data, *map(as_object, data.values()), event)
    job_id = next(filter(None, (as_text(place.get(n)) for place in places for n in _IDS)), "")
    if not kind.startswith(_EVENTS) or not 0 < len(job_id) <= MAX_ID_LENGTH:
        return None
    event_id = _event_id(headers, event) or f"{kind}:{job_id}"
    return WebhookEvent(NAME, event_id, Job(id=job_id, state=JobState.NOT_RUNNING))


def _event_id(headers: Mapping[str, str], event: Json) -> str:
    """Return the event's id; "" if it has none, as at older endpoints.

    The body's comes first, because it is signed and the header's is not.
    """
    ids = as_text(event.get("event_id")), get_header(headers, "heygen-event-id")
    return next(
        (
            value
            for value in ids
            if 0 < len(value) <= MAX_ID_LENGTH and value.isascii() and value.isprintable()
        ),
        "",
    )


WEBHOOK = Webhook(
    provider=NAME,
    secret_variable="HEYGEN_WEBHOOK_SECRET",  # noqa: S106  # the variable's name
    setup_hint="POST /v3/webhooks/endpoints with the events video_translate.success, .fail, "
    ".preflight.download_failed and .preflight.validation_failed; its response shows the "
    "secret, once",
    verify=verify,
    read=read,
)
