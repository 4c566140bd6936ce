"""Keys and signed links are in no file, no output and no process list."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from batchcap.sandbox import FAULTS
from tests.system.conftest import COMMAND, Shell
from tests.system.test_command import request_log

TOKEN, SECRET, KEY = "tid-hunter2hunter2", "tsec-correct-horse", "hkey-battery-staple"
SIGNING = "signing-key-of-the-user"
PARTS = ("Signature=", "X-Goog-", "Key-Pair-Id", "token=", "Basic ", "eyJ")
"""Of links, of headers, and how each JWT begins."""

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
    """A shell that points at a sandbox process with every fault and secrets of its own."""
    fields = [f"--set={name}={json.dumps(value)}" for name, value in FIELDS.items()]
    process = subprocess.Popen(
        [*COMMAND, "sandbox", "--json", "--until-stdin-closes", *FAULTY, *fields],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        shell.environment.update(json.loads(process.stdout.readline()))
        shell.environment |= {"MUX_SIGNING_KEY": SIGNING, "MUX_PRIVATE_KEY": private_key}
        yield shell
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


def needles(private_key: str) -> list[bytes]:
    secrets = [TOKEN, SECRET, KEY, SIGNING]
    encoded = [base64.b64encode(one.encode()).decode().rstrip("=") for one in secrets]
    pair = base64.b64encode(f"{TOKEN}:{SECRET}".encode()).decode()
    pem = base64.b64decode(private_key).decode().splitlines()[1:3]
    found = [*secrets, *encoded, pair, private_key[40:80], *pem, *PARTS]
    return [one.encode() for one in found]


def assert_clean(places: dict[str, bytes], private_key: str) -> None:
    found = {
        (place, needle)
        for place, content in places.items()
        for needle in needles(private_key)
        if needle in content
    }
    assert not found


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def killed_in_the_middle(shell: Shell, *arguments: str) -> dict[str, bytes]:
    """What a run shows that is killed once it has created some jobs."""
    process = shell.start(*arguments)
    deadline = time.monotonic() + 30
    while len(request_log(shell.environment)["creates"]) < 10 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    places = {"process list": Path(f"/proc/{process.pid}/cmdline").read_bytes()}
    process.kill()
    out, err = process.communicate(timeout=30)
    assert process.returncode == -9
    return {**places, "stdout": out.encode(), "stderr": err.encode()}


def test_no_secret_is_anywhere_after_a_verbose_run_with_faults(
    faulty: Shell, private_key: str
) -> None:
    name = faulty.manifest(HEADER + "\n".join(ROWS) + "\n")
    rates = [f"--rate={bucket}=none" for bucket in ("mux.write", "mux.read", "heygen")]
    talk = ["-v", "--log-file", "log", "--settle", "2s", *rates]
    rates[0] = "--rate=mux.write=30/s"
    places = killed_in_the_middle(faulty, "run", name, *talk[:-3], *rates)
    assert b"run\0" in places["process list"]
    assert any(path.endswith("-wal") for path in files(faulty.folder))
    assert_clean({**places, **files(faulty.folder)}, private_key)

    ran = faulty.run("resume", *talk)
    assert ran.returncode == 1, ran.stderr
    assert "request: mux.read" in ran.stderr
    said = {"stdout": ran.stdout.encode(), "stderr": ran.stderr.encode()}
    there = files(faulty.folder)
    assert_clean({**said, **there}, private_key)
    states = {one["source_id"]: one["state"] for one in faulty.results()}
    assert states["film-signed-has-es-1"] == "done"
    assert states["html-1"] == states["failed-1"] == states["film-fails-1"] == "failed"
    assert request_log(faulty.environment)["leaks"] == []
    assert sum(request_log(faulty.environment)["faults"].values()) > 10
    told = faulty.run("status")
    assert_clean({"told": (told.stdout + told.stderr).encode()}, private_key)


def test_a_wrong_credential_is_not_repeated(faulty: Shell, private_key: str) -> None:
    wrong = "wrong-secret-wrong-secret"
    faulty.environment |= {"MUX_TOKEN_SECRET": wrong, "HEYGEN_API_KEY": wrong}
    name = faulty.manifest(HEADER + "\n".join(ROWS[:3] + ROWS[-1:]) + "\n")
    ran = faulty.run("run", name, "-v", "--log-file", "log")
    assert ran.returncode == 3
    pair = base64.b64encode(f"{TOKEN}:{wrong}".encode())
    for content in (ran.stdout.encode(), ran.stderr.encode(), *files(faulty.folder).values()):
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
        [f"verb{CONTROL}"],
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
def test_what_the_command_says_is_safe_to_print(shell: Shell, arguments: list[str]) -> None:
    shell.manifest("video_translate_id\none\n")
    evil = f"video_translate_id,name,key\n{CONTROL},{CONTROL},{CONTROL}\n../x,../../x,k\n"
    shell.manifest(evil, "evil.csv")
    ran = shell.run(*arguments)
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.startswith("error: ")
    assert "Traceback" not in ran.stderr
    assert printable(ran.stderr), ascii(ran.stderr)
    assert printable(ran.stdout)


@pytest.mark.parametrize("out", [f"out{CONTROL}", b"\xff", "a\nb"], ids=ascii)
@pytest.mark.parametrize("json_wanted", [False, True])
def test_an_odd_output_folder_is_used_and_told_safely(
    shell: Shell, out: str, json_wanted: bool
) -> None:
    name = shell.manifest("video_translate_id\none\nmissing-1\n")
    words = ["run", name, "--sandbox", "-o", out, *(["--json"] if json_wanted else ["-v"])]
    ran = shell.run(*words)
    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stderr
    assert printable(ran.stdout), ascii(ran.stdout)
    assert printable(ran.stderr), ascii(ran.stderr)
    assert "1 of 2 captions" in ran.stdout or json.loads(ran.stdout)["done"] == 1


def test_a_planted_lock_is_told_safely(shell: Shell) -> None:
    import fcntl

    folder = shell.folder / "captions/.batchcap"
    folder.mkdir(parents=True)
    name = shell.manifest("video_translate_id\none\n")
    assert shell.run("run", name, "--sandbox").returncode == 0
    holder = {"pid": 7, "host": f"host{CONTROL}\nerror: x", "since": 1e300}
    with (folder / "lock").open("w") as file:
        file.write(json.dumps(holder))
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        for words in (["run", name, "--sandbox"], ["status"]):
            ran = shell.run(*words)
            assert "Traceback" not in ran.stderr
            assert "process 7" in ran.stdout + ran.stderr
            assert printable(ran.stdout + ran.stderr)
