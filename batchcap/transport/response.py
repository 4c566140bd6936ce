"""What a provider answered, and what went wrong where it did.

Both providers describe errors in several shapes, and an edge in front of them
answers HTML or nothing at all. Everything is read tolerantly: the status decides
where nothing else is there.
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
_LONGEST = 300


class Problem(msgspec.Struct, frozen=True):
    """An error as told by the API: `kind` is its machine-readable word, or ""."""

    status: int
    kind: str
    message: str
    request_id: str | None

    def __str__(self) -> str:
        words = f"{self.status}"
        words += f" {self.kind}" if self.kind else ""
        words += f": {self.message}" if self.message else ""
        return words + (f" (request {self.request_id})" if self.request_id else "")


class Answer(msgspec.Struct, frozen=True):
    """One HTTP answer, read whole; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    dashboards: frozenset[str] = frozenset()
    """Hosts whose links stay in messages: the provider's own pages for its users."""

    @property
    def ok(self) -> bool:
        """Whether the request did what it was meant to do."""
        return 200 <= self.status < 300

    @property
    def request_id(self) -> str | None:
        """The provider's name for this request, for its support team.

        From x-request-id, else from a header of the provider's own, like x-mux-request-id.
        """
        found = self.headers.get("x-request-id") or next(
            (value for name, value in self.headers.items() if name.endswith("-request-id")), None
        )
        return clean(found) if found else None

    def json(self) -> Any:
        """The body as JSON, or None where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None

    def data(self) -> dict[str, Any]:
        """The `data` object of the envelope; empty where there is none."""
        return as_object(as_object(self.json()).get("data"))

    def items(self) -> list[dict[str, Any]]:
        """The `data` list of the envelope; empty where there is none."""
        listed = as_object(self.json()).get("data")
        return [as_object(item) for item in listed] if isinstance(listed, list) else []

    def problem(self) -> Problem:
        """What went wrong, by `error` (null, string or object) or by the status."""
        content = as_object(self.json())
        error = content.get("error")
        source = as_object(error) or ({} if isinstance(error, str) else content)
        message = error if isinstance(error, str) else error_message(source)
        kind = text(source.get("type")) or text(source.get("code"))
        shown = clean(message or self._gist(), self.dashboards)
        return Problem(self.status, clean(kind), shown, self.request_id)

    def _gist(self) -> str:
        """A few words for a body that is not the API's: an HTML title, or the status."""
        title = _TITLE.search(self.body[:4096])
        if title:
            return title.group(1).decode("utf-8", "replace").strip()
        try:
            return http.HTTPStatus(self.status).phrase
        except ValueError:
            return ""


def as_object(value: object) -> dict[str, Any]:
    """The value where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    """A string or number as text; "" for everything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def whole(value: object) -> int:
    """A number that is not below 0; 0 for everything else."""
    return int(value) if isinstance(value, (int, float)) and 0 <= value < 1e15 else 0


def fraction(value: object) -> float | None:
    """A number above 0; None for everything else."""
    return float(value) if isinstance(value, (int, float)) and 0 < value < 1e15 else None


def clean(message: str, dashboards: Container[str] = ()) -> str:
    """Return a provider's text as one line without control characters and links.

    Links to the hosts in `dashboards` stay, without their query: a user needs them.
    """
    printable = "".join(c if c.isprintable() else " " for c in message[:4096])
    linkless = _LINK.sub(lambda link: _dashboard_link(link[0], dashboards) or "<link>", printable)
    return " ".join(linkless.split())[:_LONGEST]


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
        messages = [text(item) or text(as_object(item).get("message")) for item in items]
        if any(messages):
            return "; ".join(filter(None, messages))
    return ""
