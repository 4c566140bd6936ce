"""The process beside the loop's: what it does, what it says, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from batchcap.errors import FatalError
from batchcap.sidecar.executor import Channel, sidecar
from batchcap.sidecar.frames import Inbound, Outbound, mapped, shared_memory
from tests.errands import Data, Unknown, failing, lingering, measured, paused, refused

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Real time: another process takes its own."""
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


async def done(channel: Channel, function: Any, *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(channel, function, *arguments)


@asynccontextmanager
async def one() -> AsyncIterator[Channel]:
    async with sidecar(1) as (channel,):
        yield channel


async def test_functions_are_done_in_another_process_one_after_the_other() -> None:
    async with one() as channel:
        theirs = await done(channel, os.getpid)
        assert theirs != os.getpid()
        numbers = await asyncio.gather(*(done(channel, divmod, n, 7) for n in range(100)))
    assert numbers == [divmod(n, 7) for n in range(100)]


async def test_two_threads_do_not_wait_for_each_other() -> None:
    async with sidecar(2) as (slow, quick):
        later = asyncio.ensure_future(done(slow, paused, 0.5))
        assert await done(quick, paused, 0.0) < await later


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        sqlite3.OperationalError("database or disk is full"),
        ValueError("odd"),
    ],
)
async def test_what_a_function_raises_is_raised(error: Exception) -> None:
    async with one() as channel:
        with pytest.raises(type(error)) as caught:
            await done(channel, failing, error)
        assert caught.value.args == error.args
        assert await done(channel, abs, -1) == 1


@pytest.mark.parametrize("sizes", [(), (0,), (1,), (20_000,) * 64, (9_000_000, 0, 9_000_000)])
async def test_large_data_arrives_whole(sizes: tuple[int, ...]) -> None:
    data = [bytes([1 + n % 250]) * size for n, size in enumerate(sizes)]
    async with one() as channel:
        for _ in range(2):
            found = await done(channel, measured, *map(Data, data))
            assert found == [("memoryview", len(each), sum(each)) for each in data]


async def test_messages_under_way_together_keep_their_own_data() -> None:
    data = [bytes([n]) * 50_000 for n in range(20)]
    async with one() as channel:
        found = await asyncio.gather(*(done(channel, measured, Data(each)) for each in data))
    assert found == [[("memoryview", 50_000, sum(each))] for each in data]


async def test_without_shared_memory_all_goes_through_the_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    async with one() as channel:
        assert await done(channel, measured, Data(b"\1" * 300_000)) == [
            ("memoryview", 300_000, 300_000)
        ]


async def test_where_files_may_not_be_large_it_does_without_shared_memory() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        async with one() as channel:
            assert await done(channel, measured, Data(b"\1" * 300_000)) == [
                ("memoryview", 300_000, 300_000)
            ]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_one_that_is_killed_is_told_and_nothing_hangs() -> None:
    async with one() as channel:
        pid = await done(channel, os.getpid)
        waiting = asyncio.ensure_future(done(channel, paused, 60))
        await asyncio.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(FatalError, match="is gone: was it killed") as caught:
            await waiting
        assert "batchcap resume" in caught.value.hint
        with pytest.raises(FatalError, match="is gone"):
            await done(channel, abs, -1)


async def test_signals_are_its_parents_business() -> None:
    async with one() as channel:
        pid = await done(channel, os.getpid)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
        assert await done(channel, abs, -1) == 1
        assert os.getsid(pid) != os.getsid(0)


async def test_it_is_gone_and_nothing_is_open_when_the_context_is_left() -> None:
    counts = []
    for _ in range(3):  # the first opens what the loop itself needs
        async with sidecar(3) as channels:
            pids = {await done(channel, os.getpid) for channel in channels}
        assert len(pids) == 1
        with pytest.raises(ProcessLookupError):
            os.kill(pids.pop(), 0)
        counts.append(len(list(Path("/proc/self/fd").iterdir())))
    assert len(set(counts)) == 1


async def test_a_start_that_is_cancelled_leaves_nothing() -> None:
    with anyio.fail_after(20):
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with sidecar(2):
                await anyio.lowlevel.checkpoint()
                pytest.fail("was not cancelled")
        assert scope.cancelled_caught


async def test_what_cannot_be_said_of_an_error_is_told_by_its_words() -> None:
    async with one() as channel:
        with pytest.raises(RuntimeError, match="RowError"):
            await done(channel, refused, "code", "message")
        assert await done(channel, abs, -1) == 1


async def test_half_a_sidecar_is_none() -> None:
    async with sidecar(2) as (whole, broken):
        waiting = asyncio.ensure_future(done(whole, paused, 60))
        with pytest.raises(FatalError, match="is gone"):
            await done(broken, Unknown())
        with pytest.raises(FatalError, match="is gone"):
            await waiting


async def test_what_had_arrived_is_done_though_nobody_waits(tmp_path: Path) -> None:
    paths = [tmp_path / "first", tmp_path / "second"]
    async with one() as channel:
        for path in paths:
            channel.submit(lingering, str(path))
        await asyncio.sleep(0.2)
    assert [path.read_text() for path in paths] == ["done", "done"]


@pytest.mark.parametrize("more", range(8))
async def test_too_few_descriptors_are_told(more: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(2)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, hard))
    try:
        with pytest.raises(FatalError, match="cannot start the process that writes"):
            async with sidecar(2):
                pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_one_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(FatalError, match="cannot start the process that writes"):
        async with one():
            pass


ORPHAN = """
import anyio, asyncio, os, sys
from batchcap.sidecar.executor import sidecar
from tests.errands import lingering

async def main():
    async with sidecar(1) as (channel,):
        loop = asyncio.get_running_loop()
        print(await loop.run_in_executor(channel, os.getpid), flush=True)
        await loop.run_in_executor(channel, lingering, sys.argv[1])

anyio.run(main)
"""


@contextlib.contextmanager
def orphan(path: Path) -> Iterator[int]:
    command = [sys.executable, "-c", ORPHAN, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.1)
        parent.kill()
        parent.wait()
        yield pid


async def test_after_its_parent_was_killed_it_does_what_it_has_in_hand_and_ends(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    with orphan(path) as pid:
        assert not path.exists()
        until = time.monotonic() + 10
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < until:
                os.kill(pid, 0)
                await asyncio.sleep(0.02)
        assert path.read_text() == "done"
    assert time.monotonic() < until


@pytest.mark.parametrize("free", [True, False])
def test_messages_come_out_as_they_went_in_however_they_are_cut(free: bool) -> None:
    memory = shared_memory()
    outbound, inbound = Outbound(mapped(memory)), Inbound(mapped(memory))
    os.close(memory)
    given = [("a", Data(b"first" * 100)), ("b", 2), ("c", Data(b""), Data(b"x"))]
    found: list[Any] = []
    for message in given:
        for byte in outbound.packed(message, free=free):
            found.extend(_plain(one) for one in inbound.feed(bytes([byte])))
    assert found == [_plain(message) for message in given]


def _plain(message: tuple[Any, ...]) -> list[Any]:
    return [bytes(one.data) if isinstance(one, Data) else one for one in message]


def test_messages_that_come_together_are_told_apart() -> None:
    outbound, inbound = Outbound(mapped(-1)), Inbound(mapped(-1))
    sent = b"".join(outbound.packed(n) for n in range(50))
    assert list(inbound.feed(sent)) == list(range(50))
