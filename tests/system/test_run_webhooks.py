"""Runs that use webhooks: `run --listen`, and the inbox of `batchcap listen`.

Runs, inbox, sandbox and attackers are processes of their own.
"""

from __future__ import annotations

import base64
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import COMMAND, UNLIMITED, Shell, peak_memory, request_log, set_options
from tests.system.test_listen import Listener, running_listener, send_request

PACED = ["--rate=mux.write=15/s", "--rate=mux.read=30/s", "--rate=heygen=30/s"]
WAIT_TIMEOUT = 60.0
"""Seconds after which a test gives up waiting."""

LINKS = ("Signature=", "X-Goog-", "Key-Pair-Id", "Basic ")
"""Parts of signed links and of a header, which must not appear anywhere."""


def mux_manifest(shell: Shell, count: int, prefix: str = "film") -> str:
    lines = [f"{prefix}-{n},{prefix}-{n}-en,es\n" for n in range(count)]
    text = "asset_id,track_id,to_language_code\n" + "".join(lines)
    return shell.manifest(text, f"{prefix}.csv")


def mixed_manifest(shell: Shell, count: int, prefix: str = "") -> str:
    lines = [
        f"{prefix}film-{n},{prefix}film-{n}-en,es,\n,,,{prefix}clip-{n}\n" for n in range(count)
    ]
    text = "asset_id,track_id,to_language_code,video_translate_id\n" + "".join(lines)
    return shell.manifest(text, f"{prefix}mixed.csv")


