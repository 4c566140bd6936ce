"""The file host behind HeyGen's caption links; answers as CloudFront does."""

from __future__ import annotations

from batchcap.sandbox.caption_files import vtt
from batchcap.sandbox.heygen.videos import language_of
from batchcap.sandbox.http_types import Answer, Call, Route, as_xml
from batchcap.sandbox.id_keywords import words
from batchcap.sandbox.rate_limits import Bucket
from batchcap.sandbox.world import Scene


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
