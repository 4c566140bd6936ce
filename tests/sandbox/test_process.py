"""The sandbox as a process of its own tells a receiver in another one."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import aiohttp

from tests.sandbox.receiver import signature

SANDBOX = [sys.executable, "-m", "batchcap", "sandbox", "--json", "--until-stdin-closes"]

Taken = queue.Queue[tuple[str, bytes]]


@contextmanager
def listening() -> Iterator[tuple[str, Taken]]:
    """A receiver in a thread, and what it takes: signature and bytes."""
    taken: Taken = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server wants
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()
            taken.put((self.headers["Mux-Signature"], raw))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", taken
        finally:
            server.shutdown()
            thread.join()


def post(url: str, body: dict[str, Any], **headers: str) -> None:
    data = json.dumps(body).encode()
    urllib.request.urlopen(urllib.request.Request(url, data, headers)).close()


def create(environment: dict[str, str], asset_id: str) -> None:
    pair = environment["MUX_TOKEN_ID"], environment["MUX_TOKEN_SECRET"]
    parameters = {"asset_id": asset_id, "track_id": "t", "to_language_code": "es"}
    url = environment["MUX_BASE_URL"] + "/robots/v0/jobs/translate-captions"
    post(url, {"parameters": parameters}, Authorization=aiohttp.encode_basic_auth(*pair))


def life(environment: dict[str, str], taken: Taken) -> list[str]:
    found = []
    for seal, raw in (taken.get(timeout=20) for _ in range(3)):
        stamp, _, v1 = seal.removeprefix("t=").partition(",v1=")
        secret = environment["MUX_WEBHOOK_SECRET"]
        assert v1 == signature(secret, stamp.encode() + b"." + raw)
        found.append(json.loads(raw)["data"]["status"])
    return found


def test_a_process_tells_the_url_that_it_starts_with_and_one_that_it_gets_later() -> None:
    with listening() as (early, first), listening() as (late, second):
        process = subprocess.Popen(
            [*SANDBOX, "--set", "job_seconds=0.2", "--set", f"mux_webhook_url={early}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        environment = json.loads(process.stdout.readline())
        create(environment, "one")
        assert life(environment, first) == ["pending", "processing", "completed"]
        options = environment["MUX_BASE_URL"].removesuffix("/mux") + "/sandbox/options"
        post(options, {"mux_webhook_url": late})
        create(environment, "two")
        assert life(environment, second) == ["pending", "processing", "completed"]
        create(environment, "three-stuck")
        assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0
    assert first.empty()
