"""The object store behind Mux's temporary VTT links; answers as Google Cloud Storage does."""

from __future__ import annotations

from batchcap.sandbox.caption_files import vtt
from batchcap.sandbox.http_types import Answer, Call, Route, as_xml
from batchcap.sandbox.id_keywords import words
from batchcap.sandbox.rate_limits import Bucket
from batchcap.sandbox.world import Scene


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
