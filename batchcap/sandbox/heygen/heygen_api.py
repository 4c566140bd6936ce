"""The host of HEYGEN_API_BASE: translations and their captions, v3 and the older v2.

Three vocabularies for one state: v3 detail, v3 bulk and v2 each have their own.
v2 is as in the caption document; HeyGen docs: an error of v3 is
`{"error": {"code", "message", "param"?}}`, and every answer has an X-Request-Id.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any
from urllib.parse import parse_qs

from batchcap.sandbox import random_draws
from batchcap.sandbox.captions import LANGUAGES
from batchcap.sandbox.heygen.videos import (
    FAILURE,
    ODD,
    Look,
    State,
    account,
    exists,
    language_of,
    look,
    video_link,
)
from batchcap.sandbox.http_types import Answer, Call, Route, as_json, gone
from batchcap.sandbox.id_keywords import words
from batchcap.sandbox.rate_limits import Bucket
from batchcap.sandbox.world import Scene

DETAIL: Mapping[State, str] = {
    "pending": "pending",
    "running": "running",
    "odd": ODD,
    "completed": "completed",
    "failed": "failed",
}
BULK: Mapping[State, str] = {**DETAIL, "pending": "queued", "running": "processing"}
V2: Mapping[State, str] = {**DETAIL, "completed": "success"}

_MOST_IDS = 100


class HeyGen:
    """HeyGen's API. It never creates anything; a POST is counted and refused."""

    foreign: tuple[str, ...] = ("Authorization", "Cookie")

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def route(self, call: Call) -> Route:
        """What the request asks for."""
        if call.method != "GET":
            name = "heygen.post" if call.method == "POST" else "heygen.other"
            return _route(name, "/".join(call.parts), self._no_method)
        match call.parts:
            case ("v3", "video-translations", *rest):
                return self._unless_gone("v3", self._v3_route(call, rest))
            case ("v2", "video_translate", *rest):
                return self._unless_gone("v2", self._v2_route(call, rest))
        return _route("heygen.other", "/".join(call.parts), self._nowhere)

    def refuse(self, call: Call) -> Answer | None:
        """401 for a missing and for a wrong key alike; 402 without credit."""
        options = self._scene.options
        if call.headers.get("X-Api-Key") != options.heygen_api_key:
            return self._error(call, 401, "unauthorized", "Unauthorized", 400112)
        if options.heygen_no_credit:
            return self._error(call, 402, "insufficient_credit", "Insufficient credit", 400664)
        return None

    def throttled(self, route: Route, wait: float) -> Answer:
        """429 with Retry-After in seconds, and no rate headers at all."""
        seconds = max(ceil(wait), self._scene.options.retry_after_seconds)
        body = {"error": {"code": "rate_limit_exceeded", "message": "Rate limit exceeded"}}
        return as_json(429, body, (("Retry-After", str(seconds)),))

    def dressed(self, answer: Answer, bucket: Bucket | None) -> Answer:
        """With an X-Request-Id."""
        identifier = random_draws.name(32, self._scene.options.seed, next(self._scene.serial))
        return answer._replace(headers=(*answer.headers, ("X-Request-Id", identifier)))

    def broken(self, route: Route, status: int) -> Answer:
        """A server error in JSON."""
        return as_json(status, {"error": {"code": "internal_error", "message": "Internal error"}})

    def expired(self) -> Answer:
        """No link leads here."""
        raise NotImplementedError

    def _unless_gone(self, version: str, route: Route) -> Route:
        options = self._scene.options
        state = options.heygen_v3 if version == "v3" else options.heygen_v2
        if state == "on":
            return route
        return _route(f"heygen.{version}.gone", route.key, lambda _: gone(state, options.gone_body))

    def _v3_route(self, call: Call, rest: list[str]) -> Route:
        match rest:
            case []:
                return _route("heygen.v3.list", call.query, self._v3_list)
            case ("statuses",):
                return _route("heygen.v3.statuses", call.query, self._v3_statuses)
            case ("languages",):
                return _route("heygen.v3.languages", "", self._v3_languages)
            case (video_id,):
                return _route("heygen.v3.video", video_id, self._v3_video)
        return _route("heygen.other", "/".join(call.parts), self._nowhere)

    def _v2_route(self, call: Call, rest: list[str]) -> Route:
        match rest:
            case ("caption",):
                video_id = parse_qs(call.query).get("video_translate_id", [""])[-1]
                return _route("heygen.v2.caption", video_id, self._v2_caption)
            case ("target_languages",):
                return _route("heygen.v2.languages", "", self._v2_languages)
            case (video_id,):
                return _route("heygen.v2.status", video_id, self._v2_status)
        return _route("heygen.other", "/".join(call.parts), self._nowhere)

    def _v3_video(self, call: Call) -> Answer:
        video_id = call.parts[-1]
        missing = self._unseen(call, video_id)
        return missing or as_json(200, {"data": self._detail(video_id, call.now)})

    def _v3_list(self, call: Call) -> Answer:
        query = parse_qs(call.query)
        limit, token = query.get("limit", ["10"])[-1], query.get("token", ["0"])[-1]
        if not (limit.isdecimal() and 1 <= int(limit) <= 100):
            return _invalid("limit", "limit must be between 1 and 100")
        if not token.isdecimal():
            return _invalid("token", "token is not valid")
        options = self._scene.options
        newest = account(options.heygen_account, options.heygen_ids)[::-1]
        first, last = int(token), int(token) + int(limit)
        rows = [
            self._detail(video_id, call.now)
            for video_id in newest[first:last]
            if exists(self._scene, video_id)
        ]
        return as_json(200, _page(rows, last, len(newest)))

    def _v3_statuses(self, call: Call) -> Answer:
        query = parse_qs(call.query)
        given = ",".join(query.get("video_translation_ids", []))
        ids = list(dict.fromkeys(each for each in given.split(",") if each))
        if not ids and "batch_ids" not in query:
            return _invalid("video_translation_ids", "video_translation_ids or batch_ids is needed")
        if len(ids) > _MOST_IDS:
            return _invalid("video_translation_ids", f"at most {_MOST_IDS} ids are allowed")
        token = query.get("token", ["0"])[-1]
        if not token.isdecimal():
            return _invalid("token", "token is not valid")
        # Not the order asked for: nothing promises it.
        ids.sort(
            key=lambda video_id: random_draws.share(self._scene.options.seed, "order", video_id)
        )
        last = int(token) + self._scene.options.statuses_page
        rows = [self._status(video_id, call.now) for video_id in ids[int(token) : last]]
        return as_json(200, _page(rows, last, len(ids)))

    def _v3_languages(self, call: Call) -> Answer:
        return as_json(200, {"data": {"languages": list(LANGUAGES)}})

    def _v2_caption(self, call: Call) -> Answer:
        query = parse_qs(call.query, keep_blank_values=True)
        for field in ("video_translate_id", "caption_type"):
            if field not in query:
                return self._error(call, 400, "invalid_parameter", f"{field} is required", 40001)
        if query["caption_type"][-1] != "vtt":
            return self._error(call, 400, "invalid_parameter", "caption_type must be vtt", 40012)
        video_id = query["video_translate_id"][-1]
        missing = self._unseen(call, video_id)
        return missing or self._v2_link(call, video_id)

    def _v2_link(self, call: Call, video_id: str) -> Answer:
        seen = look(self._scene, video_id, call.now)
        unready = self._scene.options.heygen_v2_unready
        if seen.caption == "link":
            data: dict[str, Any] = {"caption_url": self._link(video_id, call.now)}
        elif unready == "error":
            return self._error(call, 400, "resource_not_ready", "caption is not ready", 400)
        elif unready == "absent":
            data = {}
        else:
            data = {"caption_url": "" if unready == "empty" else None}
        return as_json(200, {"error": None, "data": data})

    def _v2_status(self, call: Call) -> Answer:
        video_id = call.parts[-1]
        missing = self._unseen(call, video_id)
        if missing:
            return missing
        seen = look(self._scene, video_id, call.now)
        data = {
            "video_translate_id": video_id,
            "title": f"Translation {video_id}",
            "status": V2[seen.state],
            "url": video_link(self._scene, video_id) if seen.state == "completed" else None,
            "message": FAILURE if seen.state == "failed" else None,
        }
        return as_json(200, {"error": None, "data": data})

    def _v2_languages(self, call: Call) -> Answer:
        return as_json(200, {"error": None, "data": {"languages": list(LANGUAGES)}})

    def _unseen(self, call: Call, video_id: str) -> Answer | None:
        if not exists(self._scene, video_id):
            return self._error(call, 404, "video_not_found", "Video translation not found", 40031)
        if "forbidden" in words(video_id):
            return self._error(call, 403, "resource_access_denied", "Access denied", 400573)
        return None

    def _status(self, video_id: str, now: float) -> dict[str, Any]:
        status, failure = "not_found", None
        if exists(self._scene, video_id):
            state = look(self._scene, video_id, now).state
            status = BULK[state]
            failure = FAILURE if state == "failed" else None
        return {
            "video_id": video_id,
            "status": status,
            "error": failure,
            "batch_id": None,
            "item_index": None,
        }

    def _detail(self, video_id: str, now: float) -> dict[str, Any]:
        seen: Look = look(self._scene, video_id, now)
        detail: dict[str, Any] = {
            "id": video_id,
            "title": f"Translation {video_id}",
            "status": DETAIL[seen.state],
            "input_language": "en",
            "output_language": language_of(video_id),
            "duration": round(30 + 600 * random_draws.share("duration", video_id), 1),
            "created_at": 1760000000,
            "callback_id": None,
            "translate_audio_only": False,
            "video_url": video_link(self._scene, video_id) if seen.state == "completed" else None,
            "audio_url": None,
            "srt_caption_url": None,
            "vtt_caption_url": None,
        }
        if seen.state == "failed":
            detail["failure_message"] = FAILURE
        if seen.caption != "null":
            detail["vtt_caption_url"] = self._link(video_id, now) if seen.caption == "link" else ""
        return detail

    def _link(self, video_id: str, now: float) -> str:
        expires = now + self._scene.options.link_seconds
        return self._scene.url + self._scene.links.files2(video_id, expires)

    def _nowhere(self, call: Call) -> Answer:
        return as_json(404, {"message": "Not Found"})

    def _no_method(self, call: Call) -> Answer:
        body = {"error": {"code": "method_not_allowed", "message": "Method not allowed"}}
        return as_json(405, body, (("Allow", "GET"),))

    def _error(self, call: Call, status: int, code: str, message: str, number: int) -> Answer:
        if call.parts[:1] != ("v2",):
            return as_json(status, {"error": {"code": code, "message": message}})
        shape = self._scene.options.heygen_error_shape
        if shape == "null":
            body = {"code": number, "message": message, "error": None, "data": None}
            return as_json(status, body)
        value = message if shape == "string" else {"code": code, "message": message}
        return as_json(status, {"error": value, "data": None})


def _route(name: str, key: str, handle: Any) -> Route:
    return Route(name, key, "heygen", "read", handle)


def _invalid(parameter: str, message: str) -> Answer:
    error = {"code": "invalid_parameter", "message": message, "param": parameter}
    return as_json(400, {"error": error})


def _page(rows: list[dict[str, Any]], last: int, total: int) -> dict[str, Any]:
    more = last < total
    return {"data": rows, "has_more": more, "next_token": str(last) if more else None}
