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
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from itertools import chain
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import anyio

from batchcap import failpoints
from batchcap.errors import FatalError
from batchcap.sidecar import SIGNALS
from batchcap.sidecar.frames import Inbound, Outbound, mapped, shared_memory

P = ParamSpec("P")
T = TypeVar("T")

_STOPS_WITHIN = 10.0
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
        with anyio.CancelScope(shield=True):  # what is half connected would not be closed
            channels = [await _channel(end) for end in ends]
        for channel in channels:
            stack.callback(channel.shutdown)
        yield channels


class Channel(asyncio.Protocol, Executor):
    """Has functions done by a thread of the other process, one after the other.

    Used in the loop's thread only. Functions and what they are given are pickled, so
    functions are named by module; a `pickle.PickleBuffer` goes beside the pickle.
    A future raises what the function raised, or `FatalError` where the process is gone.
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
        """Nothing is sent any more; what was sent is done, and nobody hears of it."""
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


class _End(NamedTuple):
    """Of a pair of sockets, and memory that both sides see."""

    here: socket.socket
    shared: memoryview


def _started(threads: int) -> tuple[subprocess.Popen[bytes], list[_End]]:
    """The process, and for each thread our end."""
    with ExitStack() as ours, ExitStack() as theirs:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until it ignores them
        theirs.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        try:
            pairs = [_pair(ours, theirs) for _ in range(threads)]
            process = _launched([failpoints.shared(), *chain(*(told for _, told in pairs))])
        except OSError as error:
            raise FatalError(
                f"cannot start the process that writes the files: {error.strerror or error}",
                hint="Are there too many processes, or is memory short? Then: batchcap resume",
            ) from None
        ours.pop_all()  # open as long as the channels are
    return process, [end for end, _ in pairs]


def _pair(ours: ExitStack, theirs: ExitStack) -> tuple[_End, tuple[int, int]]:
    """Our end, and the descriptors of theirs."""
    here, there = socket.socketpair()
    ours.enter_context(here)
    theirs.enter_context(there)
    memory = shared_memory()
    if memory >= 0:
        theirs.callback(os.close, memory)
    return _End(here, mapped(memory)), (there.fileno(), memory)


def _launched(descriptors: list[int]) -> subprocess.Popen[bytes]:
    """In a session of its own, so that the terminal's Ctrl-C leaves it to its parent."""
    for descriptor in descriptors:
        if descriptor >= 0:
            os.set_inheritable(descriptor, True)
    return subprocess.Popen(  # noqa: S603  # ourselves
        [sys.executable, "-c", _PROGRAM.format(sys.path), *map(str, descriptors)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        close_fds=False,  # what is inheritable is for it: these, and the lock of the run
    )


async def _channel(end: _End) -> Channel:
    end.here.setblocking(False)
    loop = asyncio.get_running_loop()
    _, channel = await loop.create_unix_connection(lambda: Channel(end.shared), sock=end.here)
    return channel


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Its sockets are closed, so it ends when what it has in hand is done."""
    with anyio.CancelScope(shield=True):
        await asyncio.get_running_loop().run_in_executor(None, _waited, process)


def _waited(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOPS_WITHIN)
    except subprocess.TimeoutExpired:  # nobody waits for what it does: a kill is safe
        process.kill()
        process.wait()


def _died() -> FatalError:
    return FatalError(
        "the process that writes the files and the ledger is gone: was it killed?",
        hint="Is memory short? What it had acknowledged is on disk; batchcap resume goes on.",
    )
