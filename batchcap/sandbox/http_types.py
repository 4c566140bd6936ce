"""What the hosts hand back, before it becomes HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

Header = tuple[str, str]


class Answer(NamedTuple):
    """Status, body and headers of one answer."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[Header, ...] = ()


class Call(NamedTuple):
    """One request as a host sees it; `parts` are the unquoted segments after the host's."""

    method: str
    raw_path: str
    parts: tuple[str, ...]
    query: str
    headers: Mapping[str, str]
    body: bytes
    now: float
    """Sandbox time of arrival."""


class Route(NamedTuple):
    """What a request turned out to be.

    `kind` chooses the faults that may hit it, `key` says what it is about.
    """

    name: str
    key: str
    bucket: str
    kind: str
    handle: Callable[[Call], Answer]


def as_json(status: int, value: Any, headers: tuple[Header, ...] = ()) -> Answer:
    """An answer in JSON."""
    return Answer(status, orjson.dumps(value), "application/json", headers)


def as_html(status: int, title: str) -> Answer:
    """An answer as edges and load balancers give it."""
    page = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return Answer(status, page.encode(), "text/html; charset=utf-8")


def as_xml(status: int, code: str, message: str, details: str = "") -> Answer:
    """An error as object stores give it."""
    more = f"<Details>{details}</Details>" if details else ""
    text = (
        "<?xml version='1.0' encoding='UTF-8'?>"
        f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"
    )
    return Answer(status, text.encode(), "application/xml; charset=UTF-8")


def gone(route: str, body: str) -> Answer:
    """The answer of a router that no longer has the route: "gone404" or "gone410"."""
    status = int(route.removeprefix("gone"))
    words = "Not Found" if status == 404 else "Gone"
    if body == "html":
        return as_html(status, f"{status} {words}")
    return as_json(status, {"message": words})
