"""The object store behind Mux's temporary VTT links; responds as Google Cloud Storage does."""

from __future__ import annotations

from batchcap.sandbox.caption_responses import serve_vtt
from batchcap.sandbox.http_types import Request, Response, Route, xml_error
from batchcap.sandbox.id_keywords import keywords
from batchcap.sandbox.rate_limits import TokenBucket
from batchcap.sandbox.world import World


class StorageHost:
    """Serves the caption files of Mux jobs by signed link."""

    forbidden_headers: tuple[str, ...] = ("Authorization", "X-Api-Key", "Cookie")

    def __init__(self, world: World) -> None:
        self._world = world

    def route(self, request: Request) -> Route:
        """Return the file route for any path."""
        key = "/".join(request.segments)
        return Route("storage.file", key, "downloads", "file", self._get_file)

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
        """Return 400, not 403: GCS responds so to an expired V4 link."""
        return xml_error(
            *(400, "ExpiredToken", "The provided token has expired."),
            details="Request signature expired",
        )

    def _get_file(self, request: Request) -> Response:
        status = self._world.links.check_storage_link(request.raw_path, request.now)
        if status == "forged":
            return xml_error(403, "SignatureDoesNotMatch", "Access denied.")
        if status == "malformed":
            return xml_error(400, "MalformedSecurityHeader", "Your request has a malformed header.")
        _, _, asset_id, name = request.segments
        if status == "expired" or "deadlink" in keywords(asset_id):
            return self.expired_link()
        return serve_vtt(self._world, request, asset_id, name.removesuffix(".vtt"))
