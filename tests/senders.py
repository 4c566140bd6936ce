"""Providers that send events, as a test wants them: bodies and their signatures."""

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

from batchcap.providers import PROVIDERS
from batchcap.settings import ListenAddress
from batchcap.webhooks.event import EventHandler, Webhook, WebhookEvent
from batchcap.webhooks.receiver import Receiver
from tests.fakes import Recorder, now

SECRETS = {"MUX_WEBHOOK_SECRET": "whsec_mux", "HEYGEN_WEBHOOK_SECRET": "whsec_heygen"}
LINK = "https://files.example/captions.vtt?signature=abc"


def webhooks() -> list[Webhook]:
    return [spec.webhook for spec in PROVIDERS.values() if spec.webhook is not None]


def mux_job(job_id: str = "rjob_1", word: str = "completed", **fields: Any) -> dict[str, Any]:
    """A job as the guide shows it."""
    outputs = {
        "track_id": "source",
        "uploaded_track_id": "track_1",
        "temporary_vtt_url": LINK,
    }
    return {
        "id": job_id,
        "workflow": "translate-captions",
        "status": word,
        "units_consumed": 2,
        "parameters": {"asset_id": "a", "track_id": "source", "to_language_code": "es"},
        **({"outputs": outputs} if word == "completed" else {}),
        **fields,
    }


def mux_event(word: str = "completed", data: Any = None, **fields: Any) -> dict[str, Any]:
    """An event in its envelope (Mux's webhook guide)."""
    job = mux_job(word=word) if data is None else data
    return {
        "id": "event-1",
        "type": f"robots.job.translate_captions.{word}",
        "object": {"type": "robots_job", "id": "rjob_1"},
        "data": job,
        "attempts": [],
        **fields,
    }


def heygen_event(job_id: Any = "tr_1", kind: str = "success") -> dict[str, Any]:
    """An event as HeyGen's page of events shows it."""
    about = {"video_translate_id": job_id, "callback_id": None, "output_language": "es"}
    told = {"url": "https://files2.heygen.ai/v.mp4"} if kind == "success" else {"message": "no"}
    return {"event_type": f"video_translate.{kind}", "event_data": {**about, **told}}


def hexed(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def mux_headers(body: bytes, secret: str = "whsec_mux", at: float | None = None) -> dict[str, str]:
    stamp = int(now() if at is None else at)
    return {"Mux-Signature": f"t={stamp},v1={hexed(secret, b'%d.' % stamp + body)}"}


def heygen_headers(body: bytes, secret: str = "whsec_heygen") -> dict[str, str]:
    return {"Heygen-Signature": hexed(secret, body)}


EVENTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "mux": lambda job_id: mux_event(data=mux_job(job_id), id=f"event of {job_id}"),
    "heygen": heygen_event,
}
SIGNERS: dict[str, Callable[..., dict[str, str]]] = {"mux": mux_headers, "heygen": heygen_headers}


class Post:
    """A running receiver, what it handed on, and a client to send to it."""

    def __init__(self, receiver: Receiver, recorder: Recorder) -> None:
        self.receiver, self.recorder = receiver, recorder
        self.notices: list[WebhookEvent] = []

    async def send(
        self, name: str, event: Any, headers: dict[str, str] | None = None, **options: Any
    ) -> int:
        """Send one event, signed where no headers are given; returns the status."""
        body = event if isinstance(event, bytes) else orjson.dumps(event)
        given = SIGNERS[name](body) if headers is None else headers
        url = f"{self.receiver.url}/webhooks/{name}"
        async with (
            aiohttp.ClientSession() as client,
            client.post(url, data=BytesIO(body), headers=given, **options) as answer,
        ):
            await answer.read()
            return answer.status

    async def get(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        async with (
            aiohttp.ClientSession() as client,
            client.request(method, self.receiver.url + path) as answer,
        ):
            return answer.status, await answer.read()


@asynccontextmanager
async def receiving(
    deliver: EventHandler | None = None,
    which: Sequence[Webhook] | None = None,
    secrets: dict[str, str] | None = None,
    clock: Callable[[], float] = now,
    **changes: Any,
) -> AsyncIterator[Post]:
    """A receiver of every provider, on any free port."""
    where = msgspec.structs.replace(ListenAddress("127.0.0.1", 0), **changes)
    recorder = Recorder()
    post: Post

    def keep(notice: WebhookEvent) -> Any:
        post.notices.append(notice)
        return deliver(notice) if deliver else None

    made = Receiver(
        where,
        webhooks() if which is None else which,
        SECRETS if secrets is None else secrets,
        keep,
        recorder,
        clock,
    )
    post = Post(made, recorder)
    async with made:
        yield post
