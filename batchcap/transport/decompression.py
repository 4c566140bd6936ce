"""A body without its compression, whatever servers say about it.

Hosts send values of Content-Encoding that are no compression at all (`UTF-8`, `aws-chunked`,
`none`, `binary`, an empty one), or name gzip and send plain text or a zlib stream. Others compress
what is compressed already, or pad its end. So the first bytes of the body decide.

Decompressed chunk by chunk, so that the caller, who counts the bytes, can stop a bomb. A
stream whose end is missing is never taken for whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Set

from batchcap.transport.http_errors import BodyUnreadable
from batchcap.transport.http_session import Response

_CHUNK = 256 * 1024
"""Bytes that are decompressed at once, at most."""

_GZIP_WINDOW, _ZLIB_WINDOW, _DEFLATE_WINDOW = 31, 15, -15
"""zlib's `wbits`. Servers send both zlib streams and bare ones as `deflate`."""

_UNSUPPORTED = frozenset({"br", "zstd", "compress", "x-compress"})
"""Compressions that batchcap does not ask for, and cannot decompress."""

_GZIP = b"\x1f\x8b"
"""The first bytes of every gzip stream (RFC 1952, 2.3.1)."""

_ENOUGH = 6  # bytes that show what a body is
_LAYERS = 2  # of compression, at most: `gzip, gzip`
_PADDING = b"\0\t\r\n "  # what may follow the end of a compressed stream
_MAX_IDLE = 1 << 20  # compressed bytes without any content, such as padding, before it is broken


ReadChunk = Callable[[], Awaitable[bytes]]
"""Returns the next chunk of a body, at most some hundred kB; b"" at its end. Raises
`BodyLost` if the body is cut, broken or late."""


def decompressed(response: Response) -> ReadChunk:
    """Return the body of a response without its compression.

    Raises:
        BodyUnreadable: On reading, if the body is compressed in a way that was not asked for, or
            the compressed data is broken.
    """
    values = ",".join(response.headers.getall("content-encoding", []))
    names = {name.strip().lower() for name in values.split(",")}
    return _Sniffer(response.read_chunk, names).read_chunk


class _Sniffer:
    """A body whose first bytes show how it is compressed. `names` are what its server says."""

    def __init__(self, read_raw: ReadChunk, names: Set[str], layers: int = _LAYERS) -> None:
        self._read_raw, self._names, self._layers = read_raw, names, layers
        self._read_chunk: ReadChunk | None = None
        self._first = b""

    async def read_chunk(self) -> bytes:
        """See `ReadChunk`."""
        if self._read_chunk is None:
            while len(self._first) < _ENOUGH and (chunk := await self._read_raw()):
                self._first += chunk
            self._read_chunk = self._plain()
        return await self._read_chunk()

    def _plain(self) -> ReadChunk:
        window = _window(self._first, self._names)
        if window is None:
            return self._replay
        decompressor = _Decompressor(self._replay, window)
        if self._layers == 1:
            return decompressor.read_chunk
        # Only a stream that is surely compressed is decompressed again: the names may be wrong.
        return _Sniffer(decompressor.read_chunk, {"gzip"}, self._layers - 1).read_chunk

    async def _replay(self) -> bytes:
        first, self._first = self._first, b""
        return first or await self._read_raw()


def _window(first: bytes, names: Set[str]) -> int | None:
    """Return zlib's `wbits` for a body that begins so; None if it is not compressed."""
    if first.startswith(_GZIP):
        return _GZIP_WINDOW
    if not first or _is_text(first):
        return None
    is_zlib = first[0] & 0x0F == 8 and int.from_bytes(first[:2]) % 31 == 0  # RFC 1950, 2.2
    if is_zlib and names & {"gzip", "x-gzip", "deflate"}:
        return _ZLIB_WINDOW
    if "deflate" in names:
        return _DEFLATE_WINDOW
    if unsupported := names & _UNSUPPORTED:
        raise BodyUnreadable(f"it is compressed with {min(unsupported)}, which was not asked for")
    return None


def _is_text(first: bytes) -> bool:
    start = first.removeprefix(b"\xef\xbb\xbf")[:_ENOUGH]
    return all(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in start)


class _Decompressor:
    """A compressed body. `window` is zlib's `wbits`."""

    def __init__(self, read_compressed: ReadChunk, window: int) -> None:
        self._read_compressed, self._window = read_compressed, window
        self._decompressor = zlib.decompressobj(window)
        self._has_begun = False
        self._rest = b""
        self._idle = 0  # bytes that were read since the last content

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
        size, self._rest = len(compressed), b""
        if self._decompressor.eof and (compressed := compressed.lstrip(_PADDING)):
            # Another gzip member follows. Anything else is broken.
            self._decompressor = zlib.decompressobj(self._window)
        chunk = b""
        if compressed:
            try:
                chunk = self._decompressor.decompress(compressed, _CHUNK)
            except zlib.error:
                raise BodyUnreadable("its compression is broken") from None
            self._rest = self._decompressor.unused_data or self._decompressor.unconsumed_tail
        self._idle = 0 if chunk else self._idle + size - len(self._rest)
        if self._idle > _MAX_IDLE:
            raise BodyUnreadable("its compressed data has no content")
        return chunk

    def _check_end(self) -> None:
        # A body of no bytes is none, whatever its encoding would be.
        if self._has_begun and not self._decompressor.eof:
            raise BodyUnreadable("the compressed body was cut")
