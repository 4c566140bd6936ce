"""The sandbox as a child process, for `--sandbox`.

A session of its own, so that the terminal's Ctrl-C leaves it to its parent; and
it watches its standard input, so that it ends with a parent that was killed.
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

_PROGRAM = "import sys; sys.path[:] = {}; from batchcap.cli import main; sys.exit(main())"
"""With `-m`, a user's own `queue.py` in the working folder would be taken for Python's."""

_STARTS_WITHIN = 30.0
_STOPS_WITHIN = 10.0


class ChildFailedError(Exception):
    """The sandbox did not start."""


@asynccontextmanager
async def sandbox_process(state: Path, *arguments: str) -> AsyncIterator[Mapping[str, str]]:
    """Run a sandbox that keeps its jobs and clock in `state`; yields its environment.

    Raises `ChildFailedError` where it does not start.
    """
    command = [sys.executable, "-c", _PROGRAM.format(sys.path)]
    command += ["sandbox", "--json", "--until-stdin-closes", "--state", str(state), *arguments]
    process = await anyio.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None, start_new_session=True
    )
    try:
        yield await _environment(process)
    finally:
        with anyio.move_on_after(_STOPS_WITHIN, shield=True):
            assert process.stdin is not None
            await process.stdin.aclose()
            await process.wait()
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()


async def _environment(process: anyio.abc.Process) -> Mapping[str, str]:
    assert process.stdout is not None
    lines = BufferedByteReceiveStream(process.stdout)
    try:
        with anyio.fail_after(_STARTS_WITHIN):
            line = await lines.receive_until(b"\n", 65536)
    except (anyio.IncompleteRead, anyio.EndOfStream, TimeoutError):
        raise ChildFailedError("the sandbox did not start") from None
    environment: Mapping[str, str] = orjson.loads(line)
    return environment


async def send_webhooks(environment: Mapping[str, str], endpoints: Mapping[str, str]) -> None:
    """Have the sandbox of this environment send its webhooks to the endpoints, by provider.

    Raises `ChildFailedError` where it does not: it sends to loopback only.
    """
    control = environment["MUX_BASE_URL"].rpartition("/")[0] + "/sandbox/options"
    urls = {f"{name}_webhook_url": _near(url) for name, url in endpoints.items()}
    try:
        async with aiohttp.ClientSession() as session, session.post(control, json=urls) as answer:
            told = orjson.loads(await answer.read())
    except (aiohttp.ClientError, orjson.JSONDecodeError) as error:
        raise ChildFailedError(f"the sandbox does not answer: {type(error).__name__}") from None
    if answer.status != 200:
        raise ChildFailedError(told["error"])


def _near(url: str) -> str:
    """An endpoint on all addresses is on loopback too, which is all that a sandbox sends to."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
