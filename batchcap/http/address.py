"""Where a URL leads: an origin to connect to and a target to ask it for."""

from __future__ import annotations

import re
import string
from functools import lru_cache
from typing import NamedTuple, Self
from urllib.parse import quote

from yarl import URL

_URL = re.compile(r"(https?)://([^/?#\\]+)([^#]*)", re.IGNORECASE)
_UNSENDABLE = re.compile(r"[^!-~]")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


class InvalidAddress(ValueError):
    """No http or https URL; the words do not repeat it."""


class Origin(NamedTuple):
    """What connections are kept for. `host` is a name or an IP address, without brackets."""

    scheme: str
    host: str
    port: int
    named: str
    """As the Host header says it."""


class Address(NamedTuple):
    """`target` is what the request line says: path and query exactly as they were given."""

    origin: Origin
    target: str

    @classmethod
    def of(cls, url: str) -> Self:
        """The address of a URL, none of whose escapes are touched: signatures cover them.

        Raises `InvalidAddress`.
        """
        found = _URL.fullmatch(url.partition("#")[0])
        if found is None:
            raise InvalidAddress("not an http or https URL")
        scheme, authority, target = found.groups()
        target = _sendable(target)
        origin = _origin(scheme.lower(), authority)
        return cls(origin, target if target.startswith("/") else "/" + target)

    def below(self, path: str) -> Address:
        """The address of a path (and query) below this one's; it starts with "/"."""
        return Address(self.origin, self.target.rstrip("/") + _sendable(path))


def _sendable(target: str) -> str:
    """With what no request line may hold escaped, and all else as it was."""
    if not _UNSENDABLE.search(target):
        return target
    try:
        return quote(target, safe=string.punctuation, errors="surrogateescape")
    except UnicodeEncodeError:
        raise InvalidAddress("a URL with half a character") from None


@lru_cache(maxsize=256)
def _origin(scheme: str, authority: str) -> Origin:
    if _CONTROL.search(authority):
        raise InvalidAddress("a URL whose host has control characters")
    try:
        url = URL(f"{scheme}://{authority}/")
        host, port, named = url.raw_host, url.port, url.host_port_subcomponent
    except (ValueError, IndexError):  # yarl's word for "]["
        raise InvalidAddress("not an http or https URL") from None
    if not host or not port or not named:
        raise InvalidAddress("a URL without a host")
    return Origin(scheme, host.lower(), port, named)
