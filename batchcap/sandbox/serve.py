"""A sandbox that runs until it is told to stop, or until its parent is gone."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread

from batchcap.sandbox.options import SandboxOptions
from batchcap.sandbox.server import Sandbox


async def serve(
    options: SandboxOptions,
    state: Path | None,
    host: str,
    port: int,
    announce: Callable[[Mapping[str, str]], None],
    until_stdin_closes: bool = False,
) -> None:
    """Serve until cancelled, then save; `announce` gets the environment once it listens.

    With `until_stdin_closes` it also ends when its standard input does, which it does
    when the process that holds the other end dies, however that happens.
    """
    sandbox = Sandbox(options, state)
    await sandbox.start(host, port)
    try:
        announce(sandbox.environment())
        await (_stdin_closed() if until_stdin_closes else asyncio.Event().wait())
    finally:
        await sandbox.stop()


async def _stdin_closed() -> bool:
    loop = asyncio.get_running_loop()
    closed = asyncio.Event()

    def watch() -> None:
        # A thread of its own, because a loop cannot watch every kind of standard input;
        # os.read, because a daemon thread must not hold sys.stdin's lock at the exit.
        descriptor = sys.stdin.fileno()
        while os.read(descriptor, 65536):
            pass
        loop.call_soon_threadsafe(closed.set)

    Thread(target=watch, name="stdin", daemon=True).start()
    return await closed.wait()
