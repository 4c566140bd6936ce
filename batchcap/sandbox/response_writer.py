"""Writes a response to its connection: complete, truncated, slowly, or not at all."""

from __future__ import annotations

import asyncio

from aiohttp import web

from batchcap.sandbox.http_types import Response

_SLOW_CHUNKS = 8
"""The number of chunks that a slow body is sent in."""


def complete(response: Response, date: str) -> web.StreamResponse:
    """Return the complete response."""
    headers = _headers(response, date)
    return web.Response(status=response.status, body=response.body, headers=headers)


async def send_truncated(
    request: web.BaseRequest, response: Response, date: str
) -> web.StreamResponse:
    """Announce the whole body, send half of it, and close the connection."""
    stream = await _start(request, response, date)
    await stream.write(response.body[: len(response.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return stream


async def send_slowly(
    request: web.BaseRequest, response: Response, date: str, seconds: float
) -> web.StreamResponse:
    """Send the body in small chunks, spread over `seconds` of the loop's time."""
    stream = await _start(request, response, date)
    size = max(1, -(-len(response.body) // _SLOW_CHUNKS))
    offsets = range(0, len(response.body), size)
    for offset in offsets:
        # Sleep before the chunk, not after it: the client is done when it has the last byte.
        await asyncio.sleep(seconds / len(offsets))
        await stream.write(response.body[offset : offset + size])
    await stream.write_eof()
    return stream


async def drop_connection(request: web.BaseRequest) -> web.StreamResponse:
    """Abort the connection without a response."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # aiohttp's handler must return one; it is never sent


async def _start(request: web.BaseRequest, response: Response, date: str) -> web.StreamResponse:
    stream = web.StreamResponse(status=response.status, headers=_headers(response, date))
    stream.content_length = len(response.body)
    await stream.prepare(request)
    return stream


def _headers(response: Response, date: str) -> dict[str, str]:
    return {"Content-Type": response.content_type, "Date": date, **dict(response.headers)}