def wait_until(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds; fails after `WAIT_TIMEOUT`."""
    deadline = time.monotonic() + WAIT_TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.05)


def has_jobs(shell: Shell, count: int, out: str = "captions") -> bool:
    """Return whether the ledger has at least `count` jobs."""
    ledger = shell.folder / out / ".batchcap/ledger.sqlite"
    with suppress(sqlite3.Error), closing(sqlite3.connect(ledger)) as connection:
        query = "SELECT count(*) FROM creates WHERE job_id NOT NULL"
        return bool(connection.execute(query).fetchone()[0] >= count)
    return False


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


class Run:
    """A run in progress. Its output goes to the file `output`, so that no pipe fills up."""

    def __init__(self, shell: Shell, *arguments: str) -> None:
        self.output = shell.folder / f"output-{time.monotonic_ns()}"
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=shell.folder,
                env=shell.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def endpoints(self) -> dict[str, str]:
        """Return the URLs to enter at the providers, once the run has printed them."""
        wait_until(
            lambda: b"webhooks of " in self.output.read_bytes() or self.process.poll() is not None
        )
        time.sleep(0.1)  # for the lines of the other providers
        urls = dict(re.findall(r"webhooks of (\w+): (\S+)", self.output.read_text()))
        assert urls, self.output.read_text()
        return urls

    def port(self) -> int:
        return int(next(iter(self.endpoints().values())).split(":")[2].split("/")[0])

    def wait(self, timeout: float = WAIT_TIMEOUT) -> int:
        """Wait for the end; returns the exit status."""
        return self.process.wait(timeout)


@contextmanager
def running_run(shell: Shell, *arguments: str) -> Iterator[Run]:
    run = Run(shell, *arguments)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait(30)


def register_webhooks(sandbox: Mapping[str, str], endpoints: Mapping[str, str]) -> None:
    """Make the sandbox send its events to these endpoints."""
    set_options(sandbox, **{f"{name}_webhook_url": url for name, url in endpoints.items()})


def assert_paid_once(sandbox: Mapping[str, str]) -> None:
    paid = Counter(
        (create["asset_id"], create["language"]) for create in request_log(sandbox)["creates"]
    )
    assert not [caption for caption, times in paid.items() if times > 1]


@pytest.fixture
def webhook_shell(shell: Shell, sandbox: Mapping[str, str]) -> Shell:
    """A shell with a sandbox and a state folder of its own."""
    shell.environment["XDG_STATE_HOME"] = str(shell.folder / "state")
    return shell


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--listen", "127.0.0.1:0"], "MUX_WEBHOOK_SECRET and HEYGEN_WEBHOOK_SECRET"),
        (["--listen", "0.0.0.0:0"], "MUX_WEBHOOK_SECRET and HEYGEN_WEBHOOK_SECRET"),
        (["--listen", "0.0.0.0:0", "--insecure-webhooks"], "--insecure-webhooks"),
        (["--listen", "[::]:0", "--insecure-webhooks"], "--insecure-webhooks"),
        (
            ["--listen=127.0.0.1:0", "--insecure-webhooks", "--public-url=https://x.example"],
            "--insecure-webhooks",
        ),
        (["--public-url", "https://hooks.example"], "--listen"),
        (["--insecure-webhooks"], "--listen"),
        (["--listen", "nothing"], "--listen"),
        (["--listen", "127.0.0.1:0", "--public-url", "http://hooks.example"], "--public-url"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_run_listen_invalid_options_start_nothing(
    shell: Shell, options: list[str], named: str
) -> None:
    name = mixed_manifest(shell, 2)
    shell.environment |= {"MUX_TOKEN_ID": "x", "MUX_TOKEN_SECRET": "y", "HEYGEN_API_KEY": "z"}
    shell.environment["HOME"] = str(shell.folder)
    result = shell.run("run", name, *options)
    assert result.returncode == 2, result.stderr
    assert named in result.stderr
    assert result.stderr.startswith("error: ")
    assert "hint: " in result.stderr or "--listen" in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in shell.folder.iterdir()] == [name]


def test_run_listen_requires_the_secret_of_providers_with_rows(webhook_shell: Shell) -> None:
    del webhook_shell.environment["MUX_WEBHOOK_SECRET"]
    result = webhook_shell.run(
        "run", webhook_shell.manifest("video_translate_id\none\n"), "--listen", "127.0.0.1:0"
    )
    assert result.returncode == 0, result.stderr
    assert "webhooks of heygen: http://127.0.0.1:" in result.stderr
    assert "webhooks of mux" not in result.stderr
    refused = webhook_shell.run("run", mux_manifest(webhook_shell, 1), "--listen", "127.0.0.1:0")
    assert refused.returncode == 2
    assert "set MUX_WEBHOOK_SECRET\n" in refused.stderr
    assert json.loads(webhook_shell.run("report").stdout)["totals"]["total"] == 1, (
        "the second manifest is not imported"
    )


def test_resume_listen_requires_the_secret(webhook_shell: Shell) -> None:
    stuck = webhook_shell.manifest("asset_id,track_id,to_language_code\nstuck-1,stuck-1-en,es\n")
    with running_run(webhook_shell, "run", stuck) as run:
        wait_until(lambda: request_log(webhook_shell.environment)["creates"])
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 130
    del webhook_shell.environment["MUX_WEBHOOK_SECRET"]
    result = webhook_shell.run("resume", "--listen", "127.0.0.1:0")
    assert result.returncode == 2, result.stderr
    assert "MUX_WEBHOOK_SECRET" in result.stderr
    assert "Traceback" not in result.stderr


def test_run_listen_port_in_use_can_be_resumed(webhook_shell: Shell) -> None:
    name = mixed_manifest(webhook_shell, 3)
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        result = webhook_shell.run("run", name, "--listen", address)
        assert result.returncode == 3, result.stderr
        assert f"cannot listen on {address}" in result.stderr
        assert "hint: " in result.stderr
        assert "Traceback" not in result.stderr
    assert request_log(webhook_shell.environment)["creates"] == []
    again = webhook_shell.run("resume", "--listen", address, "--json", *UNLIMITED)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["done"] == 6


def test_run_listen_sandbox_refuses_other_addresses(shell: Shell) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # a UDP socket: sends nothing
        address = probe.getsockname()[0]
    if address.startswith(("127.", "0.")):
        pytest.skip("this machine has no other address")
    result = shell.run("run", mixed_manifest(shell, 1), "--sandbox", "--listen", f"{address}:0")
    assert result.returncode == 3, result.stderr
    assert "loopback" in result.stderr
    assert "Traceback" not in result.stderr
    assert shell.run("resume", "--sandbox", "--listen", "127.0.0.1:0").returncode == 0


def test_run_listen_receives_events_and_finishes(webhook_shell: Shell) -> None:
    set_options(webhook_shell.environment, job_seconds=2.0, heygen_running=1.0)
    name = mixed_manifest(webhook_shell, 30)
    with running_run(
        webhook_shell, "run", name, "--listen", "127.0.0.1:0", "--rate=mux.write=20/s"
    ) as run:
        endpoints = run.endpoints()
        assert set(endpoints) == {"mux", "heygen"}
        register_webhooks(webhook_shell.environment, endpoints)
        assert run.wait() == 0, run.output.read_text()
    webhooks = request_log(webhook_shell.environment)["webhooks"]
    assert webhooks["mux"]["accepted"] > 60
    assert webhooks["heygen"]["accepted"] > 5
    assert {result["state"] for result in webhook_shell.results()} == {"done"}
    assert_paid_once(webhook_shell.environment)
    with suppress(ConnectionError), closing(socket.create_connection(("127.0.0.1", run.port()), 1)):
        pytest.fail("the run still listens")


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", "0.0.0.0:0"])
def test_run_listen_sandbox_needs_no_account(shell: Shell, address: str) -> None:
    result = shell.run("run", mixed_manifest(shell, 20), "--sandbox", "--listen", address, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["done"] == 40
    assert "webhooks of" not in result.stderr


def test_run_listen_quiet_prints_nothing(webhook_shell: Shell) -> None:
    result = webhook_shell.run(
        "run", mixed_manifest(webhook_shell, 2), "--listen", "127.0.0.1:0", "-q", *UNLIMITED
    )
    assert result.returncode == 0
    assert result.stderr == ""


def test_run_listen_sandbox_killed_resumes(shell: Shell) -> None:
    name = mixed_manifest(shell, 60)
    command = ["run", name, "--sandbox", "--listen", f"127.0.0.1:{free_port()}", "--settle=1s"]
    paced = [*command, "--rate=mux.write=30/s", *UNLIMITED[1:]]
    for jobs in (10, 30):
        with running_run(shell, *paced) as run:
            wait_until(partial(has_jobs, shell, jobs))
            run.process.kill()
            assert run.wait() == -signal.SIGKILL
    result = shell.run(*command, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["done"] == 120
    audited = shell.run("audit", "--sandbox")
    assert audited.returncode == 0, audited.stdout
    assert audited.stdout.splitlines()[-1] == "60 captions, none of them paid for twice."


def test_run_listen_ctrl_c_with_open_connections_stops_in_time(webhook_shell: Shell) -> None:
    set_options(webhook_shell.environment, job_seconds=600, job_seconds_max=600)
    with ExitStack() as stack:
        run = stack.enter_context(
            running_run(
                webhook_shell, "run", mux_manifest(webhook_shell, 5), "--listen", "127.0.0.1:0"
            )
        )
        port = run.port()
        wait_until(lambda: len(request_log(webhook_shell.environment)["creates"]) >= 2)
        head = b"POST /webhooks/mux HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nhalf"
        for number in range(30):
            client = socket.create_connection(("127.0.0.1", port), 10)
            stack.enter_context(closing(client))
            client.sendall(head[: 3 * number])
        time.sleep(0.3)
        began = time.monotonic()
        run.process.send_signal(signal.SIGINT)
        assert run.wait(30) == 130
        assert time.monotonic() - began < 15
        assert "Traceback" not in run.output.read_text()


def test_run_listen_leaves_no_secret_and_no_link(webhook_shell: Shell) -> None:
    """Links are in every event, sent to a run's own endpoint and to the inbox."""
    set_options(
        webhook_shell.environment, job_seconds=1.5, heygen_running=1.0, faults={"expired_link": 0.2}
    )
    name = mixed_manifest(webhook_shell, 20)
    verbose = ["-v", "--log-file", "log", "--rate=mux.write=20/s"]
    with running_listener(webhook_shell) as listener:
        with running_run(webhook_shell, "run", name, "--listen", "127.0.0.1:0", *verbose) as run:
            endpoints = run.endpoints()
            register_webhooks(webhook_shell.environment, endpoints)
            wait_until(lambda: len(request_log(webhook_shell.environment)["creates"]) > 5)
            register_webhooks(webhook_shell.environment, listener.printed["webhooks"])
            assert send_request(run.port(), "POST", "/webhooks/mux", b"{}")[0] == 401
            assert run.wait() == 0, run.output.read_text()
        assert listener.events()
        places = {
            str(path): path.read_bytes()
            for path in webhook_shell.folder.rglob("*")
            if path.is_file()
        }
        status, stderr = listener.stop()
    assert status == 0
    places["listen"] = stderr.encode()
    environment = webhook_shell.environment
    secrets = [value for key, value in environment.items() if is_secret(key)]
    pair = f"{environment['MUX_TOKEN_ID']}:{environment['MUX_TOKEN_SECRET']}"
    secrets += [base64.b64encode(pair.encode()).decode(), *LINKS]
    assert len(secrets) > 6
    leaks = [
        (place, secret)
        for place, content in places.items()
        for secret in secrets
        if secret.encode() in content
    ]
    assert not leaks


def is_secret(name: str) -> bool:
    return name.startswith(("MUX_", "HEYGEN_")) and not name.endswith(("_URL", "_BASE"))


def has_events(listener: Listener, count: int) -> bool:
    """Return whether the inbox holds at least `count` events."""
    return len(listener.events()) >= count


def has_ended_jobs(listener: Listener, count: int) -> bool:
    """Return whether the inbox knows of the end of at least `count` jobs."""
    ended = {job_id for _, job_id, state, _ in listener.events() if state != "running"}
    return len(ended) >= count


def test_inbox_two_resumed_runs_use_earlier_events(webhook_shell: Shell) -> None:
    """Two processes read one inbox, while it is written and afterwards."""
    set_options(webhook_shell.environment, job_seconds=4.0, job_sigma=0.01, job_seconds_max=10.0)
    rates = ["--rate=mux.write=none", "--rate=mux.read=5/s", "-q"]
    names = {out: mux_manifest(webhook_shell, 15, out) for out in ("first", "second")}
    with running_listener(webhook_shell) as listener:
        register_webhooks(webhook_shell.environment, listener.printed["webhooks"])
        with ExitStack() as stack:
            for out, name in names.items():
                run = running_run(webhook_shell, "run", name, "-o", out, *rates)
                stack.enter_context(run)
            for out in names:
                wait_until(partial(has_jobs, webhook_shell, 15, out))
        wait_until(partial(has_ended_jobs, listener, 30))  # the runs were killed before
        assert listener.stop()[0] == 0
    before = request_log(webhook_shell.environment)["requests"].get("mux.read", 0)
    with ExitStack() as stack:
        runs = [
            stack.enter_context(running_run(webhook_shell, "resume", "-o", out, *rates))
            for out in names
        ]
        assert [run.wait() for run in runs] == [0, 0]
    assert request_log(webhook_shell.environment)["requests"]["mux.read"] - before <= 33
    for out in names:
        assert {result["state"] for result in webhook_shell.results(out)} == {"done"}
    assert_paid_once(webhook_shell.environment)


def delete_inbox(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def corrupt_inbox(folder: Path) -> None:
    for path in folder.glob("inbox.sqlite*"):
        path.write_bytes(b"\0nothing of use\xff" * 5000)


def set_newer_version(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "inbox.sqlite", timeout=10)) as connection:
        connection.execute("PRAGMA user_version = 7")


# Without events, the next sweep is 40 s away: tests/integration/test_webhooks.py has that on
# virtual time.
WAITS_FOR_A_SWEEP = pytest.mark.nightly


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(delete_inbox, marks=WAITS_FOR_A_SWEEP),
        pytest.param(corrupt_inbox, marks=WAITS_FOR_A_SWEEP),
        set_newer_version,
    ],
)
def test_inbox_damaged_during_a_run_does_not_stop_the_run(
    webhook_shell: Shell, damage: Callable[[Path], None]
) -> None:
    set_options(webhook_shell.environment, job_seconds=2.0)
    with running_listener(webhook_shell) as listener:
        register_webhooks(webhook_shell.environment, listener.printed["webhooks"])
        with running_run(webhook_shell, "run", mux_manifest(webhook_shell, 60), *PACED) as run:
            wait_until(partial(has_ended_jobs, listener, 5))
            damage(webhook_shell.folder / "state/batchcap")
            assert run.wait() == 0, run.output.read_text()
            assert "Traceback" not in run.output.read_text()
    assert {result["state"] for result in webhook_shell.results()} == {"done"}
    assert_paid_once(webhook_shell.environment)


