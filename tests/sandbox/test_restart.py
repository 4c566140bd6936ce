"""What survives a restart, an orderly one and a kill."""

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
from tests.sandbox.client import EPOCH, Client

SERVE = """
import asyncio, json, sys
from pathlib import Path
from batchcap.sandbox import SandboxOptions, run_sandbox
options = SandboxOptions(job_seconds=1e6, job_seconds_max=1e6)
def announce(environment): print(json.dumps(environment), flush=True)
path, watch_stdin = Path(sys.argv[1]), sys.argv[2] == "stdin"
asyncio.run(run_sandbox(options, path, "127.0.0.1", 0, announce, watch_stdin))
"""


async def life(state: Path, steps: Any, **options: Any) -> Any:
    """What `steps` gives back on a sandbox that starts before and stops after."""
    made = SandboxOptions(epoch=EPOCH, **options)
    async with Sandbox(made, state) as sandbox, aiohttp.ClientSession() as session:
        return await steps(Client(sandbox, session))


@pytest.mark.anyio
async def test_jobs_and_clock_go_on_where_they_were(tmp_path: Path) -> None:
    async def first(client: Client) -> Any:
        done = await client.ended("one")
        stuck = (await client.create("id-stuck")).data["id"]
        gone = (await client.create("two-stuck")).data["id"]
        await client.mux(f"/robots/v0/jobs/{gone}/cancel", "POST")
        await asyncio.sleep(5)
        await client.heygen("/v3/video-translations/id-latelink")
        return done, stuck, gone, client.sandbox.now()

    async def second(client: Client) -> None:
        assert 0 <= client.sandbox.now() - stopped < 2
        again = (await client.job(done["id"])).data
        assert again == {**done, "outputs": again["outputs"]}
        assert (await client.job(stuck)).data["status"] == "processing"
        assert (await client.job(gone)).data["status"] == "cancelled"
        assert len(client.sandbox.request_log.creates) == 3
        assert (await client.create("id-stuck")).status == 409
        await asyncio.sleep(28)
        assert (await client.heygen(late)).data["vtt_caption_url"] is None
        await asyncio.sleep(5)
        assert (await client.heygen(late)).data["vtt_caption_url"]
        old = done["outputs"]["temporary_vtt_url"].partition("/storage")[2]
        assert (await client.fetch(f"{client.sandbox.url}/storage{old}")).status == 200

    state, late = tmp_path / "deep" / "state.sqlite", "/v3/video-translations/id-latelink"
    done, stuck, gone, stopped = await life(state, first)
    await asyncio.sleep(10_000)
    await life(state, second)


@pytest.mark.anyio
async def test_a_create_that_was_still_to_land_lands_after_a_restart(tmp_path: Path) -> None:
    async def first(client: Client) -> None:
        with pytest.raises(aiohttp.ClientError):
            await client.create("one")

    async def second(client: Client) -> None:
        assert client.sandbox.request_log.creates == []
        await asyncio.sleep(11)
        assert len(client.sandbox.request_log.creates) == 1

    options = {"faults": {"late_create": 1.0}, "late_create_seconds": 10.0}
    await life(tmp_path / "s", first, **options)
    await life(tmp_path / "s", second, **options)


@pytest.mark.anyio
async def test_a_taken_port_is_told_and_leaves_nothing_open(tmp_path: Path) -> None:
    async with Sandbox() as sandbox:
        other = Sandbox(state=tmp_path / "state.sqlite")
        with pytest.raises(OSError, match="address already in use"):
            await other.start(port=int(sandbox.url.rpartition(":")[2]))


def started(state: Path, how: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(state), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    environment = json.loads(process.stdout.readline())
    return process, environment["MUX_BASE_URL"].removesuffix("/mux")


def created(url: str, asset_id: str) -> None:
    parameters = {"asset_id": asset_id, "track_id": "t", "to_language_code": "es"}
    options = SandboxOptions()
    request = urllib.request.Request(
        f"{url}/mux/robots/v0/jobs/translate-captions",
        data=json.dumps({"parameters": parameters}).encode(),
        headers={
            "Authorization": aiohttp.encode_basic_auth(
                options.mux_token_id, options.mux_token_secret
            )
        },
    )
    urllib.request.urlopen(request).close()


def finish(process: subprocess.Popen[str]) -> None:
    process.wait(timeout=20)
    assert process.stdin
    assert process.stdout
    process.stdin.close()
    process.stdout.close()


def saved(state: Path) -> int:
    connection = sqlite3.connect(state)
    (count,) = connection.execute("select count(*) from jobs").fetchone()
    connection.close()
    return int(count)


def test_a_kill_loses_no_more_than_the_last_moment(tmp_path: Path) -> None:
    state = tmp_path / "state.sqlite"
    process, url = started(state, "stdin")
    created(url, "one")
    deadline = time.monotonic() + 20
    while saved(state) == 0:  # the save is due 0.2 s after the request
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    finish(process)
    process, url = started(state, "stdin")
    with urllib.request.urlopen(f"{url}/sandbox/request-log") as reply:
        creates = json.load(reply)["creates"]
    assert process.stdin
    process.stdin.close()
    process.wait(timeout=20)
    finish(process)
    assert [create["asset_id"] for create in creates] == ["one"]


def test_a_child_ends_with_its_standard_input_and_saves(tmp_path: Path) -> None:
    process, url = started(tmp_path / "state.sqlite", "stdin")
    created(url, "one")
    assert process.stdin
    process.stdin.close()
    assert process.wait(timeout=20) == 0
    finish(process)
    assert saved(tmp_path / "state.sqlite") == 1


def test_a_server_of_its_own_does_not_end_with_its_standard_input(tmp_path: Path) -> None:
    process, url = started(tmp_path / "state.sqlite", "alone")
    assert process.stdin
    process.stdin.close()
    created(url, "one")
    process.send_signal(signal.SIGINT)
    finish(process)
    assert saved(tmp_path / "state.sqlite") == 1
