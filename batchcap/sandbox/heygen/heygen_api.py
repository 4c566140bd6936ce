"""The host of HEYGEN_API_BASE: translations and their captions, in v3 and the older v2.

The detail of v3, the bulk statuses of v3 and v2 have different words for the same status.
HeyGen docs: an error of v3 is `{"error": {"code", "message", "param"?}}`, and every response
has an X-Request-Id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any
from urllib.parse import parse_qs

from batchcap.sandbox import random_draws
from batchcap.sandbox.heygen.create_api import CreateApi
from batchcap.sandbox.heygen.errors import invalid_parameter, is_number, page
from batchcap.sandbox.heygen.videos import (
    VideoState,
    account_ids,
    failure_message,
    language_of,
    video_exists,
    video_status,
    video_url,
)
from batchcap.sandbox.http_types import Request, Response, Route, json_response, retired_route
from batchcap.sandbox.id_keywords import keywords
from batchcap.sandbox.languages import tags_by_name
from batchcap.sandbox.rate_limits import TokenBucket
from batchcap.sandbox.world import World

V3_DETAIL_STATUS: Mapping[VideoState, str] = {
    "pending": "pending",
    "running": "running",
    "unknown": "unknown_status",  # no document mentions it
    "completed": "completed",
    "failed": "failed",
}
V3_BULK_STATUS: Mapping[VideoState, str] = {
    **V3_DETAIL_STATUS,
    "pending": "queued",
    "running": "processing",
}
V2_STATUS: Mapping[VideoState, str] = {**V3_DETAIL_STATUS, "completed": "success"}

_MAX_BULK_IDS = 100


class HeyGenApi:
    """HeyGen's API. The request log counts creates as `heygen.create`: batchcap must send none."""

    forbidden_headers: tuple[str, ...] = ("Authorization", "Cookie")

    def __init__(self, world: World) -> None:
        self._world = world
        self._creates = CreateApi(world)

    def route(self, request: Request) -> Route:
        """Return the route of a request."""
        if request.method == "POST" and request.segments[:2] == ("v3", "video-translations"):
            return self._unless_retired("v3", self._create_route(request))
        if request.method != "GET":
            return _route("heygen.other", "/".join(request.segments), self._method_not_allowed)
        match request.segments:
            case ("v3", "video-translations", *rest):
                return self._unless_retired("v3", self._v3_route(request, rest))
            case ("v2", "video_translate", *rest):
                return self._unless_retired("v2", self._v2_route(request, rest))
        return _route("heygen.other", "/".join(request.segments), self._not_found)

    def reject(self, request: Request) -> Response | None:
        """Return 401 for a missing or wrong key, 403 or 402 for a refused account."""
        options = self._world.options
        if request.headers.get("X-Api-Key") != options.heygen_api_key:
            return self._error(request, 401, "unauthorized", "Unauthorized", 400112)
        if options.heygen_forbidden:
            return self._error(request, 403, "forbidden", "Account suspended", 400631)
        if options.heygen_no_credit:
            return self._error(request, 402, "insufficient_credit", "Insufficient credit", 400664)
        return None

    def too_many_requests(self, route: Route, wait: float) -> Response:
        """Return 429 with Retry-After in seconds and no rate limit headers."""
        options = self._world.options
        code, message = "rate_limit_exceeded", "Rate limit exceeded"
        seconds = max(ceil(wait), options.retry_after_seconds)
        if not wait and options.heygen_quota_seconds:
            code, message = "quota_exceeded", "Quota exceeded"
            seconds = options.heygen_quota_seconds
        body = {"error": {"code": code, "message": message}}
        return json_response(429, body, (("Retry-After", str(seconds)),))

    def with_headers(self, response: Response, bucket: TokenBucket | None) -> Response:
        """Add an X-Request-Id."""
        request_id = random_draws.hex_digits(32, self._world.options.seed, next(self._world.serial))
        return response._replace(headers=(*response.headers, ("X-Request-Id", request_id)))

    def server_error(self, route: Route, status: int) -> Response:
        """Return a server error in JSON."""
        error = {"code": "internal_error", "message": "Internal error"}
        return json_response(status, {"error": error})

    def expired_link(self) -> Response:
        """This host serves no links."""
        raise NotImplementedError

    def _unless_retired(self, version: str, route: Route) -> Route:
        options = self._world.options
        status = options.heygen_v3 if version == "v3" else options.heygen_v2
        if status == "on":
            return route
        response = retired_route(status, options.gone_body)
        return _route(f"heygen.{version}.gone", route.key, lambda _: response)

    def _create_route(self, request: Request) -> Route:
        key = request.headers.get("Idempotency-Key") or random_draws.hex_digits(16, request.body)
        match request.segments[2:]:
            case ():
                return Route("heygen.create", key, "heygen", "write", self._creates.create)
            case ("batches",):
                return Route("heygen.create", key, "heygen", "write", self._creates.create_batch)
        return _route("heygen.other", "/".join(request.segments), self._method_not_allowed)

    def _v3_route(self, request: Request, rest: list[str]) -> Route:
        match rest:
            case []:
                return _route("heygen.v3.list", request.query, self._v3_list)
            case ("statuses",):
                return _route("heygen.v3.statuses", request.query, self._v3_statuses)
            case ("languages",):
                return _route("heygen.v3.languages", "", self._v3_languages)
            case ("batches", *batch_id):
                handle = self._v3_batch if len(batch_id) == 1 else self._method_not_allowed
                return _route("heygen.v3.batch", "/".join(batch_id), handle)
            case (video_id,):
                return _route("heygen.v3.video", video_id, self._v3_video)
        return _route("heygen.other", "/".join(request.segments), self._not_found)

    def _v2_route(self, request: Request, rest: list[str]) -> Route:
        match rest:
            case ("caption",):
                video_id = parse_qs(request.query).get("video_translate_id", [""])[-1]
                return _route("heygen.v2.caption", video_id, self._v2_caption)
            case ("target_languages",):
                return _route("heygen.v2.languages", "", self._v2_languages)
            case (video_id,):
                return _route("heygen.v2.status", video_id, self._v2_status)
        return _route("heygen.other", "/".join(request.segments), self._not_found)

    def _v3_video(self, request: Request) -> Response:
        video_id = request.segments[-1]
        error = self._access_error(request, video_id)
        return error or json_response(200, {"data": self._v3_detail(video_id, request.now)})

    def _v3_list(self, request: Request) -> Response:
        query = parse_qs(request.query, keep_blank_values=True)
        limit, token = ",".join(query.get("limit", ["10"])), query.get("token", ["0"])[-1]
        if not (is_number(limit) and 1 <= int(limit) <= 100):
            return invalid_parameter("limit", "limit must be between 1 and 100")
        if not is_number(token):
            return invalid_parameter("token", "token is not valid")
        options = self._world.options
        in_account = account_ids(options.heygen_account, options.heygen_ids)
        newest_first = (*in_account, *self._world.translations.by_id)[::-1]
        first, end = int(token), int(token) + int(limit)
        rows = [
            self._v3_detail(video_id, request.now)
            for video_id in newest_first[first:end]
            if video_exists(self._world, video_id)
        ]
        return json_response(200, page(rows, end, len(newest_first)))

    def _v3_statuses(self, request: Request) -> Response:
        query = parse_qs(request.query)
        joined = ",".join(query.get("video_translation_ids", []))
        ids = list(dict.fromkeys(video_id for video_id in joined.split(",") if video_id))
        for batch_id in ",".join(query.get("batch_ids", [])).split(","):
            ids += [item.id for item in self._world.translations.batch(batch_id)]
        if not ids and "batch_ids" not in query:
            return invalid_parameter(
                "video_translation_ids", "video_translation_ids or batch_ids is needed"
            )
        if len(ids) > _MAX_BULK_IDS:
            return invalid_parameter(
                "video_translation_ids", f"at most {_MAX_BULK_IDS} ids are allowed"
            )
        token = query.get("token", ["0"])[-1]
        if not is_number(token):
            return invalid_parameter("token", "token is not valid")
        # Not in the order of the request: no document promises it.
        seed = self._world.options.seed
        ids.sort(key=lambda video_id: random_draws.uniform(seed, "order", video_id))
        end = int(token) + self._world.options.statuses_page
        rows = [self._v3_bulk_status(video_id, request.now) for video_id in ids[int(token) : end]]
        return json_response(200, page(rows, end, len(ids)))

    def _v3_languages(self, request: Request) -> Response:
        return json_response(200, {"data": {"languages": list(tags_by_name())}})

    def _v3_batch(self, request: Request) -> Response:
        return self._creates.get_batch(
            request, lambda video_id: self._v3_bulk_status(video_id, request.now)
        )

    def _v2_caption(self, request: Request) -> Response:
        query = parse_qs(request.query, keep_blank_values=True)
        for field in ("video_translate_id", "caption_type"):
            if field not in query:
                message = f"{field} is required"
                return self._error(request, 400, "invalid_parameter", message, 40001)
        if query["caption_type"][-1] != "vtt":
            message = "caption_type must be vtt"
            return self._error(request, 400, "invalid_parameter", message, 40012)
        video_id = query["video_translate_id"][-1]
        return self._access_error(request, video_id) or self._v2_link(request, video_id)

    def _v2_link(self, request: Request, video_id: str) -> Response:
        status = video_status(self._world, video_id, request.now)
        without_caption = self._world.options.heygen_v2_unready
        if status.caption_link == "present":
            data: dict[str, Any] = {"caption_url": self._caption_url(video_id, request.now)}
        elif without_caption == "error":
            message = "caption is not ready"
            return self._error(request, 400, "resource_not_ready", message, 400)
        elif without_caption == "absent":
            data = {}
        else:
            data = {"caption_url": "" if without_caption == "empty" else None}
        return json_response(200, {"error": None, "data": data})

    def _v2_status(self, request: Request) -> Response:
        video_id = request.segments[-1]
        error = self._access_error(request, video_id)
        if error:
            return error
        state = video_status(self._world, video_id, request.now).state
        data = {
            "video_translate_id": video_id,
            "title": f"Translation {video_id}",
            "status": V2_STATUS[state],
            "url": video_url(self._world, video_id) if state == "completed" else None,
            "message": failure_message(video_id) if state == "failed" else None,
        }
        return json_response(200, {"error": None, "data": data})

    def _v2_languages(self, request: Request) -> Response:
        return json_response(200, {"error": None, "data": {"languages": list(tags_by_name())}})

    def _access_error(self, request: Request, video_id: str) -> Response | None:
        if not video_exists(self._world, video_id):
            message = "Video translation not found"
            return self._error(request, 404, "video_not_found", message, 40031)
        if "forbidden" in keywords(video_id):
            return self._error(request, 403, "resource_access_denied", "Access denied", 400573)
        return None

    def _v3_bulk_status(self, video_id: str, now: float) -> dict[str, Any]:
        status: str = "not_found"
        error: dict[str, str] | None = None
        created = self._world.translations.by_id.get(video_id)
        if video_exists(self._world, video_id):
            state = video_status(self._world, video_id, now).state
            status = V3_BULK_STATUS[state]
            if state == "failed":
                error = {"code": "translation_failed", "message": failure_message(video_id)}
        return {
            "video_id": video_id,
            "status": status,
            "error": error,
            "batch_id": created.batch_id if created else None,
            "item_index": created.item_index if created else None,
        }

    def _v3_detail(self, video_id: str, now: float) -> dict[str, Any]:
        state, caption_link = video_status(self._world, video_id, now)
        detail: dict[str, Any] = {
            "id": video_id,
            "title": f"Translation {video_id}",
            "status": V3_DETAIL_STATUS[state],
            "input_language": "en",
            "output_language": language_of(video_id),
            "duration": round(30 + 600 * random_draws.uniform("duration", video_id), 1),
            "created_at": 1760000000,
            "callback_id": None,
            "translate_audio_only": False,
            "video_url": video_url(self._world, video_id) if state == "completed" else None,
            "audio_url": None,
            "srt_caption_url": None,
            "vtt_caption_url": None,
        }
        created = self._world.translations.by_id.get(video_id)
        if created is not None:
            detail |= {
                "title": created.title,
                "output_language": created.language,
                "duration": created.seconds,
                "created_at": int(created.created),
                "callback_id": created.callback_id,
            }
        if state == "failed":
            detail["failure_message"] = failure_message(video_id)
        if caption_link in ("present", "srt"):
            detail["srt_caption_url"] = self._caption_url(video_id, now, ".srt")
        if caption_link == "present":
            detail["vtt_caption_url"] = self._caption_url(video_id, now)
        elif caption_link == "empty":
            detail["vtt_caption_url"] = ""
        return detail

    def _caption_url(self, video_id: str, now: float, suffix: str = ".vtt") -> str:
        expires = now + self._world.options.link_seconds
        return self._world.url + self._world.links.cdn_link(video_id, expires, suffix)

    def _not_found(self, request: Request) -> Response:
        return json_response(404, {"message": "Not Found"})

    def _method_not_allowed(self, request: Request) -> Response:
        error = {"code": "method_not_allowed", "message": "Method not allowed"}
        allowed = "POST" if request.segments[-1] == "batches" else "GET"
        if request.segments == ("v3", "video-translations"):
            allowed = "GET, POST"
        return json_response(405, {"error": error}, (("Allow", allowed),))

    def _error(
        self, request: Request, status: int, code: str, message: str, v2_code: int
    ) -> Response:
        if request.segments[:1] != ("v2",):
            return json_response(status, {"error": {"code": code, "message": message}})
        shape = self._world.options.heygen_error_shape
        if shape == "null":
            body = {"code": v2_code, "message": message, "error": None, "data": None}
            return json_response(status, body)
        error = message if shape == "string" else {"code": v2_code, "message": message}
        return json_response(status, {"error": error, "data": None})


def _route(name: str, key: str, handle: Callable[[Request], Response]) -> Route:
    return Route(name, key, "heygen", "read", handle)