def test_inbox_listener_killed_repeatedly_does_not_stop_the_run(webhook_shell: Shell) -> None:
    set_options(webhook_shell.environment, job_seconds=2.0, webhook_retry=0.3)
    address = f"127.0.0.1:{free_port()}"
    with running_run(webhook_shell, "run", mux_manifest(webhook_shell, 60), *PACED) as run:
        for _ in range(3):
            process = webhook_shell.start("listen", "--listen", address, "--json")
            try:
                listener = Listener(process)
                register_webhooks(webhook_shell.environment, listener.printed["webhooks"])
                before = len(listener.events())
                wait_until(partial(has_events, listener, before + 1))
            finally:
                process.kill()
                process.communicate()
        with running_listener(webhook_shell, address=address):  # gets what was lost
            assert run.wait() == 0, run.output.read_text()
    assert {result["state"] for result in webhook_shell.results()} == {"done"}
    assert_paid_once(webhook_shell.environment)


FLOOD = """
import asyncio, sys, time
port, rate, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
body = b'{"type":"robots.job.translate_captions.completed","data":{"id":"x"}}' * 20
junk = (b"POST /webhooks/mux HTTP/1.1\\r\\nHost: x\\r\\nMux-Signature: t=%d,v1=%s\\r\\n"
    b"Content-Length: %d\\r\\n\\r\\n%s" % (time.time(), b"0" * 64, len(body), body))
sent = answers = 0
async def client(count):
    global sent, answers
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while time.monotonic() < end:
                for _ in range(count // 10):
                    writer.write(junk)
                    sent += 1
                await writer.drain()
                await asyncio.sleep(0.1)
                answers += (await reader.read(1 << 20)).count(b"HTTP/1.1 ")
            writer.close()
        except OSError:
            await asyncio.sleep(0.1)
async def main():
    await asyncio.gather(*(client(rate // 20) for _ in range(20)))
asyncio.run(main())
print(sent, answers)
"""


