"""The response to a request for a caption file; all three file hosts share it."""

from __future__ import annotations

import gzip

from batchcap.sandbox.caption_text import make_webvtt
from batchcap.sandbox.http_types import Request, Response, html_response
from batchcap.sandbox.id_keywords import keywords
from batchcap.sandbox.world import World


def serve_vtt(world: World, request: Request, identifier: str, language: str) -> Response:
    """Return the caption file of an id in a language, or what its keywords ask for instead."""
    present = keywords(identifier)
    if "html" in present:
        return html_response(200, "Sign in")
    body = make_webvtt(identifier, language, world.options.caption_bytes)
    if "badvtt" in present:
        body = b"1\n00:00:00,000 --> 00:00:02,000\nThis is SubRip, not WebVTT.\n"
    if "nofile" in present:
        body = b""
    if world.options.gzip and "gzip" in request.headers.get("Accept-Encoding", ""):
        compressed = gzip.compress(body, 1, mtime=0)
        return Response(200, compressed, "text/vtt", (("Content-Encoding", "gzip"),))
    return Response(200, body, "text/vtt")
