"""Events as the providers send them, their signatures, and a running receiver for tests."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import aiohttp
import msgspec
import orjson

from batchcap.domain.settings import ListenAddress
from batchcap.providers import PROVIDERS
from batchcap.webhooks.event import EventHandler, Webhook, WebhookEvent
from batchcap.webhooks.receiver import Receiver
from tests.harness.clock import now
from tests.harness.observers import Recorder

SECRETS = {"MUX_WEBHOOK_SECRET": "whsec_mux", "HEYGEN_WEBHOOK_SECRET": "whsec_heygen"}
LINK = "https://files.example/captions.vtt?signature=abc"


def all_webhooks() -> list[Webhook]:
    return [spec.webhook for spec in PROVIDERS.values() if spec.webhook is not None]


def mux_job(job_id: str = "rjob_1", status: str = "completed", **fields: Any) -> dict[str, Any]:
    """Return a job as Mux's guide shows it."""
    outputs = {
        "track_id": "source",
        "uploaded_track_id": "track_1",
        "temporary_vtt_url": LINK,
    }
    return {
        "id": job_id,
        "workflow": "translate-captions",
        "status": status,
        "units_consumed": 2,
        "parameters": {"asset_id": "a", "track_id": "source", "to_language_code": "es"},
        **({"outputs": outputs} if status == "completed" else {}),
        **fields,
    }


def mux_event(status: str = "completed", data: Any = None, **fields: Any) -> dict[str, Any]:
    """Return an event in its envelope, as Mux's webhook guide shows it."""
    return {
        "id": "event-1",
        "type": f"robots.job.translate_captions.{status}",
        "object": {"type": "robots_job", "id": "rjob_1"},
        "data": mux_job(status=status) if data is None else data,
        "attempts": [],
        **fields,
    }


def heygen_event(video_id: Any = "tr_1", result: str = "success") -> dict[str, Any]:
    """Return an event as HeyGen's page of events shows it."""
    if result == "success":
        details = {"url": "https://files2.heygen.ai/v.mp4"}
    else:
        details = {"message": "no"}
    data = {"video_translate_id": video_id, "callback_id": None, "output_language": "es", **details}
    return {"event_type": f"video_translate.{result}", "event_data": data}


def hmac_hex(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def mux_headers(body: bytes, secret: str = "whsec_mux", at: float | None = None) -> dict[str, str]:
    timestamp = int(now() if at is None else at)
    signature = hmac_hex(secret, b"%d." % timestamp + body)
    return {"Mux-Signature": f"t={timestamp},v1={signature}"}


def heygen_headers(body: bytes, secret: str = "whsec_heygen") -> dict[str, str]:
    return {"Heygen-Signature": hmac_hex(secret, body)}


EVENTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "mux": lambda job_id: mux_event(data=mux_job(job_id), id=f"event of {job_id}"),
    "heygen": heygen_event,
}
"""An event that says that a job ended, by provider."""

SIGNERS: dict[str, Callable[..., dict[str, str]]] = {"mux": mux_headers, "heygen": heygen_headers}
"""The headers of a signed event, by provider."""


class ReceiverHarness:
    """A running receiver, the events that it passed on, and a client that sends to it."""

    def __init__(self, receiver: Receiver, recorder: Recorder) -> None:
        self.receiver, self.recorder = receiver, recorder
        self.events: list[WebhookEvent] = []

    async def send(
        self, provider: str, event: Any, headers: dict[str, str] | None = None, **options: Any
    ) -> int:
        """Send an event, signed unless headers are given; returns the status."""
        body = event if isinstance(event, bytes) else orjson.dumps(event)
        if headers is None:
            headers = SIGNERS[provider](body)
        url = f"{self.receiver.url}/webhooks/{provider}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=BytesIO(body), headers=headers, **options) as response,
        ):
            await response.read()
            return response.status

    async def request(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Send a request without a body; returns status and body of the response."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.receiver.url + path) as response,
        ):
            return response.status, await response.read()

    async def health(self) -> dict[str, Any]:
        """Return the document of `GET /health`."""
        status, body = await self.request("/health")
        assert status == 200
        document: dict[str, Any] = orjson.loads(body)
        return document


@asynccontextmanager
async def running_receiver(
    on_event: EventHandler | None = None,
    webhooks: Sequence[Webhook] | None = None,
    secrets: dict[str, str] | None = None,
    clock: Callable[[], float] = now,
    **address: Any,
) -> AsyncIterator[ReceiverHarness]:
    """Start a receiver for every provider on any free port; `address` changes its address."""
    recorder = Recorder()
    harness: ReceiverHarness

    def record(event: WebhookEvent) -> Any:
        harness.events.append(event)
        return on_event(event) if on_event else None

    receiver = Receiver(
        msgspec.structs.replace(ListenAddress("127.0.0.1", 0), **address),
        all_webhooks() if webhooks is None else webhooks,
        SECRETS if secrets is None else secrets,
        record,
        recorder,
        clock,
    )
    harness = ReceiverHarness(receiver, recorder)
    async with receiver:
        yield harness
