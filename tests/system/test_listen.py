"""`batchcap listen` in a process of its own."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness.webhooks import (
    LINK,
    SECRETS,
    heygen_event,
    heygen_headers,
    hmac_hex,
    mux_event,
    mux_headers,
    mux_job,
)
from tests.system.conftest import Shell


def send_request(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Send a request to a port on loopback; returns the status and body of the response."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()


class Listener:
    """A running `batchcap listen`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout
        line = process.stdout.readline()
        assert line, process.communicate()
        self.printed: dict[str, Any] = json.loads(line)
        self.port = int(self.printed["listening"].rpartition(":")[2])

    def post(self, name: str, event: Any, headers: dict[str, str] | None = None) -> int:
        """Send an event, signed unless headers are given; returns the status."""
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        signed = mux_headers(body, at=time.time()) if name == "mux" else heygen_headers(body)
        path = f"/webhooks/{name}"
        return self.request("POST", path, body, signed if headers is None else headers)[0]

    def request(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send a request; returns the status and body of the response."""
        return send_request(self.port, method, path, body, headers)

    def health(self) -> dict[str, Any]:
        counts: dict[str, Any] = json.loads(self.request("GET", "/health")[1])
        return counts

    def events(self) -> list[tuple[str, str, str, str | None]]:
        """Return the events in the inbox, read from its file as a run does."""
        uri = Path(self.printed["inbox"]).as_uri() + "?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            query = "SELECT provider, job_id, state, track FROM events"
            return connection.execute(query).fetchall()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; returns the exit status and stderr."""
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=30)
        return self.process.returncode, stderr


@pytest.fixture
def inbox_shell(shell: Shell) -> Shell:
    """A shell with secrets and a state folder of its own."""
    shell.environment.update(SECRETS, XDG_STATE_HOME=str(shell.folder / "state"))
    return shell