def test_run_listen_flood_of_junk_does_not_stop_the_run(webhook_shell: Shell) -> None:
    """5,000 events a second without a valid signature: polling finishes the run."""
    set_options(webhook_shell.environment, job_seconds=2.0)
    with running_run(
        webhook_shell,
        "run",
        mixed_manifest(webhook_shell, 40),
        "--listen",
        "127.0.0.1:0",
        "--rate=mux.write=10/s",
    ) as run:
        port = run.port()
        register_webhooks(webhook_shell.environment, run.endpoints())
        flood = subprocess.Popen(
            [sys.executable, "-c", FLOOD, str(port), "5000", "5"], stdout=subprocess.PIPE, text=True
        )
        try:
            wait_until(lambda: len(request_log(webhook_shell.environment)["creates"]) == 40)
            peak = peak_memory(run.process.pid)
            assert run.wait() == 0, run.output.read_text()
        finally:
            printed, _ = flood.communicate(timeout=60)
    sent, responses = map(int, printed.split())
    assert sent > 5000
    assert responses > 100
    assert peak < 400_000_000
    output = run.output.read_text()
    assert "Traceback" not in output
    assert output.count("without a valid signature") == 1
    assert {result["state"] for result in webhook_shell.results()} == {"done"}
    assert_paid_once(webhook_shell.environment)
