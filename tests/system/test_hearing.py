"""Webhooks with the installed command: runs, inbox, providers and strangers, each a process."""

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

from tests.system.conftest import COMMAND, Shell
from tests.system.test_command import request_log
from tests.system.test_crash import clean as control
from tests.system.test_listen import Listener, listening

UNLIMITED = [f"--rate={bucket}=none" for bucket in ("mux.write", "mux.read", "heygen")]
PACED = ["--rate=mux.write=15/s", "--rate=mux.read=30/s", "--rate=heygen=30/s"]
PATIENCE = 60.0
"""Seconds after which what a test waits for will not come."""

LINKS = ("Signature=", "X-Goog-", "Key-Pair-Id", "Basic ")
"""Parts of links, and of a header that no place may show."""


def films(shell: Shell, count: int, prefix: str = "film") -> str:
    lines = [f"{prefix}-{n},{prefix}-{n}-en,es\n" for n in range(count)]
    text = "asset_id,track_id,to_language_code\n" + "".join(lines)
    return shell.manifest(text, f"{prefix}.csv")


def mixed(shell: Shell, count: int, prefix: str = "") -> str:
    lines = [
        f"{prefix}film-{n},{prefix}film-{n}-en,es,\n,,,{prefix}clip-{n}\n" for n in range(count)
    ]
    text = "asset_id,track_id,to_language_code,video_translate_id\n" + "".join(lines)
    return shell.manifest(text, f"{prefix}mixed.csv")


