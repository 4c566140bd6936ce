"""The file hosts: object stores that serve a signed link and know nothing else."""

from __future__ import annotations

import gzip

from batchcap.sandbox import captions
from batchcap.sandbox.answers import Answer, Call, Route, as_html, as_xml
from batchcap.sandbox.limits import Bucket
from batchcap.sandbox.scene import Scene
from batchcap.sandbox.videos import language_of
from batchcap.sandbox.words import words


class Storage:
    """The store behind Mux's temporary_vtt_url; answers as Google Cloud Storage does."""

    foreign: tuple[str, ...] = ("Authorization", "X-Api-Key", "Cookie")

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def route(self, call: Call) -> Route:
        """Any path asks for a file."""
        return Route("storage.file", "/".join(call.parts), "downloads", "file", self._file)

    def refuse(self, call: Call) -> Answer | None:
        """The signature decides, not the caller."""
        return None

    def throttled(self, route: Route, wait: float) -> Answer:
        """Stores have no limit here."""
        raise NotImplementedError

    def dressed(self, answer: Answer, bucket: Bucket | None) -> Answer:
        """As it is."""
        return answer

    def broken(self, route: Route, status: int) -> Answer:
        """A server error in XML."""
        return as_xml(status, "InternalError", "We encountered an internal error.")

    def expired(self) -> Answer:
        """400, not 403: that is how GCS says that a V4 link has expired."""
        return as_xml(
            *(400, "ExpiredToken", "The provided token has expired."),
            details="Request signature expired",
        )

    def _file(self, call: Call) -> Answer:
        verdict = self._scene.links.judge_storage(call.raw_path, call.now)
        if verdict == "forged":
            return as_xml(403, "SignatureDoesNotMatch", "Access denied.")
        if verdict == "malformed":
            return as_xml(400, "MalformedSecurityHeader", "Your request has a malformed header.")
        _, _, asset_id, name = call.parts
        if verdict == "expired" or "deadlink" in words(asset_id):
            return self.expired()
        return vtt(self._scene, call, asset_id, name.removesuffix(".vtt"))


class Files2:
    """The store behind HeyGen's caption links; answers as CloudFront does."""

    foreign: tuple[str, ...] = ("Authorization", "X-Api-Key", "Cookie")

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def route(self, call: Call) -> Route:
        """Any path asks for a file."""
        return Route("files2.file", "/".join(call.parts), "downloads", "file", self._file)

    def refuse(self, call: Call) -> Answer | None:
        """The signature decides, not the caller."""
        return None

    def throttled(self, route: Route, wait: float) -> Answer:
        """Stores have no limit here."""
        raise NotImplementedError

    def dressed(self, answer: Answer, bucket: Bucket | None) -> Answer:
        """As it is."""
        return answer

    def broken(self, route: Route, status: int) -> Answer:
        """A server error in XML."""
        return as_xml(status, "InternalError", "We encountered an internal error.")

    def expired(self) -> Answer:
        """403, the same for an expired and for a forged link."""
        return as_xml(403, "AccessDenied", "Access denied")

    def _file(self, call: Call) -> Answer:
        verdict = self._scene.links.judge_files2(call.raw_path, call.now)
        if verdict != "good":
            return self.expired()
        video_id = call.parts[-1].removesuffix(".vtt")
        if "deadlink" in words(video_id):
            return self.expired()
        return vtt(self._scene, call, video_id, language_of(video_id))


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
