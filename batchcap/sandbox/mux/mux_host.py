"""The host of MUX_BASE_URL: Robots v0 and the assets of the Video API."""

from __future__ import annotations

from base64 import b64encode
from math import ceil
from urllib.parse import parse_qs

from batchcap.sandbox.http_types import Answer, Call, Route, as_json, gone
from batchcap.sandbox.mux import create_request
from batchcap.sandbox.mux.assets import account
from batchcap.sandbox.mux.robots_api import Robots
from batchcap.sandbox.rate_limits import Bucket
from batchcap.sandbox.world import Scene


class Mux:
    """Mux's API. Each token bucket is that of the one environment there is."""

    foreign: tuple[str, ...] = ("X-Api-Key", "Cookie")

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.robots = Robots(scene)

    def route(self, call: Call) -> Route:
        """What the request asks for."""
        match call.parts[:3]:
            case ("robots", "v0", "jobs"):
                return self._unless_gone(self._robots_route(call))
            case ("video", "v1", "assets"):
                return self._video_route(call)
        return self._nowhere(call)

    def refuse(self, call: Call) -> Answer | None:
        """401 without the right Basic credentials, 403 where the terms are not accepted."""
        options = self._scene.options
        robot = call.parts[:1] == ("robots",)
        pair = f"{options.mux_token_id}:{options.mux_token_secret}".encode()
        if call.headers.get("Authorization") != f"Basic {b64encode(pair).decode()}":
            return _error(robot, 401, "unauthorized", "Unauthorized request.")
        if robot and not options.robots_terms:
            return _error(robot, 403, "forbidden", "The Robots terms have not been accepted.")
        return None

    def throttled(self, route: Route, wait: float) -> Answer:
        """429, with Retry-After as `retry_after` says."""
        options = self._scene.options
        seconds = max(ceil(wait), options.retry_after_seconds)
        headers = []
        if options.retry_after == "seconds":
            headers.append(("Retry-After", str(seconds)))
        elif options.retry_after == "date":
            headers.append(("Retry-After", self._scene.clock.date(seconds * options.speed)))
        answer = _error(_is_robots(route), 429, "too_many_requests", "Too many requests.")
        return answer._replace(headers=tuple(headers))

    def dressed(self, answer: Answer, bucket: Bucket | None) -> Answer:
        """With X-RateLimit headers, where there is a limit."""
        if bucket is None:
            return answer
        limit = ("X-RateLimit-Limit", f"{bucket.rate:g}")
        remaining = ("X-RateLimit-Remaining", str(bucket.left))
        return answer._replace(headers=(*answer.headers, limit, remaining))

    def broken(self, route: Route, status: int) -> Answer:
        """A server error in JSON."""
        return _error(_is_robots(route), status, "internal_error", "Something went wrong.")

    def expired(self) -> Answer:
        """No link leads here."""
        raise NotImplementedError

    def _unless_gone(self, route: Route) -> Route:
        version = self._scene.options.robots_v0
        if version == "on":
            return route
        answer = gone(version, self._scene.options.gone_body)
        # A create that is not carried out is no create: no fault may commit it.
        return Route("mux.gone", route.key, route.bucket, "read", lambda _: answer)

    def _robots_route(self, call: Call) -> Route:
        self.robots.land(call.now)
        match (call.method, *call.parts[3:]):
            case ("POST", create_request.WORKFLOW):
                key = create_request.about(call.body)
                return Route("mux.create", key, "mux.write", "create", self.robots.create)
            case ("POST", job_id, "cancel"):
                return Route("mux.cancel", job_id, "mux.write", "read", self.robots.cancel)
            case ("GET", create_request.WORKFLOW, job_id):
                return Route("mux.job", job_id, "mux.read", "read", self.robots.get)
            case ("GET",):
                return Route("mux.jobs", call.query, "mux.read", "read", self.robots.page)
        return self._nowhere(call)

    def _video_route(self, call: Call) -> Route:
        match (call.method, *call.parts[3:]):
            case ("GET", asset_id):
                return Route("mux.asset", asset_id, "mux.read", "read", self._asset)
            case ("GET",):
                return Route("mux.assets", call.query, "mux.read", "read", self._assets)
        return self._nowhere(call)

    def _nowhere(self, call: Call) -> Route:
        robot = call.parts[:1] == ("robots",)
        answer = _error(robot, 404, "not_found", "There is no such route.")
        return Route("mux.other", "/".join(call.parts), _bucket(call), "read", lambda _: answer)

    def _asset(self, call: Call) -> Answer:
        known = self.robots.asset(call.parts[-1])
        if known is None:
            return _error(False, 404, "not_found", "The requested asset does not exist.")
        tracks = self._scene.jobs.tracks(known, call.now)
        return as_json(200, {"data": known.document(tracks)})

    def _assets(self, call: Call) -> Answer:
        query = {name: values[-1] for name, values in parse_qs(call.query).items()}
        limit, page = query.get("limit", "10"), query.get("page", "1")
        if not (limit.isdecimal() and 1 <= int(limit) <= 100 and page.isdecimal() and int(page)):
            return _error(False, 400, "invalid_parameters", "limit is 1 to 100, page from 1.")
        options = self._scene.options
        newest = account(options.mux_account, options.mux_ids)[::-1]
        first = (int(page) - 1) * int(limit)
        found = map(self.robots.asset, newest[first : first + int(limit)])
        rows = [each.document(self._scene.jobs.tracks(each, call.now)) for each in found if each]
        return as_json(200, {"data": rows})


def _is_robots(route: Route) -> bool:
    return route.name in {"mux.create", "mux.cancel", "mux.job", "mux.jobs"}


def _bucket(call: Call) -> str:
    # Mux docs: POSTs have a bucket of their own, all other verbs share one.
    return "mux.write" if call.method == "POST" else "mux.read"


def _error(robot: bool, status: int, kind: str, message: str) -> Answer:
    if robot:
        return create_request.error(status, kind, message)
    return as_json(status, {"error": {"type": kind, "messages": [message]}})
