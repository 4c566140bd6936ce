"""`batchcap web`: the live page of an output folder."""

from __future__ import annotations

import signal
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
from cyclopts import Parameter

from batchcap.cli.live_page import live_page
from batchcap.cli.options import Out
from batchcap.cli.runtime import run_async
from batchcap.storage.ledger import Lock, open_reader
from batchcap.web.address import DEFAULT_PORT, Listener, listener, parse_web


def web(
    address: Annotated[
        str, Parameter(help="HOST:PORT; on another host than loopback it needs a token.")
    ] = f"127.0.0.1:{DEFAULT_PORT}",
    /,
    *,
    out: Out = Path("captions"),
    web_token: Annotated[
        str, Parameter(help="The token; without it, another host gets one at random.")
    ] = "",
) -> int:
    """Serve the report of a folder, alive while a run works there, until Ctrl-C."""
    parsed = parse_web("batchcap web", address, web_token)
    open_reader(out).close()  # there must be a ledger
    with listener("batchcap web", parsed) as bound:
        run_async(partial(_serve, bound, out))
    return 0


async def _serve(bound: Listener, out: Path) -> None:
    page = live_page(bound, out, is_running=lambda: Lock.holder(out) is not None)
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with page:
            print(f"live page: {bound.url}", file=sys.stderr, flush=True)
            async for _ in signals:
                break