def until(true: Callable[[], Any]) -> None:
    """Wait for something that has to become true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def knows(shell: Shell, jobs: int) -> bool:
    """Whether so many jobs are in the ledger."""
    ledger = shell.folder / "captions/.batchcap/ledger.sqlite"
    with suppress(sqlite3.Error), closing(sqlite3.connect(ledger)) as connection:
        found = connection.execute("SELECT count(*) FROM creates WHERE job_id NOT NULL")
        return bool(found.fetchone()[0] >= jobs)
    return False


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


class Run:
    """A run that listens, under way; what it says is in files, so that no pipe fills up."""

    def __init__(self, shell: Shell, *arguments: str) -> None:
        self.said = shell.folder / f"said-{time.monotonic_ns()}"
        with self.said.open("wb") as out:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=shell.folder,
                env=shell.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def endpoints(self) -> dict[str, str]:
        """The URLs that it tells to enter at the providers."""
        until(lambda: b"webhooks of " in self.said.read_bytes() or self.process.poll() is not None)
        time.sleep(0.1)  # it has a line for each
        found = dict(re.findall(r"webhooks of (\w+): (\S+)", self.said.read_text()))
        assert found, self.said.read_text()
        return found

    def port(self) -> int:
        return int(next(iter(self.endpoints().values())).split(":")[2].split("/")[0])

    def ended(self, within: float = PATIENCE) -> int:
        return self.process.wait(within)


@contextmanager
def running(shell: Shell, *arguments: str) -> Iterator[Run]:
    run = Run(shell, *arguments)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait(30)


def send_to(sandbox: Mapping[str, str], endpoints: Mapping[str, str]) -> None:
    control(sandbox, **{f"{name}_webhook_url": url for name, url in endpoints.items()})


def assert_paid_once(sandbox: Mapping[str, str]) -> None:
    paid = Counter((one["asset_id"], one["language"]) for one in request_log(sandbox)["creates"])
    assert not [caption for caption, times in paid.items() if times > 1]


@pytest.fixture
def here(shell: Shell, sandbox: Mapping[str, str]) -> Shell:
    """A shell with a sandbox, its secrets and a state folder of its own."""
    shell.environment["XDG_STATE_HOME"] = str(shell.folder / "state")
    return shell


# What does not start


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
def test_what_cannot_be_listened_to_is_a_usage_error_and_nothing_is_started(
    shell: Shell, options: list[str], named: str
) -> None:
    name = mixed(shell, 2)
    shell.environment |= {"MUX_TOKEN_ID": "x", "MUX_TOKEN_SECRET": "y", "HEYGEN_API_KEY": "z"}
    shell.environment["HOME"] = str(shell.folder)
    ran = shell.run("run", name, *options)
    assert ran.returncode == 2, ran.stderr
    assert named in ran.stderr
    assert ran.stderr.startswith("error: ")
    assert "hint: " in ran.stderr or "--listen" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert [path.name for path in shell.folder.iterdir()] == [name]


def test_a_secret_is_asked_for_where_its_provider_has_rows(here: Shell) -> None:
    del here.environment["MUX_WEBHOOK_SECRET"]
    ran = here.run("run", here.manifest("video_translate_id\none\n"), "--listen", "127.0.0.1:0")
    assert ran.returncode == 0, ran.stderr
    assert "webhooks of heygen: http://127.0.0.1:" in ran.stderr
    assert "webhooks of mux" not in ran.stderr
    refused = here.run("run", films(here, 1), "--listen", "127.0.0.1:0")
    assert refused.returncode == 2
    assert "set MUX_WEBHOOK_SECRET\n" in refused.stderr
    assert json.loads(here.run("report").stdout)["totals"]["total"] == 1, "and not imported"


def test_resume_asks_for_the_secret_too(here: Shell) -> None:
    stuck = here.manifest("asset_id,track_id,to_language_code\nstuck-1,stuck-1-en,es\n")
    with running(here, "run", stuck) as run:
        until(lambda: request_log(here.environment)["creates"])
        run.process.send_signal(signal.SIGINT)
        assert run.ended() == 130
    del here.environment["MUX_WEBHOOK_SECRET"]
    ran = here.run("resume", "--listen", "127.0.0.1:0")
    assert ran.returncode == 2, ran.stderr
    assert "MUX_WEBHOOK_SECRET" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_taken_port_is_told_and_the_run_can_be_resumed(here: Shell) -> None:
    name = mixed(here, 3)
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        ran = here.run("run", name, "--listen", address)
        assert ran.returncode == 3, ran.stderr
        assert f"cannot listen on {address}" in ran.stderr
        assert "hint: " in ran.stderr
        assert "Traceback" not in ran.stderr
    assert request_log(here.environment)["creates"] == []
    again = here.run("resume", "--listen", address, "--json", *UNLIMITED)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["done"] == 6


def test_a_sandbox_sends_to_loopback_only_and_says_so(shell: Shell) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way, suppress(OSError):
        way.connect(("192.0.2.1", 9))  # sends nothing
        address = way.getsockname()[0]
    if address.startswith(("127.", "0.")):
        pytest.skip("this machine has no other address")
    ran = shell.run("run", mixed(shell, 1), "--sandbox", "--listen", f"{address}:0")
    assert ran.returncode == 3, ran.stderr
    assert "loopback" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert shell.run("resume", "--sandbox", "--listen", "127.0.0.1:0").returncode == 0


# From end to end


def test_a_run_that_listens_has_its_captions_by_events(here: Shell) -> None:
    control(here.environment, job_seconds=2.0, heygen_running=1.0)
    name = mixed(here, 30)
    with running(here, "run", name, "--listen", "127.0.0.1:0", "--rate=mux.write=20/s") as run:
        endpoints = run.endpoints()
        assert set(endpoints) == {"mux", "heygen"}
        send_to(here.environment, endpoints)
        assert run.ended() == 0, run.said.read_text()
    told = request_log(here.environment)["webhooks"]
    assert told["mux"]["accepted"] > 60
    assert told["heygen"]["accepted"] > 5
    assert {one["state"] for one in here.results()} == {"done"}
    assert_paid_once(here.environment)
    with suppress(ConnectionError), closing(socket.create_connection(("127.0.0.1", run.port()), 1)):
        pytest.fail("it listens still")


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", "0.0.0.0:0"])
def test_the_demo_listens_without_an_account(shell: Shell, address: str) -> None:
    ran = shell.run("run", mixed(shell, 20), "--sandbox", "--listen", address, "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["done"] == 40
    assert "webhooks of" not in ran.stderr


def test_nothing_of_it_is_said_to_who_wants_quiet(here: Shell) -> None:
    ran = here.run("run", mixed(here, 2), "--listen", "127.0.0.1:0", "-q", *UNLIMITED)
    assert ran.returncode == 0
    assert ran.stderr == ""


def test_a_demo_that_was_killed_goes_on_by_the_same_command(shell: Shell) -> None:
    name = mixed(shell, 60)
    command = ["run", name, "--sandbox", "--listen", f"127.0.0.1:{free_port()}", "--settle=1s"]
    paced = [*command, "--rate=mux.write=30/s", *UNLIMITED[1:]]
    for jobs in (10, 30):
        with running(shell, *paced) as run:
            until(partial(knows, shell, jobs))
            run.process.kill()
            assert run.ended() == -signal.SIGKILL
    ran = shell.run(*command, "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["done"] == 120
    audited = shell.run("audit", "--sandbox")
    assert audited.returncode == 0, audited.stdout
    assert audited.stdout.splitlines()[-1] == "60 captions, none of them paid for twice."


def test_one_ctrl_c_ends_it_in_time_whoever_hangs_on_its_endpoint(here: Shell) -> None:
    control(here.environment, job_seconds=600, job_seconds_max=600)
    with ExitStack() as stack:
        run = stack.enter_context(running(here, "run", films(here, 5), "--listen", "127.0.0.1:0"))
        port = run.port()
        until(lambda: len(request_log(here.environment)["creates"]) >= 2)
        head = b"POST /webhooks/mux HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nhalf"
        for number in range(30):
            client = socket.create_connection(("127.0.0.1", port), 10)
            stack.enter_context(closing(client))
            client.sendall(head[: 3 * number])
        time.sleep(0.3)
        began = time.monotonic()
        run.process.send_signal(signal.SIGINT)
        assert run.ended(30) == 130
        assert time.monotonic() - began < 15
        assert "Traceback" not in run.said.read_text()


# Secrets


def test_no_secret_and_no_link_is_anywhere(here: Shell) -> None:
    """A run's own endpoint, and the inbox, with links in every event, and some attackers."""
    control(here.environment, job_seconds=1.5, heygen_running=1.0, faults={"expired_link": 0.2})
    name = mixed(here, 20)
    talk = ["-v", "--log-file", "log", "--rate=mux.write=20/s"]
    with listening(here) as listener:
        with running(here, "run", name, "--listen", "127.0.0.1:0", *talk) as run:
            endpoints = run.endpoints()
            send_to(here.environment, endpoints)
            until(lambda: len(request_log(here.environment)["creates"]) > 5)
            send_to(here.environment, listener.said["webhooks"])
            assert Listener.ask(_at(run.port()), "POST", "/webhooks/mux", b"{}")[0] == 401
            assert run.ended() == 0, run.said.read_text()
        assert listener.kept()
        found = {str(path): path.read_bytes() for path in here.folder.rglob("*") if path.is_file()}
        status, said = listener.stop()
    assert status == 0
    found["listen"] = said.encode()
    secrets = [value for key, value in here.environment.items() if _secret(key)]
    pair = f"{here.environment['MUX_TOKEN_ID']}:{here.environment['MUX_TOKEN_SECRET']}"
    secrets += [base64.b64encode(pair.encode()).decode(), *LINKS]
    assert len(secrets) > 6
    leaks = [
        (place, one) for place, text in found.items() for one in secrets if one.encode() in text
    ]
    assert not leaks