@contextmanager
def running_listener(
    shell: Shell, *options: str, address: str = "127.0.0.1:0"
) -> Iterator[Listener]:
    """Run `batchcap listen`, on any free port unless an address is given."""
    process = shell.start("listen", "--listen", address, "--json", *options)
    try:
        yield Listener(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def test_listen_killed_keeps_acknowledged_events_once(inbox_shell: Shell) -> None:
    with running_listener(inbox_shell) as listener:
        assert listener.post("mux", mux_event()) == 200
        assert listener.post("heygen", heygen_event()) == 200
        listener.process.kill()
        listener.process.wait(timeout=30)
        expected = [
            ("mux", "rjob_1", "completed", "track_1"),
            ("heygen", "tr_1", "not_running", None),
        ]
        assert listener.events() == expected
    with running_listener(inbox_shell) as again:
        assert again.post("mux", mux_event()) == 200
        assert again.post("mux", mux_event("processing", id="event-2")) == 200
        assert again.events() == [*expected, ("mux", "rjob_1", "running", None)]


def test_listen_recognises_heygen_events_by_their_id_after_a_restart(inbox_shell: Shell) -> None:
    events = [heygen_event("tr_1", "preflight.download_failed"), heygen_event("tr_2")]
    with running_listener(inbox_shell) as listener:
        for number, event in enumerate(events):
            headers = heygen_headers(json.dumps(event).encode())
            headers |= {"Heygen-Event-Id": f"evt_{number}", "Heygen-Timestamp": "1"}
            assert listener.post("heygen", event, headers) == 200
        legacy = {"Signature": hmac_hex("whsec_heygen", json.dumps(events[1]).encode())}
        assert listener.post("heygen", events[1], legacy) == 200
        expected = [("heygen", job_id, "not_running", None) for job_id in ("tr_1", "tr_2", "tr_2")]
        assert listener.events() == expected
    with running_listener(inbox_shell) as again:
        assert again.post("heygen", {**events[0], "event_id": "evt_0"}) == 200
        assert again.post("heygen", events[1], legacy) == 200
        assert again.events() == expected


def test_listen_killed_after_many_events_keeps_all(inbox_shell: Shell) -> None:
    acknowledged = []
    with running_listener(inbox_shell) as listener:
        for n in range(50):
            event = mux_event(id=f"e{n}", data=mux_job(f"job-{n}"))
            assert listener.post("mux", event) == 200
            acknowledged.append(f"job-{n}")
        listener.process.kill()
        listener.process.wait(timeout=30)
        assert [job_id for _, job_id, _, _ in listener.events()] == acknowledged


def test_listen_files_hold_no_link_and_no_secret(inbox_shell: Shell) -> None:
    with running_listener(inbox_shell) as listener:
        assert listener.post("mux", mux_event()) == 200
        folder = Path(listener.printed["inbox"]).parent
        assert folder == inbox_shell.folder / "state" / "batchcap"
        for path in folder.iterdir():
            content = path.read_bytes()
            for hidden in (LINK, *SECRETS.values()):
                assert hidden.encode() not in content, path
        status, stderr = listener.stop()
    assert status == 0
    assert not any(hidden in stderr for hidden in (LINK, *SECRETS.values()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_listen_signal_shuts_down_gracefully(inbox_shell: Shell, number: int) -> None:
    with running_listener(inbox_shell) as listener:
        assert listener.post("mux", mux_event()) == 200
        status, stderr = listener.stop(number)
    assert status == 0
    assert "stopped: 1 received, 0 bad signature" in stderr
    assert "Traceback" not in stderr


def test_listen_second_is_refused_and_names_the_first(inbox_shell: Shell) -> None:
    with running_listener(inbox_shell) as listener:
        second = inbox_shell.run("listen", "--listen", "127.0.0.1:0")
        assert second.returncode == 3
        assert f"process {listener.process.pid}" in second.stderr
        assert listener.post("mux", mux_event()) == 200


def test_listen_port_in_use_exits_3(inbox_shell: Shell) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        result = inbox_shell.run("listen", "--listen", address)
    assert result.returncode == 3
    assert f"cannot listen on {address}" in result.stderr
    assert "Traceback" not in result.stderr


def test_listen_bad_requests_are_counted_and_not_kept(inbox_shell: Shell) -> None:
    with running_listener(inbox_shell) as listener:
        assert listener.post("mux", mux_event(), {}) == 401
        assert listener.post("heygen", heygen_event(), {"Signature": "0" * 64}) == 401
        assert listener.post("mux", mux_event(type="video.asset.ready")) == 200
        assert listener.post("mux", b"x" * 2_000_000) == 413
        assert listener.request("GET", "/")[0] == 404
        assert listener.health() == {
            "status": "ok",
            "received": 0,
            "bad_signature": 2,
            "duplicates": 0,
            "unrelated": 1,
            "rejected": 1,
        }
        assert listener.events() == []


def test_listen_incomplete_body_times_out(inbox_shell: Shell) -> None:
    with running_listener(inbox_shell) as listener:
        with closing(socket.create_connection(("127.0.0.1", listener.port), 30)) as client:
            began = time.monotonic()
            client.sendall(b"POST /webhooks/mux HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            response = b"".join(iter(lambda: client.recv(4096), b""))
        assert b" 408 " in response.splitlines()[0]
        assert time.monotonic() - began < 20
        assert listener.post("mux", mux_event()) == 200


def test_listen_without_secret_does_not_start(inbox_shell: Shell) -> None:
    for name in SECRETS:
        del inbox_shell.environment[name]
    result = inbox_shell.run("listen", "--listen", "127.0.0.1:0")
    assert result.returncode == 2
    assert "MUX_WEBHOOK_SECRET and HEYGEN_WEBHOOK_SECRET" in result.stderr
    assert "hint: " in result.stderr
    assert not (inbox_shell.folder / "state").exists()


def test_listen_insecure_starts_on_loopback_only(inbox_shell: Shell) -> None:
    for name in SECRETS:
        del inbox_shell.environment[name]
    refused = inbox_shell.run("listen", "--listen", "0.0.0.0:0", "--insecure-webhooks")
    assert refused.returncode == 2
    with running_listener(inbox_shell, "--insecure-webhooks") as listener:
        assert set(listener.printed["webhooks"]) == {"mux", "heygen"}
        assert listener.post("mux", mux_event(), {}) == 200
        assert listener.events() == [("mux", "rjob_1", "not_running", None)]


def test_listen_provider_without_secret_has_no_endpoint(inbox_shell: Shell) -> None:
    del inbox_shell.environment["HEYGEN_WEBHOOK_SECRET"]
    with running_listener(inbox_shell, "--public-url", "https://hooks.example/x") as listener:
        assert listener.printed["webhooks"] == {"mux": "https://hooks.example/x/webhooks/mux"}
        assert listener.post("heygen", heygen_event()) == 404


def test_listen_prints_the_urls_to_enter(inbox_shell: Shell) -> None:
    process = inbox_shell.start(
        "listen", "--listen", "127.0.0.1:0", "--public-url", "https://h.example"
    )
    assert process.stdout
    assert process.stdout.readline() == "mux: https://h.example/webhooks/mux\n"
    assert process.stdout.readline() == "heygen: https://h.example/webhooks/heygen\n"
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "listening on http://127.0.0.1:" in stderr


def test_listen_without_xdg_uses_a_folder_in_home(inbox_shell: Shell) -> None:
    del inbox_shell.environment["XDG_STATE_HOME"]
    inbox_shell.environment["HOME"] = str(inbox_shell.folder / "me")
    with running_listener(inbox_shell) as listener:
        expected = inbox_shell.folder / "me/.local/state/batchcap/inbox.sqlite"
        assert listener.printed["inbox"] == str(expected)
        assert expected.exists()
