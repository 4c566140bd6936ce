"""Sends a response piece by piece, at the pace of a reader who takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

WRITE_TIMEOUT = 20.0
"""Seconds after which a reader that takes nothing is disconnected."""


class ReaderGoneError(Exception):
    """The reader left, or took nothing for too long."""


async def send(response: web.StreamResponse, pieces: AsyncIterator[bytes]) -> None:
    """Send all pieces of a response that is prepared. No more than one of them is buffered.

    Raises:
        ReaderGoneError: The connection is of no more use.
    """
    async for piece in pieces:
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                await response.write(piece)
        except (TimeoutError, ConnectionError):
            raise ReaderGoneError from None
