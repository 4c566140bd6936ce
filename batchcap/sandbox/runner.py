"""Runs a `Sandbox` (`server`) until it is cancelled, or until its parent process is gone."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread

from batchcap.sandbox.options import SandboxOptions
from batchcap.sandbox.server import Sandbox


async def run_sandbox(
    options: SandboxOptions,
    state: Path | None,
    host: str,
    port: int,
    on_listening: Callable[[Mapping[str, str]], None],
    until_stdin_closes: bool = False,
) -> None:
    """Serve until cancelled, then save. `on_listening` is called with the environment.

    With `until_stdin_closes` it also ends when standard input closes. That happens when the
    process at the other end of the pipe dies, even by kill -9.

    Raises:
        OSError: the port is taken.
    """
    sandbox = Sandbox(options, state)
    await sandbox.start(host, port)
    try:
        on_listening(sandbox.environment())
        await (_stdin_closed() if until_stdin_closes else asyncio.Event().wait())
    finally:
        await sandbox.stop()


async def _stdin_closed() -> bool:
    loop = asyncio.get_running_loop()
    closed = asyncio.Event()

    def read_to_end() -> None:
        # In a thread, because an event loop cannot watch every kind of standard input. With
        # os.read, because a daemon thread must not hold sys.stdin's lock at exit.
        descriptor = sys.stdin.fileno()
        while os.read(descriptor, 65536):
            pass
        loop.call_soon_threadsafe(closed.set)

    Thread(target=read_to_end, name="stdin", daemon=True).start()
    return await closed.wait()
