"""Caption files as both file hosts serve them."""

from __future__ import annotations

import gzip

from batchcap.sandbox import captions
from batchcap.sandbox.http_types import Answer, Call, as_html
from batchcap.sandbox.id_keywords import words
from batchcap.sandbox.world import Scene


def vtt(scene: Scene, call: Call, identifier: str, language: str) -> Answer:
    """The caption file of an id in a language, or what its words put in its place."""
    known = words(identifier)
    if "html" in known:
        return as_html(200, "Sign in")
    body = captions.text(identifier, language, scene.options.caption_bytes)
    if "badvtt" in known:
        body = b"1\n00:00:00,000 --> 00:00:02,000\nThis is SubRip, not WebVTT.\n"
    if "nofile" in known:
        body = b""
    if scene.options.gzip and "gzip" in call.headers.get("Accept-Encoding", ""):
        encoded = gzip.compress(body, 1, mtime=0)
        return Answer(200, encoded, "text/vtt", (("Content-Encoding", "gzip"),))
    return Answer(200, body, "text/vtt")
