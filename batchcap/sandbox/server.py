"""The sandbox as an HTTP server: all hosts on one port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from time import time
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from aiohttp import web

from batchcap.sandbox import response_writer
from batchcap.sandbox.clock import Clock
from batchcap.sandbox.control import ControlApi
from batchcap.sandbox.heygen.cdn_host import CdnHost
from batchcap.sandbox.heygen.heygen_api import HeyGenApi
from batchcap.sandbox.http_types import Request, Response, Route, html_response
from batchcap.sandbox.mux.job_store import JobStore
from batchcap.sandbox.mux.mux_host import MuxHost
from batchcap.sandbox.mux.storage_host import StorageHost
from batchcap.sandbox.mux.stream_host import StreamHost
from batchcap.sandbox.options import SandboxOptions
from batchcap.sandbox.random_draws import integer
from batchcap.sandbox.request_log import CredentialLeak, RequestLog
from batchcap.sandbox.state_file import StateFile
from batchcap.sandbox.webhooks.job_events import HeyGenVideoEvents, MuxJobEvents
from batchcap.sandbox.webhooks.payloads import OutgoingEvent
from batchcap.sandbox.webhooks.sender import WebhookSender
from batchcap.sandbox.world import Host, World

_SAVE_DELAY = 0.2
"""Loop seconds between a request and saving what it changed."""

_MAX_LINE = 65536
"""Bytes of a request line or header: room for a query with a hundred long ids."""

_SHUTDOWN_TIMEOUT = 0.5
"""Loop seconds for open requests to finish when the server stops."""

_NO_RESPONSE = Response(0)

_FIXED_RESPONSES: Mapping[str, Response] = {
    "html_error": html_response(502, "502 Bad Gateway"),
    "empty_error": Response(503, b"", "text/plain"),
    "not_vtt": html_response(200, "Sign in"),
    "reset": _NO_RESPONSE,
}
"""Faults whose response is the same for every host."""

_DROPPED = frozenset({"reset", "lost_create", "late_create"})
"""Faults that drop the connection without a response."""


class Sandbox:
    """Both providers' APIs and file hosts on loopback.

    All durations come from the running loop. With `state`, jobs and clock are kept in that
    file; a kill -9 loses at most the changes of the last 0.2 s.
    """

    def __init__(self, options: SandboxOptions | None = None, state: Path | None = None) -> None:
        self._world = World(options or SandboxOptions())
        self._state_path = state
        self._state: StateFile | None = None
        self._save_timer: asyncio.TimerHandle | None = None
        self._runner: web.ServerRunner | None = None
        self.on_request: Callable[[Request], object] | None = None
        """Called with every request to a provider, so that tests can check what a client sends."""
        self._mux = MuxHost(self._world)
        self.request_log = RequestLog(self._mux.robots.jobs, self._world.options.keep_requests)
        self._control = ControlApi(self._world, self.request_log)
        self._webhooks = WebhookSender(self._world, self.request_log)
        self._mux_events = MuxJobEvents(self._world, self._mux.robots, self._emit)
        self._heygen_events = HeyGenVideoEvents(self._world, self._emit)
        self._hosts: Mapping[str, Host] = {
            "mux": self._mux,
            "stream": StreamHost(self._world),
            "storage": StorageHost(self._world),
            "heygen": HeyGenApi(self._world),
            "files2": CdnHost(self._world),
        }

    @property
    def url(self) -> str:
        """The root URL of all hosts; empty before the server listens."""
        return self._world.url

    @property
    def options(self) -> SandboxOptions:
        """The current options."""
        return self._world.options

    def change(self, **fields: Any) -> None:
        """Change options while the sandbox runs.

        Raises:
            ValueError: as `SandboxOptions.with_changes` does.
        """
        self._world.change_options(self._world.options.with_changes(**fields))

    def now(self) -> float:
        """Return the sandbox time in unix seconds."""
        return self._world.clock.now()

    def advance(self, seconds: float) -> None:
        """Put the sandbox's clock forward, so that links and jobs age at once."""
        self._world.advance(seconds)

    def environment(self) -> dict[str, str]:
        """Return the environment variables that point a client at this sandbox."""
        options = self._world.options
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
        """Start to listen; port 0 is any free one.

        Raises:
            OSError: the port is taken.
        """
        options = self._world.options
        epoch = self._restore()
        if epoch is None:
            epoch = time() if options.epoch is None else options.epoch
        self._world.clock = Clock(asyncio.get_running_loop(), epoch, options.speed)
        try:
            self._world.url = await self._listen(host, port)
        except OSError:
            await self.stop()
            raise
        self._world.observers = [self._webhooks, self._mux_events, self._heygen_events]
        self._world.notify_observers()

    async def _listen(self, host: str, port: int) -> str:
        server = web.Server(
            self._serve,
            access_log=None,
            keepalive_timeout=self._world.options.keepalive_seconds,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_LINE,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_TIMEOUT)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=4096).start()
        return f"http://{host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening, drop open requests and events, and save."""
        self._world.observers = []
        self._mux_events.stop()
        self._heygen_events.stop()
        await self._webhooks.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._save_timer is not None:
            self._save_timer.cancel()
        if self._state is not None:
            self._save()
            self._state.close()
            self._state = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _serve(self, http_request: web.BaseRequest) -> web.StreamResponse:
        arrival = asyncio.get_running_loop().time()
        request = await self._read(http_request)
        host_name = request.raw_path.split("/", 2)[1].partition("?")[0]
        host = self._hosts.get(host_name)
        if host is None:
            return self._serve_control(request, host_name)
        if self.on_request is not None:
            self.on_request(request)
        route = host.route(request)
        self.request_log.record_arrival(route.bucket, arrival)
        self._check_for_leaks(request, host, route)
        response, fault = self._respond(host, request, route, arrival)
        status = 0 if fault in _DROPPED else response.status
        self.request_log.record_response(arrival, request, route, status, fault)
        self._save_soon()
        seconds = self._world.options.answer_seconds
        if route.fault_group == "write":
            seconds += self._world.options.heygen_write_seconds
        if seconds:
            await asyncio.sleep(seconds)
        return await self._deliver(http_request, response, fault)

    def _serve_control(self, request: Request, host_name: str) -> web.StreamResponse:
        if host_name == "sandbox":
            response = self._control.handle(request)
        else:
            response = html_response(404, "404 Not Found")
        return response_writer.complete(response, self._world.clock.http_date())

    async def _read(self, http_request: web.BaseRequest) -> Request:
        raw_path = http_request.raw_path
        path, _, query = raw_path.partition("?")
        body = await http_request.read() if http_request.can_read_body else b""
        segments = tuple(unquote(segment) for segment in path.split("/")[2:])
        now = self._world.clock.now()
        return Request(
            http_request.method, raw_path, segments, query, http_request.headers, body, now
        )

    def _check_for_leaks(self, request: Request, host: Host, route: Route) -> None:
        for header in host.forbidden_headers:
            if header in request.headers:
                leak = CredentialLeak(route.name, header, request.raw_path)
                self.request_log.leaks.append(leak)

    def _respond(
        self, host: Host, request: Request, route: Route, arrival: float
    ) -> tuple[Response, str]:
        """Return the response and the name of the fault that hit the request, or ""."""
        rejection = host.reject(request)
        if rejection is not None:
            return host.with_headers(rejection, None), ""
        bucket = self._world.rate_limits.get(route.bucket)
        wait = bucket.take(arrival) if bucket else 0.0
        if wait:
            return host.with_headers(host.too_many_requests(route, wait), bucket), ""
        faults = self._world.faults
        fault = faults.draw_for_request(route.fault_group, route.name, route.key) or ""
        return host.with_headers(self._respond_with(fault, host, request, route), bucket), fault

    def _respond_with(self, fault: str, host: Host, request: Request, route: Route) -> Response:
        if fault in _FIXED_RESPONSES:
            return _FIXED_RESPONSES[fault]
        if fault == "late_create":
            self._mux_events.schedule_create(self._mux.robots.delay_create(request))
            return _NO_RESPONSE
        if fault == "throttle":
            return host.too_many_requests(route, 0.0)
        if fault == "server_error":
            return host.server_error(route, (500, 502, 503)[integer(3, route.name, route.key)])
        return host.expired_link() if fault == "expired_link" else route.handle(request)

    async def _deliver(
        self, http_request: web.BaseRequest, response: Response, fault: str
    ) -> web.StreamResponse:
        if fault in _DROPPED:
            return await response_writer.drop_connection(http_request)
        date = self._world.clock.http_date()
        if fault == "cut_body":
            return await response_writer.send_truncated(http_request, response, date)
        if fault == "slow_body":
            seconds = self._world.options.slow_body_seconds
            return await response_writer.send_slowly(http_request, response, date, seconds)
        return response_writer.complete(response, date)

    def _restore(self) -> float | None:
        """Load the state file, if there is one, and return its time."""
        if self._state_path is None:
            return None
        self._state = StateFile(self._state_path)
        # Start empty: a sandbox that was stopped and is started again has its jobs in memory.
        self._world.jobs = JobStore(self._world.options.job_lifetime)
        for job in self._state.jobs():
            self._world.jobs.add(job)
        self._world.jobs.deleted_tracks = self._state.deleted_tracks()
        self._world.translations = self._state.translations()
        self._world.first_requested.update(self._state.first_requested())
        self._mux.robots.delayed_creates[:] = self._state.delayed_creates()
        return self._state.clock()

    def _emit(self, event: OutgoingEvent) -> None:
        self._webhooks.send(event)
        self._save_soon()  # after a kill -9, the change that the event reports must be there too

    def _save_soon(self) -> None:
        # Every request sets the timer. Without requests, no time passes that is worth saving.
        if self._state is not None and self._save_timer is None:
            loop = asyncio.get_running_loop()
            self._save_timer = loop.call_later(_SAVE_DELAY, self._save)

    def _save(self) -> None:
        self._save_timer = None
        world, state = self._world, self._state
        if state is None:
            return
        unsaved, world.unsaved = world.unsaved, set()
        jobs = [world.jobs.get(identifier, -1.0) for identifier in unsaved]
        first_requested = [
            (video_id, world.first_requested[video_id])
            for video_id in unsaved
            if video_id in world.first_requested
        ]
        delayed_creates = self._mux.robots.delayed_creates
        changed_jobs = [job for job in jobs if job]
        state.save(
            changed_jobs,
            first_requested,
            delayed_creates,
            world.jobs.deleted_tracks,
            world.translations,
            world.clock.now(),
        )
