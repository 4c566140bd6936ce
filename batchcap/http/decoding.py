"""A body without its compression.

Decoded piece by piece, so that a bomb goes off in the hands of whoever counts the
bytes; and a stream whose end is missing is never taken for whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable

from batchcap.http.connection import Response
from batchcap.http.failures import Lost

ACCEPTED = "gzip"
_PIECE = 256 * 1024
"""Bytes that are decoded at once, at most."""

_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""zlib's `wbits` by content encoding."""


Body = Callable[[], Awaitable[bytes]]
"""What there is next of a body, at most some hundred kB; b"" at its end. Raises `Lost`
where it is cut, broken or late."""


def decoded(response: Response) -> Body:
    """The body of an answer, decoded. Raises `Lost` where nobody asked for its encoding."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return response.piece
    if encoding not in _WINDOWS:
        raise Lost(f"encoded as {encoding[:20]!r}, which was not asked for")
    return _Decoder(response.piece, _WINDOWS[encoding]).piece


class _Decoder:
    """A compressed body. `window` is zlib's `wbits`."""

    def __init__(self, coded: Body, window: int) -> None:
        self._coded, self._window = coded, window
        self._decoder = zlib.decompressobj(window)
        self._begun = False
        self._left = b""

    async def piece(self) -> bytes:
        """See `Body`."""
        piece = b""
        while not piece:
            coded = self._left or await self._coded()
            if not coded:
                self._check_end()
                break
            piece = self._unpacked(coded)
        return piece

    def _unpacked(self, coded: bytes) -> bytes:
        self._begun = True
        if self._decoder.eof:  # gzip members may follow each other; anything else is broken
            self._decoder = zlib.decompressobj(self._window)
        try:
            piece = self._decoder.decompress(coded, _PIECE)
        except zlib.error:
            raise Lost("broken compression") from None
        self._left = self._decoder.unused_data or self._decoder.unconsumed_tail
        return piece

    def _check_end(self) -> None:
        # No byte at all is no body, whatever it would be encoded as.
        if self._begun and not self._decoder.eof:
            raise Lost("the compressed body was cut")
