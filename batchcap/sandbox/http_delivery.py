"""Answers as HTTP: whole, cut short, trickling, or not at all."""

from __future__ import annotations

import asyncio

from aiohttp import web

from batchcap.sandbox.http_types import Answer

_SIPS = 8
"""Into how many pieces a slow body is cut."""


def whole(answer: Answer, date: str) -> web.StreamResponse:
    """The answer, complete."""
    return web.Response(status=answer.status, body=answer.body, headers=_headers(answer, date))


async def cut(request: web.BaseRequest, answer: Answer, date: str) -> web.StreamResponse:
    """Headers that promise all of the body, half of it, and the end of the connection."""
    response = await _begun(request, answer, date)
    await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def slow(
    request: web.BaseRequest, answer: Answer, date: str, seconds: float
) -> web.StreamResponse:
    """The body in small pieces over that many loop seconds."""
    response = await _begun(request, answer, date)
    size = max(1, -(-len(answer.body) // _SIPS))
    starts = range(0, len(answer.body), size)
    for start in starts:
        # Before the piece, not after it: with the last byte the client is done.
        await asyncio.sleep(seconds / len(starts))
        await response.write(answer.body[start : start + size])
    await response.write_eof()
    return response


async def dropped(request: web.BaseRequest) -> web.StreamResponse:
    """No answer: the connection ends."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # aiohttp wants one; there is nobody left to send it to


async def _begun(request: web.BaseRequest, answer: Answer, date: str) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_headers(answer, date))
    response.content_length = len(answer.body)
    await response.prepare(request)
    return response


def _headers(answer: Answer, date: str) -> dict[str, str]:
    return {"Content-Type": answer.content_type, "Date": date, **dict(answer.headers)}
