"""`batchcap listen`: a webhook inbox for all runs on this machine."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import anyio
import orjson
from cyclopts import Parameter

from batchcap.cli import log
from batchcap.cli.configuration.environment import environment
from batchcap.domain.errors import UsageError
from batchcap.domain.events import Event, Warned
from batchcap.domain.settings import ListenAddress, inbox_folder, parse_listen
from batchcap.domain.text import printable
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import read_secrets
from batchcap.webhooks.event import Webhook
from batchcap.webhooks.inbox import Inbox, inbox_path
from batchcap.webhooks.receiver import Counts, Receiver
from batchcap.webhooks.signing import require_secrets

COUNTS_INTERVAL = 60.0
"""Seconds between two lines of counts, which are printed only if they have changed."""


def listen(
    *,
    listen: Annotated[
        str, Parameter(help="HOST:PORT; with port 0, any free port.")
    ] = "127.0.0.1:8467",
    public_url: Annotated[
        str, Parameter(help="The URL by which providers reach it, through a proxy or a tunnel.")
    ] = "",
    insecure_webhooks: Annotated[
        bool,
        Parameter(negative="", help="Accept events without a signing secret; loopback only."),
    ] = False,
    json: Annotated[
        bool, Parameter(negative="", help="Print the endpoints as one JSON line.")
    ] = False,
) -> int:
    """Receive webhooks for all runs on this machine, and keep them for 31 days."""
    address = parse_listen(listen, public_url, insecure=insecure_webhooks)
    folder = inbox_folder(environment())
    if folder is None:
        raise UsageError("no folder for the inbox", hint="Set XDG_STATE_HOME to an absolute path.")
    log.set_up(verbose=False, log_file=None)
    anyio.run(_listen, address, folder, json)
    return 0


async def _listen(address: ListenAddress, folder: Path, json: bool) -> None:
    """Serve until SIGINT or SIGTERM, then finish the open requests and save every event."""
    credentials = read_secrets(PROVIDERS.values(), environment())
    webhooks = _enabled_webhooks(credentials, address)
    require_secrets(webhooks, credentials, address)
    with (
        anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
        ThreadPoolExecutor(1, "inbox") as writer,
        Inbox(folder, executor=writer, now=time.time) as inbox,
    ):
        receiver = Receiver(address, webhooks, credentials, inbox.store, _print_warning, time.time)
        async with receiver, anyio.create_task_group() as group:
            _print_endpoints(receiver, folder, json=json)
            group.start_soon(_print_counts, receiver.counts)
            async for _ in signals:
                break
            group.cancel_scope.cancel()
        await inbox.drain()
    print(f"stopped: {_counts_line(receiver.counts)}", file=sys.stderr)


def _enabled_webhooks(credentials: Mapping[str, str], address: ListenAddress) -> list[Webhook]:
    """Return the webhooks whose secret is set, or all of them if none is."""
    webhooks = [spec.webhook for spec in PROVIDERS.values() if spec.webhook is not None]
    signed = [webhook for webhook in webhooks if webhook.secret_variable in credentials]
    return webhooks if address.insecure or not signed else signed


def _print_endpoints(receiver: Receiver, folder: Path, *, json: bool) -> None:
    """Print the URLs to enter at the providers on stdout, and the rest on stderr."""
    endpoints, inbox = receiver.endpoints(), printable(str(inbox_path(folder)))
    if json:
        shown = {"listening": receiver.url, "webhooks": endpoints, "inbox": inbox}
        sys.stdout.write(orjson.dumps(shown).decode() + "\n")
    else:
        for name, url in endpoints.items():
            print(f"{name}: {url}")
    sys.stdout.flush()
    print(f"listening on {receiver.url}, health: {receiver.url}/health", file=sys.stderr)
    print(f"inbox: {inbox}", file=sys.stderr)


async def _print_counts(counts: Counts) -> None:
    """Print the counts every `COUNTS_INTERVAL` if they have changed."""
    printed = _counts_line(counts)
    while True:
        await anyio.sleep(COUNTS_INTERVAL)
        if _counts_line(counts) != printed:
            printed = _counts_line(counts)
            print(printed, file=sys.stderr, flush=True)


def _counts_line(counts: Counts) -> str:
    return ", ".join(
        f"{getattr(counts, name):,} {name.replace('_', ' ')}" for name in counts.__struct_fields__
    )


def _print_warning(event: Event) -> None:
    """Print warnings and ignore other events. An `Observer`."""
    if isinstance(event, Warned):
        print(f"warning: {printable(event.message)}", file=sys.stderr, flush=True)
