"""What sends an API's requests: over HTTP here, to providers in memory in `simulation`."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping
from typing import Protocol

import orjson

from batchcap.domain import failpoints
from batchcap.domain.models import Json
from batchcap.domain.version import __version__
from batchcap.transport.decompression import decompressed
from batchcap.transport.http_errors import BodyLost
from batchcap.transport.http_session import HttpSession, Response, Timeouts
from batchcap.transport.network import Network
from batchcap.transport.response import ApiResponse
from batchcap.transport.url import parse_url

USER_AGENT = f"batchcap/{__version__}"

_MAX_RESPONSE = 16 * 1024 * 1024  # bytes, decompressed
_MIN_SECRET = 12
"""Length from which on a credential is certainly no common word, in bytes."""

_READ_TIMEOUTS = Timeouts(connect=8.0, read=30.0, headers=60.0, total=60.0)
_WRITE_TIMEOUTS = Timeouts(connect=8.0, read=120.0, headers=120.0, total=120.0)
"""A HeyGen write may take 31 s (p99). A failure to connect is reported within 10 s."""


class Sender(Protocol):
    """Sends requests to one API, each exactly once."""

    host: str
    """Its name for messages."""

    async def send(self, method: str, path: str, body: Json | None) -> ApiResponse:
        """Send a request and read its response.

        Raises:
            NotSent: It surely did not leave.
            ResponseLost: It may have arrived.
        """
        ...

    async def close(self) -> None:
        """End what is under way; nothing is sent any more."""
        ...


class HttpSender:
    """Sends requests to one base URL.

    Creates have a session without kept connections: one that the server just closes would
    make their outcome unknown for nothing.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        network: Network,
        *,
        dashboards: frozenset[str] = frozenset(),
    ) -> None:
        self._dashboards = dashboards
        self._base_url = base_url.rstrip("/")
        self.host = parse_url(self._base_url).host_port_subcomponent or ""
        self._secrets = tuple(_secrets(headers))
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **headers}
        reads = HttpSession(headers, _READ_TIMEOUTS, network)
        self._sessions = {
            "GET": reads,
            "DELETE": reads,
            "POST": HttpSession(headers, _WRITE_TIMEOUTS, network, reuse=False),
        }

    async def send(self, method: str, path: str, body: Json | None) -> ApiResponse:
        """See `Sender.send`."""
        response = await self._sessions[method].send(
            method,
            parse_url(self._base_url + path),
            None if body is None else orjson.dumps(body),
            on_sent=_reach_sent,
        )
        with response:
            content = await _read_body(response)
            for secret in self._secrets:  # a server may repeat what it was sent
                content = content.replace(secret, b"***")
            response.record(content)
        return ApiResponse(response.status, response.headers, content, self._dashboards)

    async def close(self) -> None:
        """See `Sender.close`."""
        for session in set(self._sessions.values()):
            await session.close()


async def _read_body(response: Response) -> bytes:
    read_chunk, chunks, size = decompressed(response), [], 0
    while chunk := await read_chunk():
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_RESPONSE:
            raise BodyLost(f"more than {_MAX_RESPONSE} bytes")
    return b"".join(chunks)


def _reach_sent() -> None:
    """Called for requests with a body, which only creates have: now it may arrive."""
    failpoints.reach("request sent")


def _secrets(headers: Mapping[str, str]) -> Iterator[bytes]:
    """The secrets in the authenticating headers, in each form that they have."""
    for value in headers.values():
        scheme, _, word = value.rpartition(" ")
        secrets = [word.encode()]
        if scheme == "Basic":
            with contextlib.suppress(ValueError):
                secrets += base64.b64decode(word).split(b":", 1)
        yield from (secret for secret in secrets if len(secret) >= _MIN_SECRET)
