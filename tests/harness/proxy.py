"""A CONNECT proxy that wants credentials, and TLS servers that only it can find."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trustme
from aiohttp import web

from tests.harness.rows import VTT
from tests.harness.servers import Handler

USER, PASSWORD = "alice@corp", "p@ss/word-of-the-proxy"
ENCODED = "alice%40corp:p%40ss%2Fword-of-the-proxy"
PAIR = base64.b64encode(f"{USER}:{PASSWORD}".encode())
API, FILES = "api.heygen.test", "files.heygen.test"


class ConnectProxy:
    """Opens tunnels to the ports of `routes` for clients that send the password."""

    def __init__(self, routes: dict[str, int]) -> None:
        self.routes = routes
        self.port = 0
        self.heads: list[bytes] = []
        self._tasks: set[asyncio.Task[None] | None] = set()

    def url(self, credentials: str = ENCODED) -> str:
        return f"http://{credentials}@127.0.0.1:{self.port}"

    @property
    def targets(self) -> list[str]:
        return [head.split(b" ")[1].decode() for head in self.heads]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[ConnectProxy]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in filter(None, self._tasks):
                task.cancel()
            await asyncio.gather(*filter(None, self._tasks), return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        try:
            await self._tunnel(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        method, target, _ = head.split(b" ", 2)
        port = self.routes.get(target.decode())
        if b"\r\nProxy-Authorization: Basic %b\r\n" % PAIR not in head:
            writer.write(b"HTTP/1.1 407 Denied\r\nContent-Length: 0\r\n\r\n")
        elif method != b"CONNECT" or port is None:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        else:
            there = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            async with asyncio.TaskGroup() as group:
                group.create_task(_relay(reader, there[1]))
                group.create_task(_relay(there[0], writer))
        await writer.drain()


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def tls_serving(handler: Handler, authority: trustme.CA, *names: str) -> AsyncIterator[int]:
    """Run a server with a certificate of `authority`; yields its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class HeyGenBehindProxy:
    """HeyGen with one finished translation, its file host, and a proxy in front of both."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.proxy = ConnectProxy({})
        self.requests: list[web.Request] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        if request.host == FILES:
            return web.Response(body=VTT)
        item = {"id": "tr", "video_id": "tr", "status": "completed"}
        if request.path.endswith("/statuses"):
            return web.json_response({"data": [item]})
        link = f"https://{FILES}/tr.vtt?X-Goog-Signature=SIGNED-LINK"
        return web.json_response({"data": {**item, "vtt_caption_url": link}})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[HeyGenBehindProxy]:
        names = (API, FILES, "localhost")
        async with tls_serving(self.handle, self.authority, *names) as port, self.proxy.serving():
            self.proxy.routes.update({f"{API}:443": port, f"{FILES}:443": port})
            yield self
