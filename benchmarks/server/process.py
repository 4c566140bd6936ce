"""The server in a process of its own, for as long as a block runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.revisions import ROOT


@dataclass(frozen=True)
class Counts:
    """What the server has done: requests by route, and its CPU seconds."""

    requests: Mapping[str, int]
    cpu: float

    def since(self, before: Counts) -> Counts:
        """What it did between two counts."""
        grown = {
            route: count - before.requests.get(route, 0) for route, count in self.requests.items()
        }
        requests = {route: count for route, count in grown.items() if count}
        return Counts(requests, self.cpu - before.cpu)


@dataclass(frozen=True)
class Server:
    """A running server.

    `environment` points a competitor at it; `control` is the origin for `counts`.
    """

    environment: Mapping[str, str]
    control: str

    @property
    def origin(self) -> str:
        """`http://HOST:PORT`, or `https://HOST:PORT` over TLS."""
        return self.environment["MUX_BASE_URL"]

    def counts(self) -> Counts:
        """Ask the server, without TLS or delay."""
        connection = HTTPConnection(self.control.removeprefix("http://"))
        connection.request("GET", "/count", headers={"Connection": "close"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return Counts(answer["requests"], answer["cpu"])


@contextmanager
def running_server(
    caption_bytes: int, *, ca_file: Path | None = None, round_trip: float = 0.0
) -> Iterator[Server]:
    """Run a server until the block ends, or until this process dies, however it dies.

    With `ca_file`, over TLS: the server writes its CA's certificate there. `round_trip` is
    in seconds.
    """
    command = [sys.executable, "-m", "benchmarks.server"]
    command += ["--caption-bytes", str(caption_bytes), "--round-trip", str(round_trip)]
    command += ["--ca-file", str(ca_file)] if ca_file else []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            started = json.loads(process.stdout.readline())
            yield Server(started["environment"], started["control"])
        finally:
            process.stdin.close()
            process.wait(timeout=30)
