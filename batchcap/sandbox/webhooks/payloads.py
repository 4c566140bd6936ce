"""Builds the body and the signature of an event, by provider.

Mux docs: the header is `mux-signature: t=<unix seconds>,v1=<hex>`; the signature covers the
time, a dot and the body. HeyGen docs: hexadecimal HMAC-SHA256 of the body alone, without a
time.
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
import orjson

from batchcap.sandbox import random_draws
from batchcap.sandbox.options import SandboxOptions

Provider = Literal["mux", "heygen"]

_ENVIRONMENT = {"name": "Sandbox", "id": "sandbox"}


class OutgoingEvent(msgspec.Struct, frozen=True):
    """An event before it is sent. The same event has the same id in every run."""

    provider: Provider
    id: str
    time: float
    """The sandbox time of the change that it reports."""
    body: dict[str, Any]
    later_events: int = 0
    """The number of events of the same job that come after it."""
    last_event_at: float = 0.0
    """The sandbox time of the job's last event."""


def event_id(*parts: object) -> str:
    """Return the id of a Mux event, always the same for the same parts."""
    return str(UUID(hex=random_draws.hex_digits(32, "event", *parts)))


def mux_event(
    identifier: str, event_type: str, time: float, subject: tuple[str, str], data: Any
) -> dict[str, Any]:
    """Return the body of a Mux event; `subject` is the type and the id of its object."""
    return {
        "type": event_type,
        "id": identifier,
        "created_at": _iso(time),
        "object": dict(zip(("type", "id"), subject, strict=True)),
        "environment": _ENVIRONMENT,
        "data": data,
        "attempts": [],
        "request_id": None,
        "accessor": None,
        "accessor_source": None,
    }


def heygen_event(event_type: str, video_id: str, **fields: str | None) -> dict[str, Any]:
    """Return the body of a HeyGen event. It never contains a link to captions."""
    data = {"video_translate_id": video_id, "callback_id": None, **fields}
    return {"event_type": event_type, "event_data": data}


def unrelated_event(event: OutgoingEvent, seed: int) -> OutgoingEvent:
    """Return an event of a job or asset in the same account that batchcap did not create."""
    identifier = event_id(seed, "foreign", event.id)
    is_job = random_draws.integer(2, seed, "stranger", event.id) == 0
    if event.provider == "mux":
        body = _unrelated_mux(identifier, event.time, is_job=is_job)
    else:
        body = _unrelated_heygen(identifier, is_job=is_job)
    return OutgoingEvent(event.provider, identifier, event.time, body)


def _unrelated_mux(identifier: str, time: float, *, is_job: bool) -> dict[str, Any]:
    name = random_draws.hex_digits(24, "foreign", identifier)
    if not is_job:
        asset = {"id": name, "status": "ready", "duration": 61.0}
        return mux_event(identifier, "video.asset.ready", time, ("asset", name), asset)
    document = {
        "id": f"rjob_{name}",
        "workflow": "translate-captions",
        "status": "completed",
        "units_consumed": 1,
        "created_at": int(time) - 60,
        "updated_at": int(time),
        "parameters": {"asset_id": f"other-{name}", "track_id": "t", "to_language_code": "es"},
        "outputs": {"uploaded_track_id": f"track_{name}"},
    }
    event_type = "robots.job.translate_captions.completed"
    return mux_event(identifier, event_type, time, ("job", f"rjob_{name}"), document)


def _unrelated_heygen(identifier: str, *, is_job: bool) -> dict[str, Any]:
    name = random_draws.hex_digits(32, "foreign", identifier)
    if is_job:
        return heygen_event("video_translate.success", name, url=None, output_language="fr")
    return {"event_type": "avatar_video.success", "event_data": {"video_id": name, "url": None}}


def attempt_record(
    event: OutgoingEvent,
    number: int,
    time: float,
    url: str,
    status: int | None,
    max_attempts: int,
) -> dict[str, Any]:
    """Return the n-th attempt (from 0) as Mux lists it in the attempts that follow."""
    return {
        "id": event_id("attempt", event.id, number),
        "address": url,
        "created_at": _iso(time),
        "max_attempts": max_attempts,
        "response_status_code": status,
        "response_headers": {},
        "response_body": None,
        "webhook_id": "sandbox",
    }


def sign(
    event: OutgoingEvent, options: SandboxOptions, attempts: list[Any], now: float, *, forged: bool
) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of one attempt; `forged` signs with a wrong secret."""
    if event.provider == "mux":
        body = orjson.dumps({**event.body, "attempts": attempts})
        secret = options.webhook_secret_mux
        header, prefix = "mux-signature", f"t={int(now)},v1="
        signed = f"{int(now)}.".encode() + body
    else:
        body = signed = orjson.dumps(event.body)
        secret = options.webhook_secret_heygen
        header, prefix = options.webhook_header, ""
    key = f"not {secret}" if forged else secret
    signature = prefix + hmac.digest(key.encode(), signed, "sha256").hex()
    return body, {header: signature, "content-type": "application/json"}


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
