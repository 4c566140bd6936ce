"""The sandbox as a server: one port, all hosts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from time import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from aiohttp import web

from batchcap.sandbox import http_delivery
from batchcap.sandbox.clock import Clock
from batchcap.sandbox.control import Control
from batchcap.sandbox.heygen.cdn_host import Files2
from batchcap.sandbox.heygen.heygen_api import HeyGen
from batchcap.sandbox.http_types import Answer, Call, Route, as_html
from batchcap.sandbox.mux.jobs import JobBook
from batchcap.sandbox.mux.mux_host import Mux
from batchcap.sandbox.mux.storage_host import Storage
from batchcap.sandbox.mux.stream_host import Stream
from batchcap.sandbox.options import SandboxOptions
from batchcap.sandbox.random_draws import pick
from batchcap.sandbox.request_log import Leak, RequestLog
from batchcap.sandbox.state_file import State
from batchcap.sandbox.webhooks.delivery import Webhooks
from batchcap.sandbox.webhooks.job_events import HeyGenNotices, MuxNotices
from batchcap.sandbox.webhooks.payloads import Notice
from batchcap.sandbox.world import Host, Scene

_FLUSH_AFTER = 0.2
"""Loop seconds between a request and the save of what it changed."""

_LONGEST_LINE = 65536
"""Bytes of a request line: a hundred ids of any length in one query fit in."""

_SHUTDOWN = 0.5
"""Loop seconds that requests in the air get when the server stops."""

_NOTHING = Answer(0)

_CANNED: Mapping[str, Answer] = {
    "html_error": as_html(502, "502 Bad Gateway"),
    "empty_error": Answer(503, b"", "text/plain"),
    "not_vtt": as_html(200, "Sign in"),
    "reset": _NOTHING,
}
"""Faults with the same answer everywhere."""

_UNANSWERED = frozenset({"reset", "lost_create", "late_create"})
"""Faults that keep the caller from an answer."""


class Sandbox:
    """Both providers' APIs and file hosts on loopback.

    All durations come from the running loop. With `state`, jobs and clock are kept
    in that file, and a kill -9 loses no more than the last moment.
    """

    def __init__(self, options: SandboxOptions | None = None, state: Path | None = None) -> None:
        self._scene = Scene(options or SandboxOptions())
        self._path = state
        self._state: State | None = None
        self._flush: asyncio.TimerHandle | None = None
        self._runner: web.ServerRunner | None = None
        self._mux = Mux(self._scene)
        self.request_log = RequestLog(self._mux.robots.jobs, self._scene.options.keep_requests)
        self._control = Control(self._scene, self.request_log)
        self._webhooks = Webhooks(self._scene, self.request_log)
        self._mux_notices = MuxNotices(self._scene, self._mux.robots, self._tell)
        self._heygen_notices = HeyGenNotices(self._scene, self._tell)
        self._hosts: Mapping[str, Host] = {
            "mux": self._mux,
            "stream": Stream(self._scene),
            "storage": Storage(self._scene),
            "heygen": HeyGen(self._scene),
            "files2": Files2(self._scene),
        }

    @property
    def url(self) -> str:
        """The root of all hosts, once it listens."""
        return self._scene.url

    @property
    def options(self) -> SandboxOptions:
        """The options as they are now."""
        return self._scene.options

    def change(self, **fields: Any) -> None:
        """Change options while it runs; raises `ValueError` as `SandboxOptions.but` does."""
        self._scene.change(self._scene.options.but(**fields))

    def now(self) -> float:
        """Sandbox time in unix seconds."""
        return self._scene.clock.now()

    def advance(self, seconds: float) -> None:
        """Put the sandbox's clock forward, so that links and jobs age at once."""
        self._scene.advance(seconds)

    def environment(self) -> dict[str, str]:
        """The variables that point a client at this sandbox."""
        options = self._scene.options
        return {
            "MUX_TOKEN_ID": options.mux_token_id,
            "MUX_TOKEN_SECRET": options.mux_token_secret,
            "MUX_BASE_URL": f"{self.url}/mux",
            "MUX_STREAM_BASE_URL": f"{self.url}/stream",
            "MUX_WEBHOOK_SECRET": options.webhook_secret_mux,
            "HEYGEN_API_KEY": options.heygen_api_key,
            "HEYGEN_API_BASE": f"{self.url}/heygen",
            "HEYGEN_WEBHOOK_SECRET": options.webhook_secret_heygen,
        }

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 is any free one. Raises `OSError` where the port is taken."""
        options = self._scene.options
        epoch = self._restored()
        if epoch is None:
            epoch = time() if options.epoch is None else options.epoch
        self._scene.clock = Clock(asyncio.get_running_loop(), epoch, options.speed)
        try:
            self._scene.url = await self._listen(host, port)
        except OSError:
            await self.stop()
            raise
        self._scene.watchers = [self._webhooks, self._mux_notices, self._heygen_notices]
        self._scene.adjusted()

    async def _listen(self, host: str, port: int) -> str:
        server = web.Server(
            self._serve,
            access_log=None,
            keepalive_timeout=self._scene.options.keepalive_seconds,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=4096).start()
        return f"http://{host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening, drop what is in the air, and save."""
        self._scene.watchers = []
        self._mux_notices.stop()
        self._heygen_notices.stop()
        await self._webhooks.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._flush is not None:
            self._flush.cancel()
        if self._state is not None:
            self._save()
            self._state.close()
            self._state = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        arrival = asyncio.get_running_loop().time()
        call = await self._call(request)
        segment = call.raw_path.split("/", 2)[1].partition("?")[0]
        host = self._hosts.get(segment)
        if host is None:
            return await self._serve_control(request, call, segment)
        route = host.route(call)
        self.request_log.arrived(route.bucket, arrival)
        self._watch(request, call, host, route)
        answer, fault = self._answer(host, call, route, arrival)
        dropped = fault in _UNANSWERED
        self.request_log.answered(arrival, call, route, 0 if dropped else answer.status, fault)
        self._save_soon()
        if self._scene.options.answer_seconds:
            await asyncio.sleep(self._scene.options.answer_seconds)
        return await self._deliver(request, answer, fault, dropped=dropped)

    async def _serve_control(
        self, request: web.BaseRequest, call: Call, segment: str
    ) -> web.StreamResponse:
        known = segment == "sandbox"
        answer = self._control.answer(call) if known else as_html(404, "404 Not Found")
        return http_delivery.whole(answer, self._scene.clock.date())

    async def _call(self, request: web.BaseRequest) -> Call:
        raw = request.raw_path
        path, _, query = raw.partition("?")
        body = await request.read() if request.can_read_body else b""
        parts = tuple(unquote(part) for part in path.split("/")[2:])
        now = self._scene.clock.now()
        return Call(request.method, raw, parts, query, request.headers, body, now)

    def _watch(self, request: web.BaseRequest, call: Call, host: Host, route: Route) -> None:
        for header in host.foreign:
            if header in request.headers:
                self.request_log.leaks.append(Leak(route.name, header, call.raw_path))

    def _answer(self, host: Host, call: Call, route: Route, arrival: float) -> tuple[Answer, str]:
        refused = host.refuse(call)
        if refused is not None:
            return host.dressed(refused, None), ""
        bucket = self._scene.limits.bucket(route.bucket)
        wait = bucket.take(arrival) if bucket else 0.0
        if wait:
            return host.dressed(host.throttled(route, wait), bucket), ""
        fault = self._scene.faults.request(route.kind, route.name, route.key) or ""
        return host.dressed(self._faulty(host, call, route, fault), bucket), fault

    def _faulty(self, host: Host, call: Call, route: Route, fault: str) -> Answer:
        if fault in _CANNED:
            return _CANNED[fault]
        if fault == "late_create":
            self._mux_notices.landing(self._mux.robots.postpone(call))
            return _NOTHING
        if fault == "throttle":
            return host.throttled(route, 0.0)
        if fault == "server_error":
            return host.broken(route, (500, 502, 503)[pick(3, route.name, route.key)])
        return host.expired() if fault == "expired_link" else route.handle(call)

    async def _deliver(
        self, request: web.BaseRequest, answer: Answer, fault: str, *, dropped: bool
    ) -> web.StreamResponse:
        if dropped:
            return await http_delivery.dropped(request)
        date = self._scene.clock.date()
        if fault == "cut_body":
            return await http_delivery.cut(request, answer, date)
        if fault == "slow_body":
            seconds = self._scene.options.slow_body_seconds
            return await http_delivery.slow(request, answer, date, seconds)
        return http_delivery.whole(answer, date)

    def _restored(self) -> float | None:
        if self._path is None:
            return None
        self._state = State(self._path)
        # A sandbox that was stopped and starts again has them in memory as well.
        self._scene.jobs = JobBook(self._scene.options.job_lifetime)
        for job in self._state.jobs():
            self._scene.jobs.add(job)
        self._scene.looks.update(self._state.looks())
        self._mux.robots.landings[:] = self._state.landings()
        return self._state.clock()

    def _tell(self, notice: Notice) -> None:
        self._webhooks.post(notice)
        self._save_soon()  # what was told has happened, after a kill -9 too

    def _save_soon(self) -> None:
        # Any request sets the timer: with nobody asking, no time passes worth keeping.
        if self._state is not None and self._flush is None:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_later(_FLUSH_AFTER, self._save)

    def _save(self) -> None:
        self._flush = None
        scene, state = self._scene, self._state
        if state is None:
            return
        changed, scene.changed = scene.changed, set()
        found = [scene.jobs.get(each, -1.0) for each in changed]
        looks = [(each, scene.looks[each]) for each in changed if each in scene.looks]
        landings = self._mux.robots.landings
        state.save([job for job in found if job], looks, landings, scene.clock.now())
