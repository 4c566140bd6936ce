"""`--web` and `batchcap web` as commands."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from batchcap.cli.app import main
from tests.system.conftest import Shell

MANIFEST = "asset_id,from_language,to_language_code\na,en,es\nb,en,es\n"
TOKEN = "correct-horse-battery"


@contextmanager
def url_of(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield the URL that a process prints on stderr; stop the process in the end."""
    assert process.stdout
    assert process.stderr
    with process.stdout, process.stderr:
        try:
            for line in process.stderr:
                if line.startswith("live page: "):
                    yield line.split()[-1]
                    break
        finally:
            process.terminate()
            process.wait(timeout=20)


def connected(url: str) -> closing[http.client.HTTPConnection]:
    parts = urlsplit(url)
    return closing(http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30))


def test_run_with_web_sends_events_to_its_end(shell: Shell) -> None:
    shell.manifest(MANIFEST)
    process = shell.start("run", "m.csv", "--sandbox", "--web", "127.0.0.1:0")
    with url_of(process) as url, connected(url) as connection:
        connection.request("GET", "/events")
        lines = connection.getresponse().read().decode().splitlines()
        assert process.wait(timeout=20) == 0
    assert lines[0].startswith("retry: ")
    assert "event: ended" in lines[-4:]
    totals = [line for line in lines if '"totals":{' in line]
    assert '"done":2' in totals[-1]


def test_web_serves_a_folder_until_a_signal(shell: Shell) -> None:
    shell.manifest(MANIFEST)
    assert shell.run("run", "m.csv", "--sandbox", "-o", "out").returncode == 0
    process = shell.start("web", "127.0.0.1:0", "--dir", "out", "--web-token", TOKEN)
    with url_of(process) as url, connected(url) as connection:
        assert url.endswith(f"/?token={TOKEN}")
        connection.request("GET", "/files/mux/a.es.vtt")
        response = connection.getresponse()
        assert (response.status, b"WEBVTT" in response.read()) == (401, False)
        connection.request("GET", f"/files/mux/a.es.vtt?token={TOKEN}")
        assert connection.getresponse().read().startswith(b"WEBVTT")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    path = tmp_path / "m.csv"
    path.write_text(MANIFEST)
    return str(path)


def run_here(*arguments: str) -> int:
    """Run a command in this process that must not start anything."""
    return main([*arguments, "--sandbox"])


def test_port_in_use_starts_nothing(
    tmp_path: Path, manifest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        out = tmp_path / "out"
        assert run_here("run", manifest, "-o", str(out), "--web", address) == 2
    assert f"error: --web: cannot listen on {address}" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--web", "8468"], "--web: invalid address '8468'"),
        (["--web-token", TOKEN], "--web-token needs --web"),
        (["--web", "0.0.0.0:0", "--web-token", "short"], "--web-token: use at least 16"),
        (["--web", "0.0.0.0:0", "--quiet"], "which --quiet forbids"),
    ],
)
def test_wrong_option_starts_nothing(
    tmp_path: Path,
    manifest: str,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    error: str,
) -> None:
    out = tmp_path / "out"
    assert run_here("run", manifest, "-o", str(out), *options) == 2
    assert error in capsys.readouterr().err
    assert not out.exists()


def test_web_without_a_ledger_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["web", "127.0.0.1:0", "--dir", str(tmp_path)]) == 2
    assert "there is no ledger in" in capsys.readouterr().err


def test_verify_with_web_needs_repair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--dir", str(tmp_path), "--web", "127.0.0.1:0"]) == 2
    assert "--web and --metrics need --repair" in capsys.readouterr().err
