"""The endpoint that providers send their events to.

Reachable from outside, often, so everything that comes is bounded before it is looked at:
connections, requests at once and a second, bytes, seconds. What passes is verified over the
raw bytes and acknowledged at once; the providers wait for 5 s, and send again what is not
answered with a 2xx (Mux: for 24 h). So a refusal for want of room loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import anyio
import msgspec
import orjson
from aiohttp import hdrs, web
from aiolimiter import AsyncLimiter

from batchcap.errors import BatchcapError, FatalError
from batchcap.events import Warned, WebhookReceived, WebhookRefused
from batchcap.interfaces import Observer
from batchcap.settings import Listening
from batchcap.webhooks.dedup import RecentIds
from batchcap.webhooks.event import EventHandler, Webhook, WebhookEvent
from batchcap.webhooks.signing import require_secrets

_LARGEST = 1 << 20
"""Bytes of a body. A Mux event with its attempts has a few thousand."""

_PATIENCE = 5.0
"""Seconds for a body to arrive."""

_KEEPING = 4.0
"""Seconds for an event to be kept, within the 5 that the provider waits."""

_CONNECTIONS, _AT_ONCE, _RATE = 256, 64, 1000.0
"""The most of each: connections, requests at once, requests a second."""

_IDLE = 75.0
"""Seconds for a request's head, and between two requests: longer than proxies keep an idle
connection, so that they never send on one that is just being closed."""

_LINGER = 1.0
_GRACE = 5.0
"""Seconds that requests in the air get when the receiver stops."""

_REMEMBERED = 10_000
"""Events known by their ids, so that a second delivery is told nobody."""

_SELDOM = 60.0
"""Seconds between two warnings of the same kind."""

_SILENT = logging.Logger("batchcap.webhooks", logging.CRITICAL + 1)
_NO_HEADERS: Mapping[str, str] = {}
_AGAIN = {"Retry-After": "1"}
_POSTS = {"Allow": "POST, OPTIONS"}
_GETS = {"Allow": "GET, HEAD"}


class Counts(msgspec.Struct):
    """What came: for `GET /health`, and for lines on the screen."""

    received: int = 0
    refused: int = 0
    """Without a good signature."""
    duplicates: int = 0
    unknown: int = 0
    """Genuine, and about something else than a translation of captions."""
    rejected: int = 0
    """Too many, too large, too slow, or not kept: the provider sends them again."""


class Receiver:
    """Receives events for as long as its block runs, and hands on what is news.

    Entering binds the address and raises `FatalError` where that cannot be. Leaving lets
    requests in the air end, for at most 5 s. Building one raises as `require_secrets`
    does. Events of a provider whose secret is not there are handed on as hearsay.

    `deliver` gets each notice once, as far as the last 10,000 go, in the order in which
    they came; an event that it could not keep is answered 503, and told again.
    """

    def __init__(
        self,
        listening: Listening,
        webhooks: Sequence[Webhook],
        secrets: Mapping[str, str],
        deliver: EventHandler,
        observer: Observer,
        now: Callable[[], float],
    ) -> None:
        require_secrets(webhooks, secrets, listening)
        self.counts = Counts()
        self.url = ""
        """Where it listens, once it does."""
        self._listening, self._secrets = listening, secrets
        self._deliver, self._observer, self._now = deliver, observer, now
        self._routes = {f"/webhooks/{one.provider}": one for one in webhooks}
        self._prefix = urlsplit(listening.public_url or "").path
        self._known = RecentIds(_REMEMBERED)
        self._warned: dict[str, float] = {}
        self._at_work = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    def endpoints(self) -> dict[str, str]:
        """What to enter at each provider, by its name: public where that is known."""
        base = self._listening.public_url or self.url
        return {webhook.provider: base + path for path, webhook in self._routes.items()}

    async def __aenter__(self) -> Self:
        self._limiter = AsyncLimiter(_RATE, 1)
        server = _Server(
            self._serve,
            access_log=None,
            auto_decompress=False,  # signatures are over what was sent
            keepalive_timeout=_IDLE,
            lingering_time=_LINGER,
            logger=_SILENT,  # it would quote what strangers send
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_LINGER)
        await self._runner.setup()
        host, port = self._listening.host, self._listening.port
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise FatalError(
                f"cannot listen on {host}:{port}: {error.strerror or error}",
                hint="Another batchcap may have it: runs without --listen read the inbox of "
                "`batchcap listen`. Port 0 is any free one.",
            ) from None
        named = f"[{host}]" if ":" in host else host
        self.url = f"http://{named}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping = True
        grace = 0.0 if kind is not None else _GRACE  # a second Ctrl-C waits for nobody
        with anyio.CancelScope(shield=True):
            for site in self._runner.sites:
                await site.stop()
            with anyio.move_on_after(grace):
                await self._idle.wait()
            await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.rstrip("/")
        if path not in self._routes:  # a proxy may hand on the public path as it is
            path = path.removeprefix(self._prefix)
        webhook = self._routes.get(path)
        if webhook is not None:
            response = await self._endpoint(webhook, request)
        elif path != "/health":
            response = _answer(404)
        elif request.method in {"GET", "HEAD"}:
            response = self._health()
        else:
            response = _answer(405, _GETS)
        if self._stopping:
            response.force_close()
        return response

    def _health(self) -> web.StreamResponse:
        shown = {"status": "ok", **msgspec.to_builtins(self.counts)}
        return _answer(200, body=orjson.dumps(shown))

    async def _endpoint(self, webhook: Webhook, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "OPTIONS":  # HeyGen asks so whether an endpoint is there
            return _answer(200, _POSTS)
        if request.method != "POST":
            return _answer(405, _POSTS)
        if self._at_work >= _AT_ONCE:
            return self._rejected(503)
        if not self._limiter.has_capacity():
            return self._rejected(429)
        await self._limiter.acquire()
        self._at_work += 1
        self._idle.clear()
        try:
            return await self._posted(webhook, request)
        finally:
            self._at_work -= 1
            if not self._at_work:
                self._idle.set()

    async def _posted(self, webhook: Webhook, request: web.BaseRequest) -> web.StreamResponse:
        try:
            body = await _body(request)
        except _TooLargeError:
            return self._rejected(413)
        except TimeoutError:
            return self._rejected(408)
        except (web.RequestPayloadError, ConnectionError):
            return self._rejected(400)
        secret = self._secrets.get(webhook.secret_variable)
        if secret and not webhook.verify(secret, request.headers, body, self._now()):
            return self._refused(webhook)
        notice = webhook.read(body)
        if notice is None:
            self.counts.unknown += 1
            return _answer(200)
        return await self._told(notice if secret else notice.as_untrusted())

    async def _told(self, notice: WebhookEvent) -> web.StreamResponse:
        event = notice.provider, notice.event_id
        if event in self._known:
            self.counts.duplicates += 1
            return _answer(200)
        try:
            async with asyncio.timeout(_KEEPING):
                keeping = self._deliver(notice)
                if keeping is not None:
                    await keeping
        except (BatchcapError, TimeoutError) as error:
            why = error.message if isinstance(error, BatchcapError) else "the disk is too slow"
            self._warn("keeping", f"webhooks are not taken: {why}")
            return self._rejected(503)
        self._known.add(event)
        self.counts.received += 1
        self._observer(WebhookReceived(notice.provider, notice.job.id or ""))
        return _answer(200)

    def _refused(self, webhook: Webhook) -> web.StreamResponse:
        self.counts.refused += 1
        self._observer(WebhookRefused(webhook.provider))
        self._warn(
            webhook.provider,
            f"{webhook.provider}: a webhook without a good signature was refused "
            f"({self.counts.refused} so far). Is {webhook.secret_variable} the secret of this "
            "endpoint, and is this machine's clock right?",
        )
        return _answer(401)

    def _rejected(self, status: int) -> web.StreamResponse:
        self.counts.rejected += 1
        return _answer(status, _AGAIN if status in {429, 503} else _NO_HEADERS)

    def _warn(self, kind: str, message: str) -> None:
        """Tell a person, but not with every event."""
        now = asyncio.get_running_loop().time()
        if now >= self._warned.get(kind, now):
            self._warned[kind] = now + _SELDOM
            self._observer(Warned(message))


class _Server(web.Server):
    """Lets so many in and no more: each connection is a file that the run cannot open."""

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self.connections) > _CONNECTIONS:
            asyncio.get_running_loop().call_soon(
                transport.abort
            )  # not before the handler is at work


class _TooLargeError(Exception):
    """A body above the limit."""


async def _body(request: web.BaseRequest) -> bytes:
    """The body as it was sent.

    Raises `_TooLargeError`, `TimeoutError`, `RequestPayloadError` for broken chunks, and
    `ConnectionError` where nobody waits for the answer any more.
    """
    if (request.content_length or 0) > _LARGEST:
        raise _TooLargeError
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # as aiohttp's own handler does: the answer is to come
    body = bytearray()
    async with asyncio.timeout(_PATIENCE):
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > _LARGEST:
                raise _TooLargeError
    return bytes(body)


def _answer(
    status: int, headers: Mapping[str, str] = _NO_HEADERS, body: bytes = b""
) -> web.StreamResponse:
    kind = "application/json" if body else None
    response = web.Response(status=status, headers=headers, body=body, content_type=kind)
    response.headers[hdrs.SERVER] = "batchcap"
    return response
