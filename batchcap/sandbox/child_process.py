"""Runs the sandbox as a child process, for `--sandbox`.

The child has a session of its own, so that Ctrl-C in the terminal does not reach it before
its parent is done with it. It watches its standard input, so that it ends if the parent is
killed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import anyio
import anyio.abc
import orjson
from anyio.streams.buffered import BufferedByteReceiveStream

_PROGRAM = """\
import sys; sys.path[:] = {}; from batchcap.cli import main; sys.exit(main(configured=False))"""
"""Not `-m`: with it, a user's own `queue.py` in the working folder would shadow Python's. The
configuration of `batchcap sandbox` is not that of `--sandbox`."""

_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 10.0


class ChildFailedError(Exception):
    """The sandbox did not start or does not respond."""


@asynccontextmanager
async def sandbox_process(state: Path, *arguments: str) -> AsyncIterator[Mapping[str, str]]:
    """Run a sandbox that keeps its jobs and clock in `state`; yields its environment.

    Raises:
        ChildFailedError: the sandbox did not start within 30 s.
    """
    command = [sys.executable, "-c", _PROGRAM.format(sys.path)]
    command += ["sandbox", "--json", "--until-stdin-closes", "--state", str(state), *arguments]
    process = await anyio.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None, start_new_session=True
    )
    try:
        yield await _read_environment(process)
    finally:
        with anyio.move_on_after(_STOP_TIMEOUT, shield=True):
            assert process.stdin is not None
            await process.stdin.aclose()
            await process.wait()
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()


async def _read_environment(process: anyio.abc.Process) -> Mapping[str, str]:
    assert process.stdout is not None
    lines = BufferedByteReceiveStream(process.stdout)
    try:
        with anyio.fail_after(_START_TIMEOUT):
            line = await lines.receive_until(b"\n", 65536)
    except (anyio.IncompleteRead, anyio.EndOfStream, TimeoutError):
        raise ChildFailedError("the sandbox did not start") from None
    environment: Mapping[str, str] = orjson.loads(line)
    return environment


async def send_webhooks(environment: Mapping[str, str], endpoints: Mapping[str, str]) -> None:
    """Make the sandbox of this environment send its webhooks to the endpoints, by provider.

    Raises:
        ChildFailedError: the sandbox does not respond, or refuses an endpoint because it is
            not on loopback.
    """
    control = environment["MUX_BASE_URL"].rpartition("/")[0] + "/sandbox/options"
    urls = {f"{name}_webhook_url": _on_loopback(url) for name, url in endpoints.items()}
    try:
        async with aiohttp.ClientSession() as session, session.post(control, json=urls) as response:
            document = orjson.loads(await response.read())
    except (aiohttp.ClientError, orjson.JSONDecodeError) as error:
        raise ChildFailedError(f"the sandbox does not respond: {type(error).__name__}") from None
    if response.status != 200:
        raise ChildFailedError(document["error"])


def _on_loopback(url: str) -> str:
    """Replace "all addresses" in an endpoint by loopback, the only one a sandbox sends to."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
