"""The process itself: does what comes in, a thread a socket.

Descriptors are told as arguments: FAILPOINTS SOCKET MEMORY SOCKET MEMORY ...

Imports little, so that it is there at once. It ends with its parent: when the
other ends of the sockets are closed, and what had arrived is done.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
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
    for peer, memory in zip(channels[::2], channels[1::2], strict=True):
        threading.Thread(target=_serve, args=(socket.socket(fileno=peer), memory)).start()


def _serve(peer: socket.socket, memory: int) -> None:
    inbound, outbound = Inbound(mapped(memory)), Outbound(mapped(-1))
    with contextlib.suppress(ConnectionError):  # a parent that was killed
        while data := peer.recv(_PIECE):
            for function, arguments in inbound.feed(data):
                peer.sendall(outbound.packed(_result(function, arguments)))


def _result(function: Callable[..., Any], arguments: Sequence[Any]) -> tuple[bool, Any]:
    """What the function gave, or what it raised, for the parent to raise."""
    try:
        return True, function(*arguments)
    except Exception as error:
        return False, error
