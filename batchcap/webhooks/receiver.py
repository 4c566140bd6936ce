"""The HTTP endpoint that providers send their events to.

It is often reachable from outside, so connections, concurrent requests, requests a second,
bytes and seconds are bounded before anything is read. The signature is verified over the raw
bytes, and the event is acknowledged at once: providers wait for 5 s, and send again what is
not answered with a 2xx (Mux: for 24 h). So an event rejected by a limit is not lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import anyio
import msgspec
import orjson
from aiohttp import hdrs, web
from aiolimiter import AsyncLimiter

from batchcap.domain.errors import BatchcapError, FatalError
from batchcap.domain.events import Warned, WebhookReceived, WebhookRefused
from batchcap.domain.protocols import Observer
from batchcap.domain.settings import ListenAddress
from batchcap.webhooks.bounded_server import SILENT_LOGGER, BoundedServer
from batchcap.webhooks.dedup import RecentIds
from batchcap.webhooks.event import EventHandler, Webhook, WebhookEvent
from batchcap.webhooks.signing import require_secrets

_MAX_BODY = 1 << 20  # bytes; a Mux event with its attempts has a few thousand
_BODY_TIMEOUT = 5.0  # seconds for the body of a request to arrive
_STORE_TIMEOUT = 4.0  # seconds for the handler, within the 5 that the provider waits

_MAX_CONNECTIONS = 256
_MAX_CONCURRENT = 64  # requests
_MAX_RATE = 1000.0  # requests a second

_KEEPALIVE_TIMEOUT = 75.0
"""Seconds for the head of a request, and between two requests. Longer than proxies keep an idle
connection, so that a proxy never sends on a connection that is just being closed."""

_LINGER = 1.0
_SHUTDOWN_TIMEOUT = 5.0  # seconds for open requests to end when the receiver stops
_REMEMBERED_IDS = 10_000
_WARN_INTERVAL = 60.0  # seconds between two warnings of the same kind

_NO_HEADERS: Mapping[str, str] = {}
_RETRY_AFTER = {"Retry-After": "1"}
_ALLOW_POST = {"Allow": "POST, OPTIONS"}
_ALLOW_GET = {"Allow": "GET, HEAD"}


class Counts(msgspec.Struct):
    """Numbers of events by result, for `GET /health` and the screen."""

    received: int = 0
    bad_signature: int = 0
    duplicates: int = 0
    unrelated: int = 0
    """Signed, but not about a translation of captions."""
    rejected: int = 0
    """Too many, too large, too slow, or not stored: the provider sends them again."""


class Receiver:
    """Receives events while its `async with` block runs, and passes new ones to a handler.

    Every event is passed to `on_event` once, in order of arrival; duplicates are recognised
    among the last 10,000 events. If the handler raises or takes longer than 4 s, the response
    is 503, and the event is passed on again when the provider repeats it. Events of a provider
    whose secret is not set are passed on as untrusted.

    Leaving the block lets open requests end, for at most 5 s.

    Raises:
        UsageError: a signing secret is missing (see `require_secrets`).
        FatalError: on entering, if the address cannot be bound.
    """

    def __init__(
        self,
        listening: ListenAddress,
        webhooks: Sequence[Webhook],
        secrets: Mapping[str, str],
        on_event: EventHandler,
        observer: Observer,
        now: Callable[[], float],
    ) -> None:
        require_secrets(webhooks, secrets, listening)
        self.counts = Counts()
        self.url = ""
        """The URL it listens on; empty before the block is entered."""
        self._listening, self._secrets = listening, secrets
        self._on_event, self._observer, self._now = on_event, observer, now
        self._routes = {f"/webhooks/{webhook.provider}": webhook for webhook in webhooks}
        self._public_path = urlsplit(listening.public_url or "").path
        self._recent_ids = RecentIds(_REMEMBERED_IDS)
        self._next_warning_at: dict[str, float] = {}
        self._open_requests = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._is_stopping = False

    def endpoints(self) -> dict[str, str]:
        """Return the URL to register at each provider: the public one if it is known."""
        base = self._listening.public_url or self.url
        return {webhook.provider: base + path for path, webhook in self._routes.items()}

    async def __aenter__(self) -> Self:
        self._limiter = AsyncLimiter(_MAX_RATE, 1)
        server = BoundedServer(
            self._serve,
            max_connections=_MAX_CONNECTIONS,
            access_log=None,
            auto_decompress=False,  # the signature covers the bytes that were sent
            keepalive_timeout=_KEEPALIVE_TIMEOUT,
            lingering_time=_LINGER,
            logger=SILENT_LOGGER,  # aiohttp would log what strangers send
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_LINGER)
        await self._runner.setup()
        await self._bind(self._listening.host, self._listening.port)
        return self

    async def _bind(self, host: str, port: int) -> None:
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise FatalError(
                f"cannot listen on {host}:{port}: {error.strerror or error}",
                hint="Another batchcap may use the port: runs without --listen read the inbox "
                "of batchcap listen. Port 0 is any free one.",
            ) from None
        url_host = f"[{host}]" if ":" in host else host
        self.url = f"http://{url_host}:{self._runner.addresses[0][1]}"

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_stopping = True
        # After an error or a second Ctrl-C, open requests are not waited for.
        timeout = 0.0 if error_type is not None else _SHUTDOWN_TIMEOUT
        with anyio.CancelScope(shield=True):
            for site in self._runner.sites:
                await site.stop()
            with anyio.move_on_after(timeout):
                await self._is_idle.wait()
            await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.rstrip("/")
        if path not in self._routes:  # a proxy may pass on the public path unchanged
            path = path.removeprefix(self._public_path)
        webhook = self._routes.get(path)
        if webhook is not None:
            response = await self._serve_webhook(webhook, request)
        elif path != "/health":
            response = _response(404)
        elif request.method in {"GET", "HEAD"}:
            response = self._serve_health()
        else:
            response = _response(405, _ALLOW_GET)
        if self._is_stopping:
            response.force_close()
        return response

    def _serve_health(self) -> web.StreamResponse:
        document = {"status": "ok", **msgspec.to_builtins(self.counts)}
        return _response(200, body=orjson.dumps(document))

    async def _serve_webhook(
        self, webhook: Webhook, request: web.BaseRequest
    ) -> web.StreamResponse:
        if request.method == "OPTIONS":  # HeyGen checks with it that the endpoint exists
            return _response(200, _ALLOW_POST)
        if request.method != "POST":
            return _response(405, _ALLOW_POST)
        if self._open_requests >= _MAX_CONCURRENT:
            return self._reject(503)
        if not self._limiter.has_capacity():
            return self._reject(429)
        await self._limiter.acquire()
        self._open_requests += 1
        self._is_idle.clear()
        try:
            return await self._receive(webhook, request)
        finally:
            self._open_requests -= 1
            if not self._open_requests:
                self._is_idle.set()

    async def _receive(self, webhook: Webhook, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = await _read_body(request)
        except _TooLargeError:
            return self._reject(413)
        except TimeoutError:
            return self._reject(408)
        except (web.RequestPayloadError, ConnectionError):
            return self._reject(400)
        secret = self._secrets.get(webhook.secret_variable)
        if secret and not webhook.verify(secret, request.headers, body, self._now()):
            return self._refuse_signature(webhook)
        event = webhook.read(request.headers, body)
        if event is None:
            self.counts.unrelated += 1
            return _response(200)
        return await self._dispatch(event if secret else event.as_untrusted())

    async def _dispatch(self, event: WebhookEvent) -> web.StreamResponse:
        """Pass an event to the handler, unless it is a duplicate."""
        identity = event.provider, event.event_id
        if identity in self._recent_ids:
            self.counts.duplicates += 1
            return _response(200)
        try:
            async with asyncio.timeout(_STORE_TIMEOUT):
                awaitable = self._on_event(event)
                if awaitable is not None:
                    await awaitable
        except (BatchcapError, TimeoutError) as error:
            reason = error.message if isinstance(error, BatchcapError) else "the disk is too slow"
            self._warn("store", f"webhooks cannot be stored: {reason}")
            return self._reject(503)
        self._recent_ids.add(identity)
        self.counts.received += 1
        self._observer(WebhookReceived(event.provider, event.job.id or ""))
        return _response(200)

    def _refuse_signature(self, webhook: Webhook) -> web.StreamResponse:
        self.counts.bad_signature += 1
        self._observer(WebhookRefused(webhook.provider))
        self._warn(
            webhook.provider,
            f"{webhook.provider}: refused a webhook without a valid signature "
            f"({self.counts.bad_signature} so far). Is {webhook.secret_variable} the secret of "
            "this endpoint, and is this machine's clock right?",
        )
        return _response(401)

    def _reject(self, status: int) -> web.StreamResponse:
        self.counts.rejected += 1
        return _response(status, _RETRY_AFTER if status in {429, 503} else _NO_HEADERS)

    def _warn(self, subject: str, message: str) -> None:
        """Show a warning, at most once per `_WARN_INTERVAL` and subject."""
        now = asyncio.get_running_loop().time()
        if now >= self._next_warning_at.get(subject, now):
            self._next_warning_at[subject] = now + _WARN_INTERVAL
            self._observer(Warned(message))


class _TooLargeError(Exception):
    """A body above the limit."""


async def _read_body(request: web.BaseRequest) -> bytes:
    """Return the body as it was sent.

    Raises:
        _TooLargeError: the body is larger than `_MAX_BODY`.
        TimeoutError: the body did not arrive in time.
        RequestPayloadError: the chunks are malformed.
        ConnectionError: the client closed the connection.
    """
    if (request.content_length or 0) > _MAX_BODY:
        raise _TooLargeError
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # as aiohttp's own handler does before the response
    body = bytearray()
    async with asyncio.timeout(_BODY_TIMEOUT):
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > _MAX_BODY:
                raise _TooLargeError
    return bytes(body)


def _response(
    status: int, headers: Mapping[str, str] = _NO_HEADERS, body: bytes = b""
) -> web.StreamResponse:
    content_type = "application/json" if body else None
    response = web.Response(status=status, headers=headers, body=body, content_type=content_type)
    response.headers[hdrs.SERVER] = "batchcap"
    return response
