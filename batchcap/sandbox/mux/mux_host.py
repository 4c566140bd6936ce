"""The host of MUX_BASE_URL: Robots v0 and the assets of the Video API."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from math import ceil
from urllib.parse import parse_qs

from batchcap.sandbox.http_types import Request, Response, Route, json_response, retired_route
from batchcap.sandbox.mux.assets import account_ids, find_account_asset
from batchcap.sandbox.mux.create_request import WORKFLOW, caption_key
from batchcap.sandbox.mux.errors import CREATE_REFUSALS, mux_error, with_shape
from batchcap.sandbox.mux.robots_api import RobotsApi
from batchcap.sandbox.options import SandboxOptions
from batchcap.sandbox.rate_limits import TokenBucket
from batchcap.sandbox.world import World


class MuxHost:
    """Mux's API with a single environment.

    It has a bucket for writes and one for reads, and both once more for a token of high priority
    (Mux docs, 2026-06-03).
    """

    forbidden_headers: tuple[str, ...] = ("X-Api-Key", "Cookie")

    def __init__(self, world: World) -> None:
        self._world = world
        self.robots = RobotsApi(world)

    def route(self, request: Request) -> Route:
        """Return the route of a request; carries out delayed creates that are due."""
        route = self._route(request)
        if request.headers.get("Authorization") == _credentials(self._world.options)[1]:
            return route._replace(bucket=f"{route.bucket}.high")
        return route

    def _route(self, request: Request) -> Route:
        match request.segments[:3]:
            case ("robots", "v0", "jobs"):
                return self._unless_retired(self._robots_route(request))
            case ("video", "v1", "assets"):
                return self._video_route(request)
        return self._unknown_route(request)

    def reject(self, request: Request) -> Response | None:
        """Return 401 for a wrong token or one without permission, 403 without the terms."""
        options = self._world.options
        is_robots = request.segments[:1] == ("robots",)
        if request.headers.get("Authorization") not in _credentials(options):
            return mux_error(401, "unauthorized", "Unauthorized request.")
        if is_robots and not options.robots_permission:
            return mux_error(*CREATE_REFUSALS["scope"])
        if is_robots and not options.robots_terms:
            return mux_error(*CREATE_REFUSALS["terms"])
        return None

    def too_many_requests(self, route: Route, wait: float) -> Response:
        """Return 429, with Retry-After in the format of the option `retry_after`."""
        options = self._world.options
        seconds = max(ceil(wait), options.retry_after_seconds)
        headers = []
        if options.retry_after == "seconds":
            headers.append(("Retry-After", str(seconds)))
        elif options.retry_after == "date":
            date = self._world.clock.http_date(seconds * options.speed)
            headers.append(("Retry-After", date))
        response = json_response(429, {"errors": ["Too many requests, retry later."]})
        return response._replace(headers=tuple(headers))

    def with_headers(self, response: Response, bucket: TokenBucket | None) -> Response:
        """Add the X-RateLimit headers if there is a limit; give errors the shape of the option."""
        response = with_shape(response, self._world.options.mux_error_shape)
        if bucket is None:
            return response
        limit = ("X-RateLimit-Limit", f"{bucket.rate:g}")
        remaining = ("X-RateLimit-Remaining", str(bucket.remaining))
        return response._replace(headers=(*response.headers, limit, remaining))

    def server_error(self, route: Route, status: int) -> Response:
        """Return a server error in JSON."""
        return mux_error(status, "internal_error", "Something went wrong.")

    def expired_link(self) -> Response:
        """This host serves no links."""
        raise NotImplementedError

    def _unless_retired(self, route: Route) -> Route:
        status = self._world.options.robots_v0
        if status == "on":
            return route
        response = retired_route(status, self._world.options.gone_body)
        # The group is "read" even for a POST: no fault may carry out the create.
        return Route("mux.gone", route.key, route.bucket, "read", lambda _: response)

    def _robots_route(self, request: Request) -> Route:
        self.robots.run_due_creates(request.now)
        match (request.method, *request.segments[3:]):
            case ("POST", name) if name == WORKFLOW:
                key = caption_key(request.body)
                return Route("mux.create", key, "mux.write", "create", self.robots.create)
            case ("POST", job_id, "cancel"):
                return Route("mux.cancel", job_id, "mux.write", "read", self.robots.cancel)
            case ("GET", name, job_id) if name == WORKFLOW:
                return Route("mux.job", job_id, "mux.read", "read", self.robots.get)
            case ("GET",):
                return Route("mux.jobs", request.query, "mux.read", "read", self.robots.list_jobs)
        return self._unknown_route(request)

    def _video_route(self, request: Request) -> Route:
        match (request.method, *request.segments[3:]):
            case ("GET", asset_id):
                return Route("mux.asset", asset_id, "mux.read", "read", self._get_asset)
            case ("DELETE", _, "tracks", track_id):
                return Route("mux.delete", track_id, "mux.read", "read", self._delete_track)
            case ("GET",):
                return Route("mux.assets", request.query, "mux.read", "read", self._list_assets)
        return self._unknown_route(request)

    def _unknown_route(self, request: Request) -> Route:
        allowed = _allowed_method(request.segments)
        if request.method == allowed or not allowed:
            response = mux_error(404, "not_found", "There is no such route.")
        else:
            response = mux_error(405, "method_not_allowed", f"Use {allowed}.")
            response = response._replace(headers=(("Allow", allowed),))
        # Mux docs: POSTs have a bucket of their own, all other methods share one.
        bucket = "mux.write" if request.method == "POST" else "mux.read"
        return Route("mux.other", "/".join(request.segments), bucket, "read", lambda _: response)

    def _get_asset(self, request: Request) -> Response:
        asset = find_account_asset(self._world.options, request.segments[-1])
        if asset is None:
            return mux_error(404, "not_found", "The requested asset does not exist.")
        tracks = self._world.jobs.tracks(asset, request.now)
        return json_response(200, {"data": asset.document(tracks)})

    def _list_assets(self, request: Request) -> Response:
        query = {
            name: values[-1]
            for name, values in parse_qs(request.query, keep_blank_values=True).items()
        }
        limit = _number(query.get("limit", "10"))
        first = _first_on_page(query, limit)
        if not 1 <= limit <= 100 or first < 0:
            message = "limit is 1 to 100, page from 1, and cursor the next_cursor of a page."
            return mux_error(400, "invalid_parameters", message)
        options = self._world.options
        oldest_first = account_ids(options.mux_account, options.mux_ids)
        end = max(0, len(oldest_first) - first)
        on_page = oldest_first[max(0, end - limit) : end][::-1]
        rows = [
            asset.document(self._world.jobs.tracks(asset, request.now))
            for asset in (find_account_asset(options, identifier) for identifier in on_page)
            if asset is not None
        ]
        next_cursor = f"{_CURSOR}{first + limit}" if end > limit else None
        return json_response(200, {"data": rows, "next_cursor": next_cursor})

    def _delete_track(self, request: Request) -> Response:
        asset_id, track_id = request.segments[-3], request.segments[-1]
        if not self.robots.delete_track(asset_id, track_id, request.now):
            return mux_error(404, "not_found", "The requested track does not exist.")
        return Response(204)


def _credentials(options: SandboxOptions) -> tuple[str, str]:
    """Return the Authorization headers of the tokens of low and high priority."""
    pairs = (
        f"{options.mux_token_id}:{options.mux_token_secret}",
        f"{options.mux_high_token_id}:{options.mux_high_token_secret}",
    )
    low, high = (f"Basic {b64encode(pair.encode()).decode()}" for pair in pairs)
    return low, high


_CURSOR = "after-"
"""What a cursor begins with; the number of assets before it follows."""


def _first_on_page(query: Mapping[str, str], limit: int) -> int:
    """Return how many assets come before a page, a negative number if the query is invalid."""
    if cursor := query.get("cursor"):
        return _number(cursor.removeprefix(_CURSOR)) if cursor.startswith(_CURSOR) else -1
    return (_number(query.get("page", "1")) - 1) * limit


def _number(text: str) -> int:
    """Return a number without a sign, -1 for any other text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1


def _allowed_method(segments: tuple[str, ...]) -> str:
    """Return the method that Mux documents for a path, "" for an unknown path."""
    match segments:
        case ("robots", "v0", "jobs", name) if name == WORKFLOW:
            return "POST"
        case ("robots", "v0", "jobs", _, "cancel"):
            return "POST"
        case ("video", "v1", "assets", _, "tracks", _):
            return "DELETE"
        case ("robots", "v0", "jobs", *rest) if len(rest) <= 2:
            return "GET"
        case ("video", "v1", "assets", *rest) if len(rest) <= 1:
            return "GET"
    return ""
