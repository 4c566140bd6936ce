"""A response of a provider's API, and the error in it.

Providers describe errors in several shapes, and a proxy in front of them may respond with
HTML or nothing at all. Everything is parsed tolerantly: if the body says nothing, the status
decides.
"""

from __future__ import annotations

import http
import re
from collections.abc import Container, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
import orjson

_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_LINK = re.compile(r"(?i)https?://\S+")
_MAX_MESSAGE = 300  # characters


class ApiError(msgspec.Struct, frozen=True):
    """An error response. `kind` is the API's machine-readable code, or ""."""

    status: int
    kind: str
    message: str
    request_id: str | None

    def __str__(self) -> str:
        description = f"{self.status}"
        description += f" {self.kind}" if self.kind else ""
        description += f": {self.message}" if self.message else ""
        return description + (f" (request {self.request_id})" if self.request_id else "")


class ApiResponse(msgspec.Struct, frozen=True):
    """A response whose body has been read. Its headers can be looked up in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    dashboards: frozenset[str] = frozenset()
    """Hosts whose links stay in messages: the provider's own pages for its users."""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def request_id(self) -> str | None:
        """The provider's name for this request, for its support team.

        From x-request-id, else from a header of the provider's own, like x-mux-request-id.
        """
        value = self.headers.get("x-request-id") or next(
            (text for name, text in self.headers.items() if name.endswith("-request-id")), None
        )
        return sanitize(value) if value else None

    def json(self) -> Any:
        """Return the parsed body, or None if it is not JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    def data(self) -> dict[str, Any]:
        """Return the `data` object of the envelope; empty if there is none."""
        return as_object(as_object(self.json()).get("data"))

    def items(self) -> list[dict[str, Any]]:
        """Return the objects of the `data` list of the envelope; empty if there is none."""
        listed = as_object(self.json()).get("data")
        return [as_object(item) for item in listed] if isinstance(listed, list) else []

    def error(self) -> ApiError:
        """Return the error, from `error` (null, string or object) or from the status."""
        content = as_object(self.json())
        error = content.get("error")
        source = as_object(error) or ({} if isinstance(error, str) else content)
        message = error if isinstance(error, str) else error_message(source)
        kind = as_text(source.get("type")) or as_text(source.get("code"))
        shown = sanitize(message or self._summary(), self.dashboards)
        return ApiError(self.status, sanitize(kind), shown, self.request_id)

    def _summary(self) -> str:
        """Return a few words about a body that is not the API's: an HTML title, or the status."""
        title = _TITLE.search(self.body[:4096])
        if title:
            return title.group(1).decode("utf-8", "replace").strip()
        try:
            return http.HTTPStatus(self.status).phrase
        except ValueError:
            return ""


def as_object(value: object) -> dict[str, Any]:
    """Return the value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_text(value: object) -> str:
    """Return a string or an integer as text, and "" for everything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def as_count(value: object) -> int:
    """Return a number of at least 0 as an integer, and 0 for everything else."""
    return int(value) if isinstance(value, (int, float)) and 0 <= value < 1e15 else 0


def as_positive_float(value: object) -> float | None:
    """Return a number above 0, and None for everything else."""
    return float(value) if isinstance(value, (int, float)) and 0 < value < 1e15 else None


def sanitize(message: str, dashboards: Container[str] = ()) -> str:
    """Return a provider's text as one line without control characters and links.

    Links to the hosts in `dashboards` stay, without their query: a user needs them.
    """
    printable = "".join(c if c.isprintable() else " " for c in message[:4096])
    linkless = _LINK.sub(lambda link: _dashboard_link(link[0], dashboards) or "<link>", printable)
    return " ".join(linkless.split())[:_MAX_MESSAGE]


def _dashboard_link(link: str, dashboards: Container[str]) -> str | None:
    try:
        parts = urlsplit(link.rstrip(".,;:!?)>'\""))
    except ValueError:
        return None
    is_dashboard = parts.scheme == "https" and parts.netloc in dashboards
    return f"https://{parts.netloc}{parts.path}" if is_dashboard else None


def error_message(source: Mapping[str, Any]) -> str:
    """Return the text of an error object, whether it has one message or several."""
    for name in ("messages", "message", "errors"):
        listed = source.get(name)
        items = listed if isinstance(listed, list) else [listed]
        messages = [as_text(item) or as_text(as_object(item).get("message")) for item in items]
        if any(messages):
            return "; ".join(filter(None, messages))
    return ""
