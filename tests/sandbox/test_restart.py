"""What survives a restart of the sandbox: after an orderly stop, and after a kill."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from batchcap.sandbox import Sandbox, SandboxOptions
from tests.sandbox.client import sandbox_client

SERVE = """
import asyncio, json, sys
from pathlib import Path
from batchcap.sandbox import SandboxOptions, run_sandbox
options = SandboxOptions(job_seconds=1e6, job_seconds_max=1e6)
def announce(environment): print(json.dumps(environment), flush=True)
path, watch_stdin = Path(sys.argv[1]), sys.argv[2] == "stdin"
asyncio.run(run_sandbox(options, path, "127.0.0.1", 0, announce, watch_stdin))
"""


@pytest.mark.anyio
async def test_restart_keeps_jobs_and_clock(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state.sqlite"
    late_video = "/v3/video-translations/id-latelink"
    async with sandbox_client(state) as client:
        completed = await client.run_job("one")
        stuck = (await client.create("id-stuck")).data["id"]
        cancelled = (await client.create("two-stuck")).data["id"]
        await client.cancel_job(cancelled)
        await asyncio.sleep(5)
        await client.heygen(late_video)
        stopped_at = client.sandbox.now()
    await asyncio.sleep(10_000)
    async with sandbox_client(state) as client:
        assert 0 <= client.sandbox.now() - stopped_at < 2
        restored = (await client.get_job(completed["id"])).data
        assert restored == {**completed, "outputs": restored["outputs"]}
        assert (await client.get_job(stuck)).data["status"] == "processing"
        assert (await client.get_job(cancelled)).data["status"] == "cancelled"
        assert len(client.sandbox.request_log.creates) == 3
        assert (await client.create("id-stuck")).status == 409
        await asyncio.sleep(28)
        assert (await client.heygen(late_video)).data["vtt_caption_url"] is None
        await asyncio.sleep(5)
        assert (await client.heygen(late_video)).data["vtt_caption_url"]
        link = completed["outputs"]["temporary_vtt_url"].partition("/storage")[2]
        assert (await client.fetch(f"{client.sandbox.url}/storage{link}")).status == 200


@pytest.mark.anyio
async def test_restart_keeps_which_job_may_upload(tmp_path: Path) -> None:
    state, length = tmp_path / "state.sqlite", {"job_sigma": 0.0, "job_seconds": 100.0}
    options = {**length, "job_seconds_max": 100.0}
    async with sandbox_client(state, **options) as client:
        created = [(await client.create("one", tag)).data["id"] for tag in ("pt-BR", "pt-PT")]
    async with sandbox_client(state, **options) as client:
        await asyncio.sleep(200)
        statuses = [(await client.get_job(job_id)).data["status"] for job_id in created]
    assert statuses == ["completed", "errored"]


@pytest.mark.anyio
async def test_deleted_track_stays_deleted_after_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite"
    async with sandbox_client(state) as client:
        track = await client.find_track("one")
        await client.mux(f"/video/v1/assets/one/tracks/{track}", "DELETE")
    async with sandbox_client(state) as client:
        tracks = (await client.mux("/video/v1/assets/one")).data["tracks"]
        assert track not in {shown["id"] for shown in tracks}


@pytest.mark.anyio
async def test_delayed_create_is_carried_out_after_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite"
    options: dict[str, Any] = {"faults": {"late_create": 1.0}, "late_create_seconds": 10.0}
    async with sandbox_client(state, **options) as client:
        with pytest.raises(aiohttp.ClientError):
            await client.create("one")
    async with sandbox_client(state, **options) as client:
        assert client.sandbox.request_log.creates == []
        await asyncio.sleep(11)
        assert len(client.sandbox.request_log.creates) == 1


@pytest.mark.anyio
async def test_taken_port_raises_and_leaves_nothing_open(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        other = Sandbox(state=tmp_path / "state.sqlite")
        with pytest.raises(OSError, match="address already in use"):
            await other.start(port=int(sandbox.url.rpartition(":")[2]))


def start_process(state: Path, ends_with: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(state), ends_with],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    environment = json.loads(process.stdout.readline())
    return process, environment["MUX_BASE_URL"].removesuffix("/mux")


def create(url: str, asset_id: str) -> None:
    parameters = {"asset_id": asset_id, "track_id": "t", "to_language_code": "es"}
    defaults = SandboxOptions()
    request = urllib.request.Request(
        f"{url}/mux/robots/v0/jobs/translate-captions",
        data=json.dumps({"parameters": parameters}).encode(),
        headers={
            "Authorization": aiohttp.encode_basic_auth(
                defaults.mux_token_id, defaults.mux_token_secret
            )
        },
    )
    urllib.request.urlopen(request).close()


def wait_for_end(process: subprocess.Popen[str]) -> None:
    process.wait(timeout=20)
    assert process.stdin
    assert process.stdout
    process.stdin.close()
    process.stdout.close()


def count_saved_jobs(state: Path) -> int:
    connection = sqlite3.connect(state)
    (count,) = connection.execute("select count(*) from jobs").fetchone()
    connection.close()
    return int(count)


def test_kill_keeps_jobs_older_than_the_save_delay(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite"
    process, url = start_process(state, "stdin")
    create(url, "one")
    deadline = time.monotonic() + 20
    while count_saved_jobs(state) == 0:  # it saves 0.2 s after the request
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    wait_for_end(process)
    process, url = start_process(state, "stdin")
    with urllib.request.urlopen(f"{url}/sandbox/request-log") as response:
        creates = json.load(response)["creates"]
    assert process.stdin
    process.stdin.close()
    process.wait(timeout=20)
    wait_for_end(process)
    assert [create["asset_id"] for create in creates] == ["one"]


def test_run_until_stdin_closes_ends_with_it_and_saves(tmp_path: Path) -> None:
    process, url = start_process(tmp_path / "state.sqlite", "stdin")
    create(url, "one")
    assert process.stdin
    process.stdin.close()
    assert process.wait(timeout=20) == 0
    wait_for_end(process)
    assert count_saved_jobs(tmp_path / "state.sqlite") == 1


def test_run_without_until_stdin_closes_survives_closed_stdin(tmp_path: Path) -> None:
    process, url = start_process(tmp_path / "state.sqlite", "signal")
    assert process.stdin
    process.stdin.close()
    create(url, "one")
    process.send_signal(signal.SIGINT)
    wait_for_end(process)
    assert count_saved_jobs(tmp_path / "state.sqlite") == 1
