"""The sandbox's own routes, for tests and people in another process.

======  ==================  =====================================================
GET     /sandbox/request-log    `RequestLog.document`, and when videos ended that ran at first
GET     /sandbox/options    the options as they are
POST    /sandbox/options    JSON of the fields to change; answers with all of them
POST    /sandbox/clock      {"advance": seconds}: put the clock forward
======  ==================  =====================================================
"""

from __future__ import annotations

from typing import Any

import msgspec

from batchcap.sandbox.heygen.videos import ended
from batchcap.sandbox.http_types import Answer, Call, as_json
from batchcap.sandbox.request_log import RequestLog
from batchcap.sandbox.world import Scene


class _Advance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    advance: float


class Control:
    """Answers the sandbox's own routes; nothing of it enters the journal."""

    def __init__(self, scene: Scene, journal: RequestLog) -> None:
        self._scene = scene
        self._request_log = journal

    def answer(self, call: Call) -> Answer:
        """Any request to `/sandbox`; 400 with the reason for one that makes no sense."""
        try:
            return self._answer(call)
        except (ValueError, TypeError, msgspec.MsgspecError) as fault:
            return as_json(400, {"error": str(fault)})

    def _answer(self, call: Call) -> Answer:
        match (call.method, *call.parts):
            case ("GET", "request-log"):
                videos = {"videos_ended": ended(self._scene, call.now)}
                return as_json(200, self._request_log.document(call.now) | videos)
            case ("POST", "options"):
                fields = msgspec.json.decode(call.body, type=dict[str, Any])
                self._scene.change(self._scene.options.but(**fields))
                return self._options()
            case ("GET", "options"):
                return self._options()
            case ("POST", "clock"):
                seconds = msgspec.json.decode(call.body, type=_Advance).advance
                self._scene.advance(seconds)
                return as_json(200, {"now": self._scene.clock.now()})
        return as_json(404, {"error": "there is no such route"})

    def _options(self) -> Answer:
        return as_json(200, msgspec.to_builtins(self._scene.options))
