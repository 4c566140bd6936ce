"""An HTTP server that strangers may reach."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import web

SILENT_LOGGER = logging.Logger("batchcap.server", logging.CRITICAL + 1)
"""Logs nothing: aiohttp would log what strangers send."""


class BoundedServer(web.Server):
    """Limits connections: each one takes a file descriptor that the run may need."""

    def __init__(self, *arguments: Any, max_connections: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._max_connections = max_connections

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Close a connection above the limit. aiohttp calls this for each new one."""
        super().connection_made(handler, transport)
        if len(self.connections) > self._max_connections:
            # In the next turn of the loop: the handler must have started before it can be aborted.
            asyncio.get_running_loop().call_soon(transport.abort)
