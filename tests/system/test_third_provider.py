"""A third provider takes one folder and one entry: the command then works with it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import anyio
import pytest

from tests.third_provider.server import CAPTION, AcmeServer

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
MANIFEST = """\
clip_id,to_language,voice,title
intro,es;ja,Ana,The first
outro,de,,
fails,de,,
"""
UNLIMITED = ["--rate", "acme.write=none", "--rate", "acme.read=none"]


@pytest.fixture
def anyio_backend() -> str:
    """The real clock, since the command is a process of its own."""
    return "asyncio"


@pytest.fixture
async def server() -> AsyncIterator[AcmeServer]:
    async with AcmeServer(job_seconds=1.5) as running:
        yield running


async def batchcap(
    folder: Path, environment: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command with the third provider, in a folder with the manifest."""
    (folder / "m.csv").write_text(MANIFEST)
    home = {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(folder), "PATH": os.environ["PATH"]}
    with anyio.fail_after(60):
        return await anyio.run_process(
            [sys.executable, "-m", "tests.third_provider", *arguments],
            cwd=folder,
            env={**home, **environment},
            check=False,
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_third_provider_manifest_runs_to_its_end(server: AcmeServer, tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    server.webhook_url = f"http://{address}/webhooks/acme"
    options = ["--json", "--listen", address, "--max-jobs", "acme=2", *UNLIMITED]
    result = await batchcap(tmp_path, server.environment(), "run", "m.csv", *options)
    assert result.returncode == 1, result.stderr.decode()  # one row failed
    summary = json.loads(result.stdout)
    assert (summary["done"], summary["failed"], summary["total"]) == (3, 1, 4)
    assert summary["requests"]["acme.write"] == server.requests["POST /jobs"] == 4
    for name in ("intro.es", "intro.ja", "outro.de"):
        assert (tmp_path / f"captions/acme/{name}.vtt").read_bytes() == CAPTION
    lines = (tmp_path / "captions/results.jsonl").read_text().splitlines()
    results = {row["key"]: row for row in map(json.loads, lines)}
    assert results["acme:intro:es"]["meta"] == {"title": "The first"}
    assert results["acme:fails:de"]["error"]["message"] == "the clip is silent"


async def test_third_provider_receives_columns_and_options_and_sends_events(
    server: AcmeServer, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_port()}"
    server.webhook_url = f"http://{address}/webhooks/acme"
    await batchcap(
        tmp_path, server.environment(), "run", "m.csv", "-q", "--listen", address, *UNLIMITED
    )
    assert {"clip": "intro", "to": "ja", "quality": "best", "voice": "Ana"} in server.bodies
    assert server.event_statuses == [200] * 4


async def test_third_provider_missing_secrets_are_named(server: AcmeServer, tmp_path: Path) -> None:
    environment = {"ACME_URL": server.environment()["ACME_URL"]}
    result = await batchcap(tmp_path, environment, "run", "m.csv")
    assert result.returncode == 3
    assert b"acme rows need ACME_KEY in the environment" in result.stderr
    listening = ["--listen", "127.0.0.1:0", "-o", "other"]
    result = await batchcap(tmp_path, environment, "run", "m.csv", *listening)
    assert result.returncode == 2
    assert b"set ACME_WEBHOOK_SECRET" in result.stderr
    assert b"acme.example, Settings, Webhooks" in result.stderr


async def test_third_provider_limits_and_columns_are_accepted(tmp_path: Path) -> None:
    result = await batchcap(tmp_path, {}, "run", "m.csv", "--rate", "nope=1/s")
    assert result.returncode == 2
    assert b"acme.read, acme.write" in result.stderr
    (tmp_path / "bare.csv").write_text("title\nx\n")
    result = await batchcap(tmp_path, {}, "run", "bare.csv")
    assert result.returncode == 2
    assert b"clip_id" in result.stderr
