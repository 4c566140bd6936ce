"""Requests, responses and routes, as the hosts see them: free of any HTTP library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

Header = tuple[str, str]


class Response(NamedTuple):
    """Status, body and headers of a response."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[Header, ...] = ()


class Request(NamedTuple):
    """A request; `segments` are the unquoted parts of the path after the host's own."""

    method: str
    raw_path: str
    segments: tuple[str, ...]
    query: str
    headers: Mapping[str, str]
    body: bytes
    now: float
    """Sandbox time of arrival."""


class Route(NamedTuple):
    """The route that a request matched.

    `name` and `bucket` are what the request log counts by, `key` names the job, video or
    file, and `fault_group` decides which faults may hit the request.
    """

    name: str
    key: str
    bucket: str
    fault_group: str
    handle: Callable[[Request], Response]


def json_response(status: int, value: Any, headers: tuple[Header, ...] = ()) -> Response:
    """Return a response in JSON."""
    return Response(status, orjson.dumps(value), "application/json", headers)


def html_response(status: int, title: str) -> Response:
    """Return an HTML page, as CDN edges and load balancers send it."""
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return Response(status, page.encode(), "text/html; charset=utf-8")


def xml_error(status: int, code: str, message: str, details: str = "") -> Response:
    """Return an error in XML, as object stores send it."""
    more = f"<Details>{details}</Details>" if details else ""
    text = (
        "<?xml version='1.0' encoding='UTF-8'?>"
        f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"
    )
    return Response(status, text.encode(), "application/xml; charset=UTF-8")


def retired_route(route_status: str, body_format: str) -> Response:
    """Return the response of a retired route; `route_status` is "gone404" or "gone410"."""
    status = int(route_status.removeprefix("gone"))
    reason = "Not Found" if status == 404 else "Gone"
    if body_format == "html":
        return html_response(status, f"{status} {reason}")
    return json_response(status, {"message": reason})
