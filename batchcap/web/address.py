"""Where the live page is served, and the token that readers on other machines need."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from batchcap.domain.addresses import is_loopback
from batchcap.domain.errors import UsageError
from batchcap.domain.settings import parse_host_port

DEFAULT_PORT = 8468
_WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104  # compared with, not bound to
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,200}")


class WebAddress(msgspec.Struct, frozen=True):
    """The address of the page; with port 0, any free port. Without `token`, nobody needs one."""

    host: str
    port: int
    token: str = ""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    def url(self, port: int) -> str:
        """Return the URL to open, with the token. `port` is the one that was bound."""
        host = socket.gethostname() if self.host in _WILDCARDS else self.host
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{port}/" + (f"?token={self.token}" if self.token else "")


def parse_web(option: str, text: str, token: str) -> WebAddress:
    """Parse `HOST:PORT`; on another host than loopback without `token`, make one at random.

    Raises:
        UsageError: The address or the token is invalid; the message names `option`.
    """
    host, port = parse_host_port(option, text, DEFAULT_PORT)
    if token and not _TOKEN.fullmatch(token):
        raise UsageError(
            "--web-token: use at least 16 letters, digits, and - . _ ~",
            hint="Without --web-token, another host than loopback gets one at random.",
        )
    if not token and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    return WebAddress(host, port, token)


class Listener(msgspec.Struct, frozen=True):
    """An address and the socket that listens on it."""

    address: WebAddress
    socket: socket.socket

    @property
    def port(self) -> int:
        """The port that was bound."""
        port: int = self.socket.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The URL to open, with the token."""
        return self.address.url(self.port)


@contextmanager
def listener(option: str, address: WebAddress) -> Iterator[Listener]:
    """Listen on an address until the block ends; connections wait until they are accepted.

    Raises:
        UsageError: The address is in use, or is none of this machine; it names `option`.
    """
    with bind(option, address.host, address.port) as bound:
        yield Listener(address, bound)


def bind(option: str, host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; connections wait until they are accepted.

    Raises:
        UsageError: The address is in use, or is none of this machine; it names `option`.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise UsageError(
            f"{option}: cannot listen on {host}:{port}: {error.strerror or error}",
            hint="Another program may use the port. Port 0 is any free one.",
        ) from None
