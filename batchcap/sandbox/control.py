"""The sandbox's own routes, for tests and people in another process.

======  =====================  ====================================================
GET     /sandbox/request-log   `RequestLog.document`, ends of running videos, HeyGen creates
GET     /sandbox/options       the current options
POST    /sandbox/options       JSON of the fields to change; returns all options
POST    /sandbox/clock         {"advance": seconds}: put the clock forward
======  =====================  ====================================================
"""

from __future__ import annotations

from typing import Any

import msgspec

from batchcap.sandbox.heygen.videos import ended_videos
from batchcap.sandbox.http_types import Request, Response, json_response
from batchcap.sandbox.request_log import RequestLog
from batchcap.sandbox.world import World


class _Advance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    advance: float


class ControlApi:
    """Serves the sandbox's own routes. They are not logged."""

    def __init__(self, world: World, request_log: RequestLog) -> None:
        self._world = world
        self._request_log = request_log

    def handle(self, request: Request) -> Response:
        """Handle any request to `/sandbox`; an invalid one gets 400 with the reason."""
        try:
            return self._handle(request)
        except (ValueError, TypeError, msgspec.MsgspecError) as error:
            return json_response(400, {"error": str(error)})

    def _handle(self, request: Request) -> Response:
        match (request.method, *request.segments):
            case ("GET", "request-log"):
                log = self._request_log.document(request.now)
                return json_response(200, log | self._heygen_document(request.now))
            case ("POST", "options"):
                fields = msgspec.json.decode(request.body, type=dict[str, Any])
                self._world.change_options(self._world.options.with_changes(**fields))
                return self._options()
            case ("GET", "options"):
                return self._options()
            case ("POST", "clock"):
                seconds = msgspec.json.decode(request.body, type=_Advance).advance
                self._world.advance(seconds)
                return json_response(200, {"now": self._world.clock.now()})
        return json_response(404, {"error": "there is no such route"})

    def _heygen_document(self, now: float) -> dict[str, Any]:
        """Return when running videos ended, and what was created at which price."""
        created = [msgspec.to_builtins(item) for item in self._world.translations]
        return {
            "videos_ended": ended_videos(self._world, now),
            "translations": created,
            "dollars": round(sum(item["dollars"] for item in created), 4),
        }

    def _options(self) -> Response:
        return json_response(200, msgspec.to_builtins(self._world.options))
