"""What a webhook event looks like: its body and its signature, by provider.

Mux docs: the header is `mux-signature: t=<unix seconds>,v1=<hex>`, over the time, a
dot and the body. HeyGen docs: hexadecimal HMAC-SHA256 of the body alone, no time.
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


class Notice(msgspec.Struct, frozen=True):
    """One event, before it is sent. The same event has the same id in every run."""

    provider: Provider
    id: str
    when: float
    """The sandbox time of what it tells."""
    body: dict[str, Any]
    followers: int = 0
    """How many events of the same job come after it."""
    last: float = 0.0
    """The sandbox time of the last of those, or its own."""


def event_id(*parts: object) -> str:
    """The id of a Mux event, always the same for the same parts."""
    return str(UUID(hex=random_draws.name(32, "event", *parts)))


def mux_event(
    identifier: str, kind: str, when: float, about: tuple[str, str], data: Any
) -> dict[str, Any]:
    """A Mux event, as every one is wrapped; `about` is the sort and the id of its object."""
    return {
        "type": kind,
        "id": identifier,
        "created_at": _iso(when),
        "object": dict(zip(("type", "id"), about, strict=True)),
        "environment": _ENVIRONMENT,
        "data": data,
        "attempts": [],
        "request_id": None,
        "accessor": None,
        "accessor_source": None,
    }


def heygen_event(kind: str, video_id: str, **fields: str | None) -> dict[str, Any]:
    """A HeyGen event of a translation; it never holds a link to captions."""
    data = {"video_translate_id": video_id, "callback_id": None, **fields}
    return {"event_type": kind, "event_data": data}


def stranger(notice: Notice, seed: int) -> Notice:
    """An event of something in the same account that the receiver never asked for."""
    identifier = event_id(seed, "foreign", notice.id)
    job = random_draws.pick(2, seed, "stranger", notice.id) == 0
    if notice.provider == "mux":
        body = _foreign_mux(identifier, notice.when, job=job)
    else:
        body = _foreign_heygen(identifier, job=job)
    return Notice(notice.provider, identifier, notice.when, body)


def _foreign_mux(identifier: str, when: float, *, job: bool) -> dict[str, Any]:
    name = random_draws.name(24, "foreign", identifier)
    if not job:
        asset = {"id": name, "status": "ready", "duration": 61.0}
        return mux_event(identifier, "video.asset.ready", when, ("asset", name), asset)
    document = {
        "id": f"rjob_{name}",
        "workflow": "translate-captions",
        "status": "completed",
        "units_consumed": 1,
        "created_at": int(when) - 60,
        "updated_at": int(when),
        "parameters": {"asset_id": f"other-{name}", "track_id": "t", "to_language_code": "es"},
        "outputs": {"uploaded_track_id": f"track_{name}"},
    }
    kind = "robots.job.translate_captions.completed"
    return mux_event(identifier, kind, when, ("job", f"rjob_{name}"), document)


def _foreign_heygen(identifier: str, *, job: bool) -> dict[str, Any]:
    name = random_draws.name(32, "foreign", identifier)
    if job:
        return heygen_event("video_translate.success", name, url=None, output_language="fr")
    return {"event_type": "avatar_video.success", "event_data": {"video_id": name, "url": None}}


def tried(
    notice: Notice, number: int, when: float, url: str, status: int | None, most: int
) -> dict[str, Any]:
    """The n-th attempt, from 0, as Mux lists it in those that follow."""
    return {
        "id": event_id("attempt", notice.id, number),
        "address": url,
        "created_at": _iso(when),
        "max_attempts": most,
        "response_status_code": status,
        "response_headers": {},
        "response_body": None,
        "webhook_id": "sandbox",
    }


def sealed(
    notice: Notice, options: SandboxOptions, attempts: list[Any], now: float, *, forged: bool
) -> tuple[bytes, dict[str, str]]:
    """The bytes of one attempt and its headers; a forged one is signed with no one's secret."""
    if notice.provider == "mux":
        body = orjson.dumps({**notice.body, "attempts": attempts})
        secret = options.webhook_secret_mux
        header, stamp = "mux-signature", f"t={int(now)},v1="
        signed = f"{int(now)}.".encode() + body
    else:
        body = signed = orjson.dumps(notice.body)
        secret = options.webhook_secret_heygen
        header, stamp = options.webhook_header, ""
    key = f"not {secret}" if forged else secret
    seal = stamp + hmac.digest(key.encode(), signed, "sha256").hex()
    return body, {header: seal, "content-type": "application/json"}


def _iso(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
