"""The process itself: does what comes in, a thread a socket.

Descriptors are told as arguments: FAILPOINTS SOCKET MEMORY SOCKET MEMORY ...

Imports little, so that it is there at once. It ends with its parent: when the
other ends of the sockets are closed, and what had arrived is done.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from batchcap import failpoints
from batchcap.sidecar import SIGNALS
from batchcap.sidecar.frames import Inbound, Outbound, mapped

_PIECE = 1024 * 1024


def main() -> None:
    """Serve the sockets until all of them are closed."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    counted, *channels = map(int, sys.argv[1:])
    failpoints.join(counted)
    with _whole_or_gone():
        for peer, memory in zip(channels[::2], channels[1::2], strict=True):
            threading.Thread(target=_serve, args=(socket.socket(fileno=peer), memory)).start()


def _serve(peer: socket.socket, memory: int) -> None:
    with _whole_or_gone():
        inbound, outbound = Inbound(mapped(memory)), Outbound(mapped(-1))
        while data := _received(peer):
            for function, arguments in inbound.feed(data):
                answer = outbound.packed(_result(function, arguments))
                with contextlib.suppress(ConnectionError):  # of a parent that was killed
                    peer.sendall(answer)


@contextlib.contextmanager
def _whole_or_gone() -> Iterator[None]:
    """A thread that cannot go on takes the others along: the parent hears of it then."""
    try:
        yield
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _received(peer: socket.socket) -> bytes:
    try:
        return peer.recv(_PIECE)
    except ConnectionError:
        return b""


def _result(function: Callable[..., Any], arguments: Sequence[Any]) -> tuple[bool, Any]:
    """What the function gave, or what it raised, for the parent to raise."""
    try:
        return True, function(*arguments)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
        except Exception:
            return False, RuntimeError(repr(error))
        return False, error
