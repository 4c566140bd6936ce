"""`batchcap sandbox` in a process of its own sends webhooks to a receiver in another one."""

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

from tests.sandbox.receiver import hmac_hex

SANDBOX = [sys.executable, "-m", "batchcap", "sandbox", "--json", "--until-stdin-closes"]

Received = queue.Queue[tuple[str, bytes]]


@contextmanager
def threaded_receiver() -> Iterator[tuple[str, Received]]:
    """Start a receiver in a thread; yields its URL and a queue of signatures and bodies."""
    received: Received = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # http.server requires this name
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()
            received.put((self.headers["Mux-Signature"], raw))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook", received
        finally:
            server.shutdown()
            thread.join()


def post(url: str, body: dict[str, Any], **headers: str) -> None:
    data = json.dumps(body).encode()
    urllib.request.urlopen(urllib.request.Request(url, data, headers)).close()


def create(environment: dict[str, str], asset_id: str) -> None:
    credentials = environment["MUX_TOKEN_ID"], environment["MUX_TOKEN_SECRET"]
    parameters = {"asset_id": asset_id, "track_id": "t", "to_language_code": "es"}
    url = environment["MUX_BASE_URL"] + "/robots/v0/jobs/translate-captions"
    post(url, {"parameters": parameters}, Authorization=aiohttp.encode_basic_auth(*credentials))


def next_statuses(environment: dict[str, str], received: Received) -> list[str]:
    """Return the statuses in the next three events, whose signatures must be valid."""
    statuses = []
    for header, raw in (received.get(timeout=20) for _ in range(3)):
        timestamp, _, signature = header.removeprefix("t=").partition(",v1=")
        secret = environment["MUX_WEBHOOK_SECRET"]
        assert signature == hmac_hex(secret, timestamp.encode() + b"." + raw)
        statuses.append(json.loads(raw)["data"]["status"])
    return statuses


def test_process_sends_events_to_its_first_url_and_to_a_later_one() -> None:
    with threaded_receiver() as (first_url, first), threaded_receiver() as (later_url, later):
        process = subprocess.Popen(
            [*SANDBOX, "--set", "job_seconds=0.2", "--set", f"mux_webhook_url={first_url}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        environment = json.loads(process.stdout.readline())
        create(environment, "one")
        assert next_statuses(environment, first) == ["pending", "processing", "completed"]
        options = environment["MUX_BASE_URL"].removesuffix("/mux") + "/sandbox/options"
        post(options, {"mux_webhook_url": later_url})
        create(environment, "two")
        assert next_statuses(environment, later) == ["pending", "processing", "completed"]
        create(environment, "three-stuck")
        assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == 0
    assert first.empty()
