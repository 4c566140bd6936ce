"""Builds the body and the signature of an event, by provider.

Mux docs: the header is `mux-signature: t=<unix seconds>,v1=<hex>`; the signature covers the
time, a dot and the body. HeyGen docs: `Heygen-Signature` is the hexadecimal HMAC-SHA256 of the
body alone; `Heygen-Timestamp` and `Heygen-Event-Id` are not signed. Endpoints of HeyGen's v1 API
get `Signature` alone, and a body without an id and a time.
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
    """Return the id of an event, always the same for the same parts."""
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


def heygen_event(
    identifier: str, event_type: str, time: float, data: dict[str, Any]
) -> dict[str, Any]:
    """Return the body of a HeyGen event. It never contains a link to captions."""
    return {
        "event_id": identifier,
        "event_type": event_type,
        "event_data": data,
        "created_at": _iso(time),
    }


def translation_data(video_id: str, **fields: str | None) -> dict[str, Any]:
    """Return the data of a HeyGen event about a translation."""
    return {"video_translate_id": video_id, "callback_id": None, **fields}


def unrelated_event(event: OutgoingEvent, seed: int) -> OutgoingEvent:
    """Return an event of a job or asset in the same account that batchcap did not create."""
    identifier = event_id(seed, "foreign", event.id)
    is_job = random_draws.integer(2, seed, "stranger", event.id) == 0
    if event.provider == "mux":
        body = _unrelated_mux(identifier, event.time, is_job=is_job)
    else:
        body = _unrelated_heygen(identifier, event.time, is_job=is_job)
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


def _unrelated_heygen(identifier: str, time: float, *, is_job: bool) -> dict[str, Any]:
    name = random_draws.hex_digits(32, "foreign", identifier)
    if is_job:
        data = translation_data(name, url=None, output_language="fr")
        return heygen_event(identifier, "video_translate.success", time, data)
    data = {"video_id": name, "url": None}
    return heygen_event(identifier, "avatar_video.success", time, data)


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
    content_type = {"content-type": "application/json"}
    if event.provider == "mux":
        body = orjson.dumps({**event.body, "attempts": attempts})
        secret = options.webhook_secret_mux
        signature = _hmac(secret, f"{int(now)}.".encode() + body, forged=forged)
        return body, content_type | {"mux-signature": f"t={int(now)},v1={signature}"}
    body, headers = _heygen_content(event, options, now)
    signature = _hmac(options.webhook_secret_heygen, body, forged=forged)
    return body, content_type | headers | {options.webhook_header: signature}


def _heygen_content(
    event: OutgoingEvent, options: SandboxOptions, now: float
) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a HeyGen event, without its signature."""
    if options.webhook_header == "signature":
        names = ("event_type", "event_data")
        return orjson.dumps({name: event.body[name] for name in names}), {}
    headers = {"heygen-timestamp": str(int(now)), "heygen-event-id": event.id}
    return orjson.dumps(event.body), headers


def _hmac(secret: str, message: bytes, *, forged: bool) -> str:
    key = f"not {secret}" if forged else secret
    return hmac.digest(key.encode(), message, "sha256").hex()


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
