"""URLs that are sent exactly as they were given: signatures cover every byte."""

from __future__ import annotations

import re
import string
from functools import lru_cache
from urllib.parse import quote

from yarl import URL

_HTTP_URL = re.compile(r"(https?)://([^/?#\\]+)([^#]*)", re.IGNORECASE)
_UNSENDABLE = re.compile(r"[^!-~]")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


class InvalidUrl(ValueError):
    """Not an http or https URL. The message does not repeat it."""


def parse_url(url: str) -> URL:
    """Parse a URL and leave every escape in its path and query as it is.

    What a request line cannot hold is escaped. User, password and fragment are dropped.

    Raises:
        InvalidUrl: It is not an http or https URL.
    """
    match = _HTTP_URL.fullmatch(url.partition("#")[0])
    if match is None:
        raise InvalidUrl("not an http or https URL")
    scheme, authority, target = match.groups()
    target = _sendable(target)
    slash = "" if target.startswith("/") else "/"
    return URL(_origin(scheme.lower(), authority) + slash + target, encoded=True)


def _sendable(target: str) -> str:
    if not _UNSENDABLE.search(target):
        return target
    try:
        return quote(target, safe=string.punctuation, errors="surrogateescape")
    except UnicodeEncodeError:
        raise InvalidUrl("a URL with a lone surrogate") from None


@lru_cache(maxsize=256)
def _origin(scheme: str, authority: str) -> str:
    if _CONTROL.search(authority):
        raise InvalidUrl("a URL with control characters in its host")
    try:
        url = URL(f"{scheme}://{authority}/")
        has_host = bool(url.raw_host and url.port)
    except (ValueError, IndexError):  # yarl raises the latter for "]["
        raise InvalidUrl("not an http or https URL") from None
    if not has_host:
        raise InvalidUrl("a URL without a host")
    return str(url.origin())
