"""The server in a process of its own, for as long as it is needed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Counts:
    """What the server did so far: requests by route, and its CPU seconds."""

    requests: Mapping[str, int]
    cpu: float

    def since(self, before: Counts) -> Counts:
        """What it did between two counts."""
        grown = {
            route: count - before.requests.get(route, 0) for route, count in self.requests.items()
        }
        kept = {route: count for route, count in grown.items() if count}
        return Counts(kept, self.cpu - before.cpu)


@dataclass(frozen=True)
class Server:
    """A running server. `environment` points a contender at it."""

    environment: Mapping[str, str]

    @property
    def origin(self) -> str:
        """`http://HOST:PORT`."""
        return self.environment["MUX_BASE_URL"]

    def counts(self) -> Counts:
        """Ask it; that costs it next to nothing."""
        connection = HTTPConnection(self.origin.removeprefix("http://"))
        connection.request("GET", "/count", headers={"Connection": "close"})
        said = json.loads(connection.getresponse().read())
        connection.close()
        return Counts(said["requests"], said["cpu"])


@contextmanager
def running(caption_bytes: int, *, job_seconds: float = 0.0, listed: int = 0) -> Iterator[Server]:
    """A server that ends with the block, or with this process, however that dies."""
    command = [sys.executable, "-m", "benchmarks.server"]
    command += ["--caption-bytes", str(caption_bytes)]
    command += ["--job-seconds", str(job_seconds), "--listed", str(listed)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield Server(json.loads(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(timeout=30)
