"""The response to a request for a caption file; all three file hosts share it."""

from __future__ import annotations

import gzip
from collections.abc import Mapping

from batchcap.sandbox.caption_text import make_srt, make_webvtt
from batchcap.sandbox.http_types import Request, Response, html_response
from batchcap.sandbox.id_keywords import keywords
from batchcap.sandbox.world import World

_BODIES: Mapping[str, bytes] = {
    "badvtt": b"1\n00:00:00,000 --> 00:00:02,000\nThis is SubRip, not WebVTT.\n",
    "nofile": b"",
    "silent": b"WEBVTT\nKind: captions\n\nNOTE nothing is said in this video\n",
    "oddcues": b"""\
WEBVTT - a header with text

STYLE
::cue { color: yellow }

NOTE a note with 00:01 --> 00:02 in it

00:00:01.000 --> 00:00:01.000
A cue of no length

00:00:05.000 --> 00:00:04.000
A cue that ends before it starts

00:06.500 --> 00:08.000 align:start
Without hours, and <i>a --> b</i>

00:00:09.000000 --> 00:00:10.500000
With microseconds

not a timing --> at all
Text that no cue has

00:00:11.000 --> 00:00:12.000
The last one
""",
}
"""The bodies of the files by keyword."""


def serve_vtt(world: World, request: Request, identifier: str, language: str) -> Response:
    """Return the caption file of an id in a language, or what its keywords ask for instead."""
    body = make_webvtt(identifier, language, world.options.caption_bytes)
    for keyword in keywords(identifier) & _BODIES.keys():
        body = _BODIES[keyword]
    return _serve(world, request, identifier, body, "text/vtt")


def serve_srt(world: World, request: Request, identifier: str, language: str) -> Response:
    """Return the same captions as `serve_vtt` in SubRip."""
    body = make_srt(identifier, language, world.options.caption_bytes)
    return _serve(world, request, identifier, body, "application/x-subrip")


def _serve(
    world: World, request: Request, identifier: str, body: bytes, content_type: str
) -> Response:
    if "html" in keywords(identifier):
        return html_response(200, "Sign in")
    if world.options.gzip and "gzip" in request.headers.get("Accept-Encoding", ""):
        compressed = gzip.compress(body, 1, mtime=0)
        return Response(200, compressed, content_type, (("Content-Encoding", "gzip"),))
    encoding = world.options.content_encoding
    headers = () if encoding is None else (("Content-Encoding", encoding),)
    return Response(200, body, content_type, headers)
