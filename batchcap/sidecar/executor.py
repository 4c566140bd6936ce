"""The run's side: a process, and an `Executor` for each of its threads."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ParamSpec, TypeVar, cast

import anyio

from batchcap import failpoints
from batchcap.errors import FatalError
from batchcap.sidecar import SIGNALS
from batchcap.sidecar.frames import Inbound, Outbound, mapped, shared_memory

P = ParamSpec("P")
T = TypeVar("T")

_PROGRAM = "import sys; sys.path[:] = {}; from batchcap.sidecar.process import main; main()"
"""With `-m`, a user's own `socket.py` in the working folder would be taken for Python's."""


@asynccontextmanager
async def sidecar(threads: int) -> AsyncIterator[list[Channel]]:
    """A process of its own, and an executor for each of its threads.

    Raises `FatalError` where it cannot be started.
    """
    async with AsyncExitStack() as stack:
        process, ends = _started(threads)
        stack.push_async_callback(_ended, process)
        channels = [await _channel(*end) for end in ends]
        for channel in channels:
            stack.callback(channel.shutdown)
        yield channels


class Channel(asyncio.Protocol, Executor):
    """Has functions done by a thread of the other process, one after the other.

    Used in the loop's thread only. Functions and what they are given are pickled, so
    functions are named by module; a `pickle.PickleBuffer` goes beside the pickle. A future of it
    raises what the function raised, or `FatalError` where the process is gone.
    """

    _transport: asyncio.WriteTransport

    def __init__(self, shared: memoryview) -> None:
        self._inbound, self._outbound = Inbound(mapped(-1)), Outbound(shared)
        self._waiting: deque[Future[Any]] = deque()
        self._gone = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `Executor`; takes no keywords."""
        assert not kwargs
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # what was sent cannot be taken back
        if self._gone:
            future.set_exception(_died())
        else:
            told = self._outbound.packed((fn, args), free=not self._waiting)
            self._waiting.append(future)
            self._transport.write(told)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing is sent any more; what was sent is done. Waits for nobody."""
        self._gone = True
        self._outbound = Outbound(mapped(-1))  # the memory goes
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        for done, result in self._inbound.feed(data):
            future = self._waiting.popleft()
            if done:
                future.set_result(result)
            else:
                future.set_exception(result)

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._gone = True
        while self._waiting:
            self._waiting.popleft().set_exception(_died())


def _started(threads: int) -> tuple[subprocess.Popen[bytes], list[tuple[socket.socket, int]]]:
    """The process, and for each thread our end: a socket, and the memory to be shared.

    It has a session of its own, so that the terminal's Ctrl-C leaves it to its parent.
    """
    pairs = [(*socket.socketpair(), shared_memory()) for _ in range(threads)]
    told = [failpoints.shared()]
    for _, there, memory in pairs:
        told += [there.fileno(), memory]
    for descriptor in told:
        if descriptor >= 0:
            os.set_inheritable(descriptor, True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until it ignores them
    try:
        process = subprocess.Popen(  # noqa: S603  # ourselves
            [sys.executable, "-c", _PROGRAM.format(sys.path), *map(str, told)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            close_fds=False,  # what is inheritable is for it: these, and the lock of the run
        )
    except OSError as error:
        for here, _, memory in pairs:
            here.close()
            mapped(memory).release()
        raise FatalError(
            f"cannot start the process that writes the files: {error.strerror or error}",
            hint="Are there too many processes, or is memory short? Then: batchcap resume",
        ) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for _, there, _ in pairs:
            there.close()
    return process, [(here, memory) for here, _, memory in pairs]


async def _channel(here: socket.socket, memory: int) -> Channel:
    here.setblocking(False)
    loop = asyncio.get_running_loop()
    shared = mapped(memory)
    _, channel = await loop.create_unix_connection(lambda: Channel(shared), sock=here)
    return channel


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Its sockets are closed, so it ends when what it has in hand is done."""
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(process.wait)


def _died() -> FatalError:
    return FatalError(
        "the process that writes the files and the ledger is gone: was it killed?",
        hint="Is memory short? What it had acknowledged is on disk; batchcap resume goes on.",
    )
