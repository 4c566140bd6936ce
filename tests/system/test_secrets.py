"""Keys and signed links are in no file, no output and no process list; output is printable."""

from __future__ import annotations

import base64
import fcntl
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from batchcap.sandbox import FAULTS
from tests.system.conftest import UNLIMITED, Shell, command_line, request_log, sandbox_process

TOKEN, SECRET, KEY = "tid-hunter2hunter2", "tsec-correct-horse", "hkey-battery-staple"
SIGNING = "signing-key-of-the-user"
PARTS = ("Signature=", "X-Goog-", "Key-Pair-Id", "token=", "Basic ", "eyJ")
"""Parts of signed links and of headers, and the beginning of every JWT."""

ENDLESS = {"job_stuck", "late_link"}
FAULTY = [f"--fault={fault}=0.06" for fault in FAULTS if fault not in ENDLESS]
FIELDS = {
    "mux_token_id": TOKEN,
    "mux_token_secret": SECRET,
    "mux_signing_key": SIGNING,
    "heygen_api_key": KEY,
    "job_seconds": 0.3,
    "late_create_seconds": 0.3,
    "slow_body_seconds": 0.1,
}
HEADER = "asset_id,track_id,from_language,to_language_code,video_translate_id\n"
ROWS = [f"film-{n},,en,es," for n in range(20)]
ROWS += [f"clip-{n},clip-{n}-en,,de," for n in range(10)]
ROWS += [f"film-signed-has-es-{n},,en,es," for n in range(5)]
ROWS += [f"film-nolink-{n},,en,es," for n in range(10)]
ROWS += [f",,,,tr-{n}" for n in range(20)]
ROWS += [",,,,failed-1", "film-deadlink-1,,en,es,", "film-fails-1,,en,es,", ",,,,html-1"]


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return base64.b64encode(pem).decode()


@pytest.fixture
def faulty(shell: Shell, private_key: str) -> Iterator[Shell]:
    """A shell that points to a sandbox with every fault and with secrets of its own."""
    fields = [f"--set={name}={json.dumps(value)}" for name, value in FIELDS.items()]
    with sandbox_process(*FAULTY, *fields) as environment:
        shell.environment.update(environment)
        shell.environment |= {"MUX_SIGNING_KEY": SIGNING, "MUX_PRIVATE_KEY": private_key}
        yield shell


def needles(private_key: str) -> list[bytes]:
    """Return every text that must not appear anywhere."""
    secrets = [TOKEN, SECRET, KEY, SIGNING]
    encoded = [base64.b64encode(secret.encode()).decode().rstrip("=") for secret in secrets]
    pair = base64.b64encode(f"{TOKEN}:{SECRET}".encode()).decode()
    pem = base64.b64decode(private_key).decode().splitlines()[1:3]
    texts = [*secrets, *encoded, pair, private_key[40:80], *pem, *PARTS]
    return [text.encode() for text in texts]


def assert_clean(places: dict[str, bytes], private_key: str) -> None:
    leaks = {
        (place, needle)
        for place, content in places.items()
        for needle in needles(private_key)
        if needle in content
    }
    assert not leaks


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kill_in_the_middle(shell: Shell, *arguments: str) -> dict[str, bytes]:
    """Kill a run after it has created some jobs; returns what it showed."""
    process = shell.start(*arguments)
    deadline = time.monotonic() + 30
    while len(request_log(shell.environment)["creates"]) < 10 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    places = {"process list": command_line(process.pid).encode()}
    process.kill()
    out, err = process.communicate(timeout=30)
    assert process.returncode == -9
    return {**places, "stdout": out.encode(), "stderr": err.encode()}


