"""`batchcap listen`, the command, in a process of its own."""

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

from tests.system.conftest import Shell
from tests.webhook_fixtures import (
    LINK,
    SECRETS,
    heygen_event,
    heygen_headers,
    mux_event,
    mux_headers,
    mux_job,
)


class Listener:
    """A running `batchcap listen`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout
        line = process.stdout.readline()
        assert line, process.communicate()
        self.said: dict[str, Any] = json.loads(line)
        self.port = int(self.said["listening"].rpartition(":")[2])

    def post(self, name: str, event: Any, headers: dict[str, str] | None = None) -> int:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        signed = mux_headers(body, at=time.time()) if name == "mux" else heygen_headers(body)
        return self.ask("POST", f"/webhooks/{name}", body, signed if headers is None else headers)[
            0
        ]

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def health(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.ask("GET", "/health")[1])
        return shown

    def kept(self) -> list[tuple[str, str, str, str | None]]:
        """What lies in the inbox, read as a run does."""
        where = Path(self.said["inbox"]).as_uri() + "?mode=ro"
        with closing(sqlite3.connect(where, uri=True)) as connection:
            found = connection.execute("SELECT provider, job_id, state, track FROM events")
            return found.fetchall()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it; returns the exit status and what it said on stderr."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@pytest.fixture
def here(shell: Shell) -> Shell:
    """A shell with secrets and a state folder of its own."""
    shell.environment.update(SECRETS, XDG_STATE_HOME=str(shell.folder / "state"))
    return shell


@contextmanager
def listening(shell: Shell, *options: str) -> Iterator[Listener]:
    process = shell.start("listen", "--listen", "127.0.0.1:0", "--json", *options)
    try:
        yield Listener(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=30)


def test_what_was_acknowledged_survives_a_kill_and_is_kept_once(here: Shell) -> None:
    with listening(here) as listener:
        assert listener.post("mux", mux_event()) == 200
        assert listener.post("heygen", heygen_event()) == 200
        listener.process.kill()
        listener.process.wait(timeout=30)
        expected = [
            ("mux", "rjob_1", "completed", "track_1"),
            ("heygen", "tr_1", "ended", None),
        ]
        assert listener.kept() == expected
    with listening(here) as again:
        assert again.post("mux", mux_event()) == 200
        assert again.post("mux", mux_event("processing", id="event-2")) == 200
        assert again.kept() == [*expected, ("mux", "rjob_1", "running", None)]


def test_a_storm_of_events_and_a_kill_lose_nothing_that_was_acknowledged(here: Shell) -> None:
    acknowledged = []
    with listening(here) as listener:
        for n in range(50):
            event = mux_event(id=f"e{n}", data=mux_job(f"job-{n}"))
            assert listener.post("mux", event) == 200
            acknowledged.append(f"job-{n}")
        listener.process.kill()
        listener.process.wait(timeout=30)
        assert [one[1] for one in listener.kept()] == acknowledged


def test_its_files_hold_no_link_and_no_secret(here: Shell) -> None:
    with listening(here) as listener:
        assert listener.post("mux", mux_event()) == 200
        folder = Path(listener.said["inbox"]).parent
        assert folder == here.folder / "state" / "batchcap"
        for path in folder.iterdir():
            content = path.read_bytes()
            for hidden in (LINK, *SECRETS.values()):
                assert hidden.encode() not in content, path
        status, said = listener.stop()
    assert status == 0
    assert not any(hidden in said for hidden in (LINK, *SECRETS.values()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order(here: Shell, number: int) -> None:
    with listening(here) as listener:
        assert listener.post("mux", mux_event()) == 200
        status, said = listener.stop(number)
    assert status == 0
    assert "stopped: 1 received, 0 bad signature" in said
    assert "Traceback" not in said


def test_a_second_one_is_refused_and_told_who_the_first_is(here: Shell) -> None:
    with listening(here) as listener:
        second = here.run("listen", "--listen", "127.0.0.1:0")
        assert second.returncode == 3
        assert f"process {listener.process.pid}" in second.stderr
        assert listener.post("mux", mux_event()) == 200


def test_a_taken_port_is_told(here: Shell) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        ran = here.run("listen", "--listen", address)
    assert ran.returncode == 3
    assert f"cannot listen on {address}" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_what_is_refused_and_what_is_left_alone(here: Shell) -> None:
    with listening(here) as listener:
        assert listener.post("mux", mux_event(), {}) == 401
        assert listener.post("heygen", heygen_event(), {"Signature": "0" * 64}) == 401
        assert listener.post("mux", mux_event(type="video.asset.ready")) == 200
        assert listener.post("mux", b"x" * 2_000_000) == 413
        assert listener.ask("GET", "/")[0] == 404
        assert listener.health() == {
            "status": "ok",
            "received": 0,
            "bad_signature": 2,
            "duplicates": 0,
            "unrelated": 1,
            "rejected": 1,
        }
        assert listener.kept() == []


def test_a_body_that_does_not_come_is_cut_after_5_seconds(here: Shell) -> None:
    with listening(here) as listener:
        with closing(socket.create_connection(("127.0.0.1", listener.port), 30)) as client:
            began = time.monotonic()
            client.sendall(b"POST /webhooks/mux HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            said = b"".join(iter(lambda: client.recv(4096), b""))
        assert b" 408 " in said.splitlines()[0]
        assert time.monotonic() - began < 20
        assert listener.post("mux", mux_event()) == 200


def test_without_a_secret_it_does_not_start(here: Shell) -> None:
    for name in SECRETS:
        del here.environment[name]
    ran = here.run("listen", "--listen", "127.0.0.1:0")
    assert ran.returncode == 2
    assert "MUX_WEBHOOK_SECRET and HEYGEN_WEBHOOK_SECRET" in ran.stderr
    assert "hint: " in ran.stderr
    assert not (here.folder / "state").exists()


def test_without_a_secret_it_starts_on_loopback_where_that_is_asked_for(here: Shell) -> None:
    for name in SECRETS:
        del here.environment[name]
    refused = here.run("listen", "--listen", "0.0.0.0:0", "--insecure-webhooks")
    assert refused.returncode == 2
    with listening(here, "--insecure-webhooks") as listener:
        assert set(listener.said["webhooks"]) == {"mux", "heygen"}
        assert listener.post("mux", mux_event(), {}) == 200
        assert listener.kept() == [("mux", "rjob_1", "ended", None)]


def test_a_provider_without_a_secret_has_no_endpoint(here: Shell) -> None:
    del here.environment["HEYGEN_WEBHOOK_SECRET"]
    with listening(here, "--public-url", "https://hooks.example/x") as listener:
        assert listener.said["webhooks"] == {"mux": "https://hooks.example/x/webhooks/mux"}
        assert listener.post("heygen", heygen_event()) == 404


def test_people_are_told_what_to_enter_where(here: Shell) -> None:
    process = here.start("listen", "--listen", "127.0.0.1:0", "--public-url", "https://h.example")
    assert process.stdout
    assert process.stdout.readline() == "mux: https://h.example/webhooks/mux\n"
    assert process.stdout.readline() == "heygen: https://h.example/webhooks/heygen\n"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "listening on http://127.0.0.1:" in said


def test_a_home_without_a_state_folder_gets_one(here: Shell) -> None:
    del here.environment["XDG_STATE_HOME"]
    here.environment["HOME"] = str(here.folder / "me")
    with listening(here) as listener:
        expected = here.folder / "me/.local/state/batchcap/inbox.sqlite"
        assert listener.said["inbox"] == str(expected)
        assert expected.exists()
