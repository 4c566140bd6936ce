"""The server's process: listens on free ports of loopback until standard input ends.

    python -m benchmarks.server --caption-bytes 20000

prints one line of JSON: the environment that points batchcap and its competitors at the
server, and the origin of `GET /count`, which is always plain HTTP without any delay.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import trustme
import uvloop

from benchmarks.server.connection import Connection
from benchmarks.server.latency import RelayedConnection
from benchmarks.server.routes import Routes

_HOST = "127.0.0.1"


async def serve(caption_bytes: int, ca_file: Path | None, round_trip: float) -> None:
    """Serve until standard input ends.

    With `ca_file`, over TLS: the certificate of a new private CA is written there. With
    `round_trip`, in seconds, behind a relay that delays every byte.
    """
    routes: Routes

    def connection() -> Connection:
        return Connection(routes.handle)

    port = control_port = await _listen(connection)
    if ca_file:
        port = await _listen(connection, _tls_context(ca_file))
    if round_trip:
        server_port = port
        port = await _listen(lambda: RelayedConnection(server_port, round_trip))
    origin = f"{'https' if ca_file else 'http'}://{_HOST}:{port}"
    routes = Routes(origin, caption_bytes)
    _announce(environment(origin, ca_file), f"http://{_HOST}:{control_port}")
    stdin_ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stdin_ended.set)
    await stdin_ended.wait()


def environment(origin: str, ca_file: Path | None) -> dict[str, str]:
    """The variables that point batchcap and every competitor at the server.

    They also replace certificates and proxies that the machine's own environment names.
    """
    trust = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    return {
        "MUX_TOKEN_ID": "benchmark-token-id",
        "MUX_TOKEN_SECRET": "benchmark-token-secret",
        "MUX_BASE_URL": origin,
        "MUX_STREAM_BASE_URL": origin,
        "HEYGEN_API_KEY": "benchmark-heygen-key",
        "HEYGEN_API_BASE": origin,
        "NO_PROXY": _HOST,
        "no_proxy": _HOST,
        **({name: str(ca_file) for name in trust} if ca_file else {}),
    }


async def _listen(
    protocol: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None = None
) -> int:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, _HOST, 0, backlog=2048, ssl=context)
    port: int = server.sockets[0].getsockname()[1]
    return port


def _tls_context(ca_file: Path) -> ssl.SSLContext:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(ca_file)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(_HOST).configure_cert(context)
    return context


def _announce(variables: dict[str, str], control: str) -> None:
    line = orjson.dumps({"environment": variables, "control": control})
    sys.stdout.write(line.decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    parser.add_argument("--caption-bytes", type=int, default=20_000)
    parser.add_argument("--ca-file", type=Path, help="serve over TLS; write the CA there")
    parser.add_argument("--round-trip", type=float, default=0.0, help="seconds (%(default)s)")
    options = parser.parse_args()
    uvloop.run(serve(options.caption_bytes, options.ca_file, options.round_trip))


if __name__ == "__main__":
    main()
