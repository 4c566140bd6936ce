"""The host of MUX_STREAM_BASE_URL: `/{playback id}/text/{track id}.vtt`.

Mux docs: 404 is `{"code": 5, "message": "Not Found"}`, 400 is code 3. A signed playback id
needs `?token=` with a JWT: RS256, `kid`, `sub` = playback id, `aud` = "v", `exp`. The response
to an invalid token is not documented; here it is 403.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qs

import msgspec

from batchcap.sandbox.caption_responses import serve_vtt
from batchcap.sandbox.caption_text import make_webvtt
from batchcap.sandbox.http_types import Request, Response, Route, json_response
from batchcap.sandbox.id_keywords import keywords
from batchcap.sandbox.mux.assets import Track, find_asset, parse_playback_id
from batchcap.sandbox.rate_limits import TokenBucket
from batchcap.sandbox.world import World

_BAD_REQUEST = json_response(400, {"code": 3, "message": "Invalid parameter"})
_NOT_FOUND = json_response(404, {"code": 5, "message": "Not Found"})
_FORBIDDEN = json_response(403, {"code": 7, "message": "Permission denied"})


class StreamHost:
    """Serves text tracks: those of the assets, and those that jobs uploaded."""

    forbidden_headers: tuple[str, ...] = ("Authorization", "X-Api-Key", "Cookie")

    def __init__(self, world: World) -> None:
        self._world = world

    def route(self, request: Request) -> Route:
        """Return the track route for any path."""
        key = "/".join(request.segments)
        return Route("stream.track", key, "downloads", "stream", self._get_track)

    def reject(self, request: Request) -> Response | None:
        """Reject nothing: playback needs no API credentials."""
        return None

    def too_many_requests(self, route: Route, wait: float) -> Response:
        """Playback has no rate limit (Mux docs)."""
        raise NotImplementedError

    def with_headers(self, response: Response, bucket: TokenBucket | None) -> Response:
        """Return the response unchanged."""
        return response

    def server_error(self, route: Route, status: int) -> Response:
        """Return a server error in JSON."""
        return json_response(status, {"code": 13, "message": "Internal error"})

    def expired_link(self) -> Response:
        """Return the response to an expired token."""
        return _FORBIDDEN

    def _get_track(self, request: Request) -> Response:
        match request.segments:
            case (playback_id, "text", name) if request.method == "GET" and name.endswith(".vtt"):
                return self._serve_track(request, playback_id, name.removesuffix(".vtt"))
        return _BAD_REQUEST

    def _serve_track(self, request: Request, playback_id: str, track_id: str) -> Response:
        asset_id, policy = parse_playback_id(playback_id)
        if not asset_id:
            return _NOT_FOUND
        if policy == "drm" or (policy == "signed" and not self._has_valid_token(request)):
            return _FORBIDDEN
        track: Track | None = self._world.jobs.track(asset_id, track_id, request.now)
        if track is None or track.status != "ready":
            return _NOT_FOUND
        asset = find_asset(asset_id)
        if asset is not None and track in asset.tracks:
            return self._serve_source(request, asset_id, track)
        return serve_vtt(self._world, request, asset_id, track.language)

    def _serve_source(self, request: Request, asset_id: str, track: Track) -> Response:
        """Serve a track that no job made."""
        present, size = keywords(asset_id), self._world.options.caption_bytes
        if "nosource" in present:
            return _NOT_FOUND
        if "badsource" in present:
            return Response(200, b"{}", "text/vtt")
        if "bigsource" in present:
            return Response(200, make_webvtt(asset_id, track.language, 100 * size), "text/vtt")
        return serve_vtt(self._world, request, asset_id, track.language)

    def _has_valid_token(self, request: Request) -> bool:
        options = self._world.options
        token = parse_qs(request.query).get("token", [""])[-1]
        header, claims = _decode_token(token)
        has_valid_claims = (
            header.get("kid") == options.mux_signing_key
            and claims.get("sub") == request.segments[0]
            and claims.get("aud") in ("v", ["v"])
            and isinstance(claims.get("exp"), int)
            and claims["exp"] > request.now
        )
        return has_valid_claims and _has_valid_signature(token, options.mux_signing_public_key)


def _decode_token(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a token, both empty if it is malformed."""
    try:
        header, claims, _ = token.split(".")
        return _decode_part(header), _decode_part(claims)
    except ValueError:
        return {}, {}


def _decode_part(text: str) -> dict[str, Any]:
    padded = text + "=" * (-len(text) % 4)
    return msgspec.json.decode(urlsafe_b64decode(padded), type=dict[str, Any])


def _has_valid_signature(token: str, public_key: str | None) -> bool:
    # PyJWT is an extra. Without it, or without a key, the claims alone decide.
    if public_key is None or find_spec("jwt") is None:
        return True
    import jwt

    try:
        jwt.PyJWS().decode(token, public_key, algorithms=["RS256"])  # the claims are checked above
    except jwt.InvalidTokenError:
        return False
    return True
