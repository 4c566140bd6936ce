"""`batchcap listen`: a webhook inbox for all runs on this machine."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from batchcap.errors import UsageError
from batchcap.events import Event, Warned

if TYPE_CHECKING:
    from batchcap.settings import Listening
    from batchcap.webhooks.event import Webhook
    from batchcap.webhooks.receiver import Counts, Receiver

_LINE_EVERY = 60.0
"""Seconds between two lines on the screen, where something came meanwhile."""


def listen(
    *,
    listen: Annotated[str, Parameter(help="HOST:PORT; port 0 is any free one.")] = "127.0.0.1:8467",
    public_url: Annotated[
        str, Parameter(help="How the providers reach it, through a proxy or a tunnel.")
    ] = "",
    insecure_webhooks: Annotated[
        bool,
        Parameter(negative="", help="Take events without a signing secret; on loopback only."),
    ] = False,
    json: Annotated[bool, Parameter(negative="", help="The endpoints as one JSON line.")] = False,
) -> int:
    """Receive webhooks for all runs on this machine, and keep them for 31 days.

    A provider sends all events of an environment to one endpoint; runs read them here, so
    that they ask less. Runs until Ctrl-C.
    """
    import anyio

    from batchcap import log
    from batchcap.settings import inbox_folder, listening

    where = listening(listen, public_url, insecure=insecure_webhooks)
    folder = inbox_folder(os.environ)
    if folder is None:
        raise UsageError(
            "there is no folder for the inbox", hint="Set XDG_STATE_HOME to an absolute path."
        )
    log.set_up(verbose=False, log_file=None)
    anyio.run(_listen, where, folder, json)
    return 0


async def _listen(where: Listening, folder: Path, json: bool) -> None:
    """Serve until a signal comes; then requests in the air end, and what came is kept."""
    import anyio

    from batchcap.settings import secrets
    from batchcap.webhooks.inbox import Inbox
    from batchcap.webhooks.receiver import Receiver
    from batchcap.webhooks.signing import require_secrets

    known = secrets(os.environ)
    webhooks = _served(known, where)
    require_secrets(webhooks, known, where)
    with (
        anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
        ThreadPoolExecutor(1, "inbox") as writer,
        Inbox(folder, executor=writer, now=time.time) as inbox,
    ):
        receiver = Receiver(where, webhooks, known, inbox.keep, _talk, time.time)
        async with receiver, anyio.create_task_group() as group:
            _announce(receiver, folder, json=json)
            group.start_soon(_tell_counts, receiver.counts)
            async for _ in signals:
                break
            group.cancel_scope.cancel()
        await inbox.drain()
    print(f"stopped: {_line(receiver.counts)}", file=sys.stderr)


def _served(known: Mapping[str, str], where: Listening) -> list[Webhook]:
    """Every provider that can be served: those whose secret is set, or all there are."""
    from batchcap.providers import PROVIDERS

    there = [spec.webhook for spec in PROVIDERS.values() if spec.webhook is not None]
    signed = [webhook for webhook in there if webhook.secret_variable in known]
    return there if where.insecure or not signed else signed


def _announce(receiver: Receiver, folder: Path, *, json: bool) -> None:
    """Say where it listens, and what to enter at each provider."""
    import orjson

    from batchcap.log import printable
    from batchcap.webhooks.inbox import inbox_path

    endpoints, inbox = receiver.endpoints(), printable(str(inbox_path(folder)))
    if json:
        shown = {"listening": receiver.url, "webhooks": endpoints, "inbox": inbox}
        sys.stdout.write(orjson.dumps(shown).decode() + "\n")
    else:
        for name, url in endpoints.items():
            print(f"{name}: {url}")
    sys.stdout.flush()
    print(f"listening on {receiver.url}, health: {receiver.url}/health", file=sys.stderr)
    print(f"the inbox is {inbox}", file=sys.stderr)


async def _tell_counts(counts: Counts) -> None:
    """A line now and then, where something came."""
    import anyio

    told = _line(counts)
    while True:
        await anyio.sleep(_LINE_EVERY)
        if _line(counts) != told:
            told = _line(counts)
            print(told, file=sys.stderr, flush=True)


def _line(counts: Counts) -> str:
    return ", ".join(
        f"{getattr(counts, name):,} {name.replace('_', ' ')}" for name in counts.__struct_fields__
    )


def _talk(event: Event) -> None:
    """What a person has to know. An `Observer`."""
    from batchcap.log import printable

    if isinstance(event, Warned):
        print(f"warning: {printable(event.message)}", file=sys.stderr, flush=True)