def _secret(name: str) -> bool:
    return name.startswith(("MUX_", "HEYGEN_")) and not name.endswith(("_URL", "_BASE"))


def _at(port: int) -> Any:
    return type("Endpoint", (), {"port": port})()


# One inbox for many runs


def inbox_of(listener: Listener, *, job_ids: int) -> Callable[[], bool]:
    return lambda: len({kept[1] for kept in listener.kept() if kept[2] != "running"}) >= job_ids


def test_two_runs_read_one_inbox_and_ask_less(here: Shell) -> None:
    """Less than two that do not know of it. Each caption takes a look, since an inbox keeps no
    link; what is above that was asked in vain."""
    control(here.environment, job_seconds=8.0, job_sigma=0.5, job_seconds_max=30.0)
    rates = ["--rate=mux.write=5/s", "--rate=mux.read=20/s", "-q", "--json"]
    names = [films(here, 60, prefix) for prefix in ("heard-a", "heard-b", "deaf-a", "deaf-b")]
    state = here.environment["XDG_STATE_HOME"]
    with listening(here) as listener, ExitStack() as stack:
        send_to(here.environment, listener.said["webhooks"])
        runs = []
        for name in names:
            here.environment["XDG_STATE_HOME"] = state if "heard" in name else "/nowhere"
            words = ("run", name, "-o", name.removesuffix(".csv"), *rates)
            runs.append(stack.enter_context(running(here, *words)))
        assert [run.ended() for run in runs] == [0] * 4
    told = [json.loads(run.said.read_text().splitlines()[-1]) for run in runs]
    assert [one["done"] for one in told] == [60] * 4
    vain = [one["requests"]["mux.read"] - 60 for one in told]
    assert sum(vain[:2]) < 0.75 * sum(vain[2:]), vain
    assert_paid_once(here.environment)


