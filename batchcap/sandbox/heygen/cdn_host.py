"""The file host behind HeyGen's caption links; responds as CloudFront does."""

from __future__ import annotations

from batchcap.sandbox.caption_responses import serve_srt, serve_vtt
from batchcap.sandbox.heygen.videos import language_of
from batchcap.sandbox.http_types import Request, Response, Route, xml_error
from batchcap.sandbox.id_keywords import keywords
from batchcap.sandbox.rate_limits import TokenBucket
from batchcap.sandbox.world import World


class CdnHost:
    """Serves the caption files of HeyGen videos by signed link."""

    forbidden_headers: tuple[str, ...] = ("Authorization", "X-Api-Key", "Cookie")

    def __init__(self, world: World) -> None:
        self._world = world

    def route(self, request: Request) -> Route:
        """Return the file route for any path."""
        key = "/".join(request.segments)
        return Route("files2.file", key, "downloads", "file", self._get_file)

    def reject(self, request: Request) -> Response | None:
        """Reject nothing: only the link's signature counts."""
        return None

    def too_many_requests(self, route: Route, wait: float) -> Response:
        """This host has no rate limit."""
        raise NotImplementedError

    def with_headers(self, response: Response, bucket: TokenBucket | None) -> Response:
        """Return the response unchanged."""
        return response

    def server_error(self, route: Route, status: int) -> Response:
        """Return a server error in XML."""
        return xml_error(status, "InternalError", "We encountered an internal error.")

    def expired_link(self) -> Response:
        """Return 403, the same for an expired and for a forged link."""
        return xml_error(403, "AccessDenied", "Access denied")

    def _get_file(self, request: Request) -> Response:
        status = self._world.links.check_cdn_link(request.raw_path, request.now)
        if status != "valid":
            return self.expired_link()
        video_id, suffix = request.segments[-1][:-4], request.segments[-1][-4:]
        if "deadlink" in keywords(video_id):
            return self.expired_link()
        serve = serve_srt if suffix == ".srt" else serve_vtt
        return serve(self._world, request, video_id, language_of(video_id))
