"""The host of MUX_STREAM_BASE_URL: `/{playback id}/text/{track id}.vtt`.

Mux docs: 404 is `{"code": 5, "message": "Not Found"}`, 400 is code 3. A signed
playback id needs `?token=` with a JWT: RS256, `kid`, `sub` = playback id, `aud` =
"v", `exp`. What a bad token is told is not documented; here it is 403.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qs

import msgspec

from batchcap.sandbox.caption_files import vtt
from batchcap.sandbox.http_types import Answer, Call, Route, as_json
from batchcap.sandbox.mux.assets import Track, asset_of
from batchcap.sandbox.rate_limits import Bucket
from batchcap.sandbox.world import Scene

_BAD_REQUEST = as_json(400, {"code": 3, "message": "Invalid parameter"})
_NOT_FOUND = as_json(404, {"code": 5, "message": "Not Found"})
_FORBIDDEN = as_json(403, {"code": 7, "message": "Permission denied"})


class Stream:
    """Serves text tracks, those of the assets and those that jobs uploaded."""

    foreign: tuple[str, ...] = ("Authorization", "X-Api-Key", "Cookie")

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def route(self, call: Call) -> Route:
        """Any path asks for a track, well or badly."""
        key = "/".join(call.parts)
        return Route("stream.track", key, "downloads", "stream", self._track)

    def refuse(self, call: Call) -> Answer | None:
        """Nobody is refused: playback needs no credentials of the API."""
        return None

    def throttled(self, route: Route, wait: float) -> Answer:
        """Playback has no limit (Mux docs)."""
        raise NotImplementedError

    def dressed(self, answer: Answer, bucket: Bucket | None) -> Answer:
        """As it is."""
        return answer

    def broken(self, route: Route, status: int) -> Answer:
        """A server error in JSON."""
        return as_json(status, {"code": 13, "message": "Internal error"})

    def expired(self) -> Answer:
        """What a token that has expired gets."""
        return _FORBIDDEN

    def _track(self, call: Call) -> Answer:
        match call.parts:
            case (playback_id, "text", name) if call.method == "GET" and name.endswith(".vtt"):
                return self._served(call, playback_id, name.removesuffix(".vtt"))
        return _BAD_REQUEST

    def _served(self, call: Call, playback_id: str, track_id: str) -> Answer:
        asset_id, policy = asset_of(playback_id)
        if not asset_id:
            return _NOT_FOUND
        if policy == "drm" or (policy == "signed" and not self._admits(call, playback_id)):
            return _FORBIDDEN
        track: Track | None = self._scene.jobs.track(asset_id, track_id, call.now)
        if track is None or track.status != "ready":
            return _NOT_FOUND
        return vtt(self._scene, call, asset_id, track.language)

    def _admits(self, call: Call, playback_id: str) -> bool:
        options = self._scene.options
        token = parse_qs(call.query).get("token", [""])[-1]
        head, claims = _opened(token)
        audience = claims.get("aud")
        right = (
            head.get("kid") == options.mux_signing_key
            and claims.get("sub") == playback_id
            and audience in ("v", ["v"])
            and isinstance(claims.get("exp"), int)
            and claims["exp"] > call.now
        )
        return right and _signed(token, options.mux_signing_public_key)


def _opened(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        head, claims, _ = token.split(".")
        return _part(head), _part(claims)
    except ValueError:
        return {}, {}


def _part(text: str) -> dict[str, Any]:
    padded = text + "=" * (-len(text) % 4)
    return msgspec.json.decode(urlsafe_b64decode(padded), type=dict[str, Any])


def _signed(token: str, public_key: str | None) -> bool:
    # PyJWT is an extra; without it, or without a key, the claims have to do.
    if public_key is None or find_spec("jwt") is None:
        return True
    import jwt

    try:
        jwt.PyJWS().decode(token, public_key, algorithms=["RS256"])  # the claims are judged above
    except jwt.InvalidTokenError:
        return False
    return True