def test_a_run_that_starts_after_the_events_came_uses_them(here: Shell) -> None:
    control(here.environment, job_seconds=4.0, job_sigma=0.01, job_seconds_max=10.0)
    rates = ["--rate=mux.write=none", "--rate=mux.read=5/s", "-q"]
    name = films(here, 30)
    with listening(here) as listener:
        send_to(here.environment, listener.said["webhooks"])
        with running(here, "run", name, *rates) as run:
            until(partial(knows, here, 30))
            run.process.kill()
        until(inbox_of(listener, job_ids=30))
        assert listener.stop()[0] == 0
    before = request_log(here.environment)["requests"].get("mux.read", 0)
    ran = here.run("resume", *rates)
    assert ran.returncode == 0, ran.stderr
    assert request_log(here.environment)["requests"]["mux.read"] - before <= 33
    assert_paid_once(here.environment)


def gone(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def broken(folder: Path) -> None:
    for path in folder.glob("inbox.sqlite*"):
        path.write_bytes(b"\0nothing of use\xff" * 5000)


def of_tomorrow(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "inbox.sqlite", timeout=10)) as connection:
        connection.execute("PRAGMA user_version = 7")


@pytest.mark.parametrize("harm", [gone, broken, of_tomorrow])
def test_harm_to_the_inbox_in_the_middle_harms_no_run(
    here: Shell, harm: Callable[[Path], None]
) -> None:
    control(here.environment, job_seconds=2.0)
    with listening(here) as listener:
        send_to(here.environment, listener.said["webhooks"])
        with running(here, "run", films(here, 60), *PACED) as run:
            until(inbox_of(listener, job_ids=5))
            harm(here.folder / "state/batchcap")
            assert run.ended() == 0, run.said.read_text()
            assert "Traceback" not in run.said.read_text()
    assert {one["state"] for one in here.results()} == {"done"}
    assert_paid_once(here.environment)


def test_an_inbox_that_was_killed_and_started_again_goes_on(here: Shell) -> None:
    control(here.environment, job_seconds=2.0, webhook_retry=0.3)
    address = f"127.0.0.1:{free_port()}"
    with running(here, "run", films(here, 60), *PACED) as run:
        for _ in range(3):
            process = here.start("listen", "--listen", address, "--json")
            try:
                listener = Listener(process)
                send_to(here.environment, listener.said["webhooks"])
                time.sleep(1.2)
                assert listener.kept()
            finally:
                process.kill()
                process.communicate()
        assert run.ended() == 0, run.said.read_text()
    assert {one["state"] for one in here.results()} == {"done"}
    assert_paid_once(here.environment)


# Strangers


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


def test_a_flood_of_junk_keeps_no_run_from_its_end(here: Shell) -> None:
    """5,000 events a second without a valid signature; polling does what events cannot."""
    control(here.environment, job_seconds=2.0)
    with running(
        here, "run", mixed(here, 40), "--listen", "127.0.0.1:0", "--rate=mux.write=10/s"
    ) as run:
        port = run.port()
        send_to(here.environment, run.endpoints())
        flood = subprocess.Popen(
            [sys.executable, "-c", FLOOD, str(port), "5000", "5"], stdout=subprocess.PIPE, text=True
        )
        try:
            until(lambda: len(request_log(here.environment)["creates"]) == 40)
            status = Path(f"/proc/{run.process.pid}/status").read_text()
            assert run.ended() == 0, run.said.read_text()
        finally:
            told, _ = flood.communicate(timeout=60)
    sent, answers = map(int, told.split())
    assert sent > 5000
    assert answers > 100
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])
    assert peak < 400_000
    said = run.said.read_text()
    assert "Traceback" not in said
    assert said.count("without a valid signature") == 1
    assert {one["state"] for one in here.results()} == {"done"}
    assert_paid_once(here.environment)
