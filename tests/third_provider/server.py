"""Acme's API on loopback. All durations come from the running loop."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import aiohttp
import orjson
from aiohttp import web

from tests.third_provider.provider import CREDENTIALS
from tests.third_provider.spec import SPEC
from tests.third_provider.webhooks import SIGNATURE, WEBHOOK

KEY = "acme-key"
WEBHOOK_SECRET = "whsec_acme"  # of this server alone
CAPTION = b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n"

_MAX_FAULTS_IN_A_ROW = 2
_SLOW = 3.0  # seconds between the first byte of a slow answer and the rest

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class _Job:
    id: str
    body: dict[str, Any]
    started_at: float
    ends_at: float


@dataclass
class AcmeServer:
    """The server, with the attributes that the provider contract's suite sets and reads.

    A word in a clip's name decides how its job ends: "fails", "stuck",
    "oddstate", "missing".
    """

    job_seconds: float = 4.0
    job_seconds_max: float = 30.0
    odd_state_seconds: float = 0.0
    link_seconds: float = 3600.0
    faults: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    webhook_url: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    event_statuses: list[int] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """Return the variables that point batchcap at this server."""
        return {
            CREDENTIALS[0]: KEY,
            WEBHOOK.secret_variable: WEBHOOK_SECRET,
            SPEC.base_url.variable: self._url,
        }

    async def __aenter__(self) -> Self:
        self._jobs: dict[str, _Job] = {}
        self._events: set[asyncio.Task[None]] = set()
        self._random, self._in_a_row = random.Random(self.seed), 0
        app = web.Application(middlewares=[self._checked])
        app.router.add_post("/jobs", self._create)
        app.router.add_get("/jobs", self._statuses)
        app.router.add_get("/jobs/{id}", self._detail)
        app.router.add_get("/clips/{clip}/jobs", self._jobs_of_clip)
        app.router.add_get("/files/{id}", self._file)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._events:
            task.cancel()
        await self._runner.cleanup()

    @web.middleware
    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count, check the credentials, and let a fault happen."""
        route = request.match_info.route.resource
        self.requests[f"{request.method} {route.canonical if route else request.path}"] += 1
        is_api = not request.path.startswith("/files/")
        if is_api and request.headers.get("Authorization") != f"Bearer {KEY}":
            return _error(401, "unknown key")
        fault = self._fault() if is_api else None
        match fault:
            case "throttle":
                return web.Response(status=429, headers={"Retry-After": "1"})
            case "server_error":
                return _error(500, "try again")
            case "html_error":
                return web.Response(
                    status=502, text="<title>Bad Gateway</title>", content_type="text/html"
                )
            case "empty_error":
                return web.Response(status=503)
        response = await handler(request)
        return await _damaged(request, response, fault) if fault else response

    def _fault(self) -> str | None:
        for fault, share in self.faults.items():
            if self._random.random() < share and self._in_a_row < _MAX_FAULTS_IN_A_ROW:
                self._in_a_row += 1
                return fault
        self._in_a_row = 0
        return None

    async def _create(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        self.bodies.append(body)
        if "missing" in body["clip"]:
            return _error(404, "no such clip")
        now = _now()
        number = len(self._jobs) + 1
        seconds = min(self.job_seconds, self.job_seconds_max)
        job = _Job(f"job-{number}", body, now, now + seconds)
        self._jobs[job.id] = job
        if self.webhook_url and "stuck" not in body["clip"]:
            task = asyncio.ensure_future(self._send_event(job))
            self._events.add(task)
            task.add_done_callback(self._events.discard)
        return _data(self._shown(job), status=201)

    async def _statuses(self, request: web.Request) -> web.Response:
        ids = request.query["ids"].split(",")
        return _data([self._shown(self._jobs[job_id]) for job_id in ids if job_id in self._jobs])

    async def _detail(self, request: web.Request) -> web.Response:
        job = self._jobs.get(request.match_info["id"])
        return _data(self._shown(job)) if job else _error(404, "no such job")

    async def _jobs_of_clip(self, request: web.Request) -> web.Response:
        clip = request.match_info["clip"]
        return _data([self._shown(job) for job in self._jobs.values() if job.body["clip"] == clip])

    async def _file(self, request: web.Request) -> web.Response:
        if _now() > float(request.query["expires"]):
            return web.Response(status=403)
        return web.Response(body=CAPTION, content_type="text/vtt")

    def _shown(self, job: _Job) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": job.id, "to": job.body["to"], "status": self._status(job)}
        if shown["status"] == "done":
            shown["vtt_url"] = f"{self._url}/files/{job.id}?expires={_now() + self.link_seconds}"
        elif shown["status"] == "failed":
            shown["error"] = {"message": "the clip is silent"}
        return shown

    def _status(self, job: _Job) -> str:
        age, clip = _now() - job.started_at, job.body["clip"]
        if "oddstate" in clip and age < self.odd_state_seconds:
            return "warming_up"
        if "stuck" in clip or _now() < job.ends_at:
            return "running"
        return "failed" if "fails" in clip else "done"

    async def _send_event(self, job: _Job) -> None:
        await asyncio.sleep(job.ends_at - _now())
        body = orjson.dumps({"event": f"event of {job.id}", "job": job.id})
        signature = hmac.new(WEBHOOK_SECRET.encode(), body, hashlib.sha256).hexdigest()
        async with (
            aiohttp.ClientSession() as client,
            client.post(self.webhook_url, data=body, headers={SIGNATURE: signature}) as answer,
        ):
            self.event_statuses.append(answer.status)


async def _damaged(
    request: web.Request, whole: web.StreamResponse, fault: str
) -> web.StreamResponse:
    """Send a response that is cut off, or whole but slow."""
    assert isinstance(whole, web.Response)
    assert isinstance(whole.body, bytes)
    response = web.StreamResponse(status=whole.status, headers={"Content-Type": "application/json"})
    response.content_length = len(whole.body)
    await response.prepare(request)
    await response.write(whole.body[:1])
    if fault == "cut_body":
        assert request.transport
        request.transport.close()
    else:
        await asyncio.sleep(_SLOW)
        await response.write(whole.body[1:])
    return response


def _data(value: Any, status: int = 200) -> web.Response:
    body = orjson.dumps({"data": value})
    return web.Response(status=status, body=body, content_type="application/json")


def _error(status: int, message: str) -> web.Response:
    body = orjson.dumps({"error": {"message": message}})
    return web.Response(status=status, body=body, content_type="application/json")


def _now() -> float:
    return asyncio.get_running_loop().time()
