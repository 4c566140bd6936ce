"""A wall clock that is set, a machine that was suspended, a network that fails for a minute."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest

from batchcap.domain.errors import FatalError
from batchcap.domain.models import Row
from batchcap.domain.shutdown import ShutdownToken
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.transport.api_client import Api
from batchcap.transport.network import Network
from batchcap.transport.sender import HttpSender
from tests.harness.api import make_bucket, post_until_accepted
from tests.harness.clock import now
from tests.harness.observers import Recorder
from tests.harness.rows import heygen_row, mux_row
from tests.harness.runs import run_rows

pytestmark = pytest.mark.anyio

RATES = {"mux.write": 2.0, "mux.read": 6.0, "heygen": 6.0}


def rows() -> list[Row]:
    films = [mux_row(f"film-{n}", track_id=f"film-{n}-en") for n in range(60)]
    return [*films, *(heygen_row(f"video-{n}") for n in range(60))]


@pytest.mark.parametrize("step", [3600.0, -3600.0, 86400.0 * 400, -86400.0 * 400])
async def test_run_with_stepping_wall_clock_ends_as_usual(tmp_path: Path, step: float) -> None:
    """A step forward is also what happens when the machine was suspended."""
    stepped = 0.0

    def clock() -> float:
        return now() + stepped

    options = SandboxOptions(faults={"lost_create": 0.1}, job_seconds=5)
    async with Sandbox(options) as sandbox, anyio.create_task_group() as group:

        async def set_clock() -> None:
            nonlocal stepped
            await anyio.sleep(12)
            stepped = step

        group.start_soon(set_clock)
        result = await run_rows(sandbox, tmp_path, rows(), clock=clock, rates=RATES)
        captions = [job.request.asset_id for job in sandbox.request_log.creates]
    assert set(result.states().values()) == {"done"}
    assert len(captions) == len(set(captions)) == 60


async def test_run_without_connection_for_a_minute_loses_no_row(tmp_path: Path) -> None:
    stopping = Sandbox(SandboxOptions(job_seconds=5), tmp_path / "sandbox.sqlite")
    async with stopping as sandbox, anyio.create_task_group() as group:
        port = urlsplit(sandbox.url).port

        async def go_away() -> None:
            await anyio.sleep(12)
            await sandbox.stop()
            await anyio.sleep(60)
            await sandbox.start(port=port or 0)

        group.start_soon(go_away)
        result = await run_rows(sandbox, tmp_path, rows(), rates=RATES)
        asset_of_job = {job.id: job.request.asset_id for job in sandbox.request_log.creates}
    assert set(result.states().values()) == {"done"}
    assert len(asset_of_job) == len(set(asset_of_job.values())) == 60


async def test_create_to_an_unresolvable_host_was_not_sent() -> None:
    observer = Recorder()
    free = make_bucket(None, name="mux.write")
    api = Api(
        HttpSender("https://nowhere.invalid", {}, Network()),
        "mux",
        read=free,
        write=free,
        stop=ShutdownToken(),
        observer=observer,
        now=now,
    )
    async with api:
        with pytest.raises(FatalError, match="mux: cannot connect to nowhere"):
            await post_until_accepted(api, "/x", {})
