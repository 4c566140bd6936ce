"""A body without its compression.

Decoded piece by piece, so that a bomb goes off in the hands of whoever counts the
bytes; and a stream whose end is missing is never taken for whole.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from batchcap.http.connection import Response
from batchcap.http.failures import Lost

ACCEPTED = "gzip"
_PIECE = 256 * 1024
"""Bytes that are decoded at once, at most."""

_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""zlib's `wbits` by content encoding."""


async def decoded(response: Response) -> AsyncIterator[bytes]:
    """The body in pieces, decoded. Raises `Lost` where it is cut, broken or late."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        while piece := await response.piece():
            yield piece
        return
    if encoding not in _WINDOWS:
        raise Lost(f"encoded as {encoding[:20]!r}, which was not asked for")
    decoder, begun = zlib.decompressobj(_WINDOWS[encoding]), False
    while piece := await response.piece():
        begun = True
        while piece:
            if decoder.eof:  # gzip members may follow each other; anything else is broken
                decoder = zlib.decompressobj(_WINDOWS[encoding])
            yield _unpacked(decoder, piece)
            piece = decoder.unused_data or decoder.unconsumed_tail
    if begun and not decoder.eof:  # no byte at all is no body, whatever it would be encoded as
        raise Lost("the compressed body was cut")


def _unpacked(decoder: zlib._Decompress, piece: bytes) -> bytes:
    try:
        return decoder.decompress(piece, _PIECE)
    except zlib.error:
        raise Lost("broken compression") from None
