"""Messages between the two processes: pickles, and large data beside them.

Large data goes through memory that both see, where there is any and it is free: a
socket takes it in pieces, at five times the cost. Both ends are this program, and
nobody else has the sockets.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
from collections.abc import Iterator, Sequence
from typing import Any

_SHARED = 16 * 1024 * 1024
"""Bytes; a page of it that was never used takes no memory."""

_HEAD = struct.Struct("<?I")
"""Whether the data is in shared memory; how many pieces follow, the pickle among them."""


def shared_memory() -> int:
    """The descriptor of memory to be shared with a child; -1 where the system has none."""
    if not hasattr(os, "memfd_create"):
        return -1
    try:
        memory = os.memfd_create("batchcap")
    except OSError:  # a kernel or a sandbox without it
        return -1
    try:
        os.truncate(memory, _SHARED)
    except OSError:  # RLIMIT_FSIZE
        os.close(memory)
        return -1
    return memory


def mapped(memory: int) -> memoryview:
    """The memory behind a descriptor, which is not needed any more then; empty for -1."""
    return memoryview(mmap.mmap(memory, _SHARED) if memory >= 0 else b"")


class Outbound:
    """Messages into bytes to be sent."""

    def __init__(self, shared: memoryview) -> None:
        self._shared = shared

    def packed(self, message: object, *, free: bool = False) -> bytes:
        """A message as it is sent.

        A `pickle.PickleBuffer` in it arrives as a memoryview, which is good until the
        message is answered. `free`: no message is unanswered.
        """
        buffers: list[pickle.PickleBuffer] = []
        told = pickle.dumps(message, 5, buffer_callback=buffers.append)
        data = [buffer.raw() for buffer in buffers]
        sizes = [one.nbytes for one in data]
        through = free and 0 < sum(sizes) <= len(self._shared)
        if through:
            begin = 0
            for size, one in zip(sizes, data, strict=True):
                self._shared[begin : begin + size] = one
                begin += size
        head = _HEAD.pack(through, 1 + len(data)) + _sizes(1 + len(data)).pack(len(told), *sizes)
        return b"".join((head, told, *(() if through else data)))


class Inbound:
    """Bytes as they come, into messages."""

    def __init__(self, shared: memoryview) -> None:
        self._shared = shared
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """The messages that are complete now."""
        self._data += data
        while len(self._data) >= _HEAD.size:
            through, count = _HEAD.unpack_from(self._data)
            begin = _HEAD.size + 8 * count
            if len(self._data) < begin:
                return
            sizes = _sizes(count).unpack_from(self._data, _HEAD.size)
            end = begin + (sizes[0] if through else sum(sizes))
            if len(self._data) < end:
                return
            whole, self._data = memoryview(self._data)[begin:end], self._data[end:]
            told, rest = whole[: sizes[0]], whole[sizes[0] :]
            buffers = _cut(self._shared if through else rest, sizes[1:])
            yield pickle.loads(told, buffers=buffers)  # noqa: S301  # from our own process


def _cut(data: memoryview, sizes: Sequence[int]) -> Iterator[memoryview]:
    begin = 0
    for size in sizes:
        yield data[begin : begin + size]
        begin += size


def _sizes(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}Q")