def test_secrets_appear_nowhere_after_a_verbose_run_with_faults(
    faulty: Shell, private_key: str
) -> None:
    name = faulty.manifest(HEADER + "\n".join(ROWS) + "\n")
    verbose = ["-v", "--log-file", "log", "--settle", "2s", "--fetch-sources"]
    verbose += ["--trace", "trace.har"]
    slow = ["--rate=mux.write=30/s", *UNLIMITED[1:]]
    places = kill_in_the_middle(faulty, "run", name, *verbose, *slow)
    assert b" run " in places["process list"]
    assert any(path.endswith("-wal") for path in files(faulty.folder))
    assert_clean({**places, **files(faulty.folder)}, private_key)

    process = faulty.run("resume", *verbose, *UNLIMITED)
    assert process.returncode == 1, process.stderr[-3000:]
    assert "request_ended provider='mux' bucket='mux.read'" in process.stderr
    assert len(json.loads((faulty.folder / "trace.har").read_bytes())["log"]["entries"]) > 20
    output = {"stdout": process.stdout.encode(), "stderr": process.stderr.encode()}
    assert_clean({**output, **files(faulty.folder)}, private_key)
    states = {result["source_id"]: result["state"] for result in faulty.results()}
    assert states["film-signed-has-es-1"] == "done"
    assert list((faulty.folder / "captions/.batchcap/sources/mux").glob("film-signed-*"))
    assert states["html-1"] == states["failed-1"] == states["film-fails-1"] == "failed"
    assert request_log(faulty.environment)["leaks"] == []
    assert sum(request_log(faulty.environment)["faults"].values()) > 10
    status = faulty.run("status")
    assert_clean({"status": (status.stdout + status.stderr).encode()}, private_key)


def test_secrets_wrong_credential_is_not_printed(faulty: Shell, private_key: str) -> None:
    wrong = "wrong-secret-wrong-secret"
    faulty.environment |= {"MUX_TOKEN_SECRET": wrong, "HEYGEN_API_KEY": wrong}
    name = faulty.manifest(HEADER + "\n".join(ROWS[:3] + ROWS[-1:]) + "\n")
    result = faulty.run("run", name, "-v", "--log-file", "log", "--trace", "trace.har")
    assert result.returncode == 3
    pair = base64.b64encode(f"{TOKEN}:{wrong}".encode())
    for content in (result.stdout.encode(), result.stderr.encode(), *files(faulty.folder).values()):
        assert wrong.encode() not in content
        assert pair not in content


CONTROL = "\x1b]0;owned\x07\x9b2J\u202e"


def printable(text: str) -> bool:
    return all(line.isprintable() for line in text.splitlines())


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", f"no{CONTROL}.csv"],
        ["run", "no\nerror: such.csv"],
        ["run", b"\xff\xfe.csv"],
        [f"command{CONTROL}"],
        ["run", "m.csv", f"--rate={CONTROL}"],
        ["run", "m.csv", f"--name={CONTROL}"],
        ["run", "m.csv", f"--nonsense{CONTROL}"],
        ["resume", "-o", f"none{CONTROL}"],
        ["status", "-o", b"\xff"],
        ["run", "evil.csv"],
        ["run", "m.csv", "--sandbox", "--encoding", CONTROL],
    ],
    ids=ascii,
)
def test_messages_with_hostile_arguments_are_printable(shell: Shell, arguments: list[str]) -> None:
    shell.manifest("video_translate_id\none\n")
    evil = f"video_translate_id,name,key\n{CONTROL},{CONTROL},{CONTROL}\n../x,../../x,k\n"
    shell.manifest(evil, "evil.csv")
    result = shell.run(*arguments)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    assert printable(result.stderr), ascii(result.stderr)
    assert printable(result.stdout)


@pytest.mark.parametrize("out", [f"out{CONTROL}", b"\xff", "a\nb"], ids=ascii)
@pytest.mark.parametrize("json_wanted", [False, True])
def test_run_odd_output_folder_is_printed_safely(shell: Shell, out: str, json_wanted: bool) -> None:
    name = shell.manifest("video_translate_id\none\nmissing-1\n")
    options = ["--sandbox", "-o", out, "--json" if json_wanted else "-v"]
    result = shell.run("run", name, *options)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert printable(result.stdout), ascii(result.stdout)
    assert printable(result.stderr), ascii(result.stderr)
    assert "1 of 2 captions" in result.stdout or json.loads(result.stdout)["done"] == 1


def test_lock_with_hostile_content_is_printed_safely(shell: Shell) -> None:
    folder = shell.folder / "captions/.batchcap"
    folder.mkdir(parents=True)
    name = shell.manifest("video_translate_id\none\n")
    assert shell.run("run", name, "--sandbox").returncode == 0
    holder = {"pid": 7, "host": f"host{CONTROL}\nerror: x", "since": 1e300}
    with (folder / "lock").open("w") as file:
        file.write(json.dumps(holder))
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        for arguments in (["run", name, "--sandbox"], ["status"]):
            result = shell.run(*arguments)
            assert "Traceback" not in result.stderr
            assert "process 7" in result.stdout + result.stderr
            assert printable(result.stdout + result.stderr)
