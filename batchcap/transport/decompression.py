"""A body without its compression.

Decompressed chunk by chunk, so that the caller, who counts the bytes, can stop a bomb. A
stream whose end is missing is never taken for whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable

from batchcap.transport.http_errors import BodyLost
from batchcap.transport.http_session import Response

_CHUNK = 256 * 1024
"""Bytes that are decompressed at once, at most."""

_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""zlib's `wbits` by content encoding."""


ReadChunk = Callable[[], Awaitable[bytes]]
"""Returns the next chunk of a body, at most some hundred kB; b"" at its end. Raises
`BodyLost` if the body is cut, broken or late."""


def decompressed(response: Response) -> ReadChunk:
    """The body of a response without its compression.

    Raises:
        BodyLost: It is compressed in a way that was not asked for.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return response.read_chunk
    if encoding not in _WINDOWS:
        raise BodyLost(f"encoded as {encoding[:20]!r}, which was not asked for")
    return _Decompressor(response.read_chunk, _WINDOWS[encoding]).read_chunk


class _Decompressor:
    """A compressed body. `window` is zlib's `wbits`."""

    def __init__(self, read_compressed: ReadChunk, window: int) -> None:
        self._read_compressed, self._window = read_compressed, window
        self._decompressor = zlib.decompressobj(window)
        self._has_begun = False
        self._rest = b""

    async def read_chunk(self) -> bytes:
        """See `ReadChunk`."""
        chunk = b""
        while not chunk:
            compressed = self._rest or await self._read_compressed()
            if not compressed:
                self._check_end()
                break
            chunk = self._decompress(compressed)
        return chunk

    def _decompress(self, compressed: bytes) -> bytes:
        self._has_begun = True
        if self._decompressor.eof:  # gzip members may follow each other; anything else is broken
            self._decompressor = zlib.decompressobj(self._window)
        try:
            chunk = self._decompressor.decompress(compressed, _CHUNK)
        except zlib.error:
            raise BodyLost("broken compression") from None
        self._rest = self._decompressor.unused_data or self._decompressor.unconsumed_tail
        return chunk

    def _check_end(self) -> None:
        # A body of no bytes is none, whatever its encoding would be.
        if self._has_begun and not self._decompressor.eof:
            raise BodyLost("the compressed body was cut")
