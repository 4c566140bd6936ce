"""The installed command behind a proxy, and with a provider that cannot be reached."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from tests.harness.proxy import API, ENCODED, FILES, PAIR, PASSWORD, HeyGenBehindProxy
from tests.harness.rows import VTT
from tests.system.conftest import Shell, command_line

KEY = "heygen-key-of-the-user"
SECRETS = (PASSWORD, ENCODED.partition(":")[2], PAIR.decode(), KEY, "SIGNED-LINK")


@pytest.fixture
def world(shell: Shell) -> Iterator[HeyGenBehindProxy]:
    """HeyGen behind a proxy, in a thread of its own; the shell's environment points at it."""
    provider = HeyGenBehindProxy()
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(provider.serving()):
        provider.authority.cert_pem.write_to_path(str(shell.folder / "ca.pem"))
        shell.environment |= {
            "HEYGEN_API_BASE": f"https://{API}",
            "HEYGEN_API_KEY": KEY,
            "HTTPS_PROXY": provider.proxy.url(),
        }
        shell.manifest("video_translate_id\ntr\n")
        yield provider


def assert_hidden(shell: Shell, *texts: str | bytes) -> None:
    """Check that no secret is in a file or in the output."""
    contents = [path.read_bytes() for path in shell.folder.rglob("*") if path.is_file()]
    contents += [text.encode() if isinstance(text, str) else text for text in texts]
    for content in contents:
        for secret in SECRETS:
            assert secret.encode() not in content


@pytest.mark.parametrize("certificates", ["--ca", "SSL_CERT_FILE"])
def test_run_through_a_proxy_shows_no_secret(
    shell: Shell, world: HeyGenBehindProxy, certificates: str
) -> None:
    options = ["--ca", "ca.pem"] if certificates == "--ca" else []
    if not options:
        shell.environment["SSL_CERT_FILE"] = str(shell.folder / "ca.pem")
    process = shell.start("run", "m.csv", "-v", "--log-file", "log", *options)
    arguments = command_line(process.pid)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert (shell.folder / "captions/heygen/tr.vtt").read_bytes() == VTT
    assert set(world.proxy.targets) == {f"{API}:443", f"{FILES}:443"}
    assert_hidden(shell, out, err, arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--proxy", f"socks5://{ENCODED}@127.0.0.1:1080"], "socks5:// proxies are not supported"),
        (["--proxy", f"https://{ENCODED}@127.0.0.1:1080"], "https:// proxies are not supported"),
        (["--proxy", f"http://{ENCODED}@"], "not the URL of a proxy"),
        (["--ca", "m.csv"], "--ca: m.csv cannot be used"),
        (["--ca", "missing.pem"], "--ca: missing.pem cannot be used"),
    ],
)
def test_unusable_option_is_refused_before_anything_starts(
    shell: Shell, world: HeyGenBehindProxy, arguments: list[str], message: str
) -> None:
    result = shell.run("run", "m.csv", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert "hint: " in result.stderr
    assert "Traceback" not in result.stderr
    assert not (shell.folder / "captions/.batchcap/ledger.sqlite").exists()
    assert not world.proxy.heads
    assert_hidden(shell, result.stderr, result.stdout)


def test_sandbox_run_is_never_proxied(shell: Shell) -> None:
    shell.environment |= {"HTTPS_PROXY": "socks5://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"}
    shell.manifest("video_translate_id\ntr\n")
    result = shell.run("run", "m.csv", "--sandbox")
    assert result.returncode == 0, result.stderr


REASON = f"heygen: cannot connect to {API}: the proxy refuses the user or password (407)"


def start_with_wrong_password(shell: Shell, world: HeyGenBehindProxy) -> subprocess.Popen[str]:
    """Start a run; returns when it has reported why it cannot connect, at most 10 s later."""
    shell.environment["HTTPS_PROXY"] = world.proxy.url("alice:wrong-password")
    began = time.monotonic()
    process = shell.start("run", "m.csv", "--no-progress", "-v", "--log-file", "log")
    assert process.stderr
    while f"warning warning reason='{REASON}; trying for 60 s'" not in (
        line := process.stderr.readline()
    ):
        assert line, "it ended without a word"
    assert time.monotonic() - began < 10
    return process


def test_reason_is_shown_at_once_while_a_provider_is_out_of_reach(
    shell: Shell, world: HeyGenBehindProxy
) -> None:
    process = start_with_wrong_password(shell, world)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert shell.results()[0]["state"] == "pending"
    assert_hidden(shell, out, err)
    assert "wrong-password" not in out + err


@pytest.mark.nightly  # a minute of waiting; tests/integration/test_run.py has it on virtual time
@pytest.mark.timeout(150)
def test_provider_that_never_answered_stops_after_a_minute(
    shell: Shell, world: HeyGenBehindProxy
) -> None:
    process = start_with_wrong_password(shell, world)
    began = time.monotonic()
    out, err = process.communicate(timeout=120)
    assert 55 < time.monotonic() - began < 80
    assert process.returncode == 3
    assert f"error: {REASON}\nhint: Check the network" in err
    assert shell.results()[0]["state"] == "pending"
    assert_hidden(shell, out, err)
