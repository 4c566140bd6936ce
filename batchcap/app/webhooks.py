"""Lets events settle jobs: those of the machine's inbox, and of an endpoint of our own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from anyio.abc import TaskGroup

from batchcap.domain.protocols import Observer
from batchcap.domain.settings import ListenAddress
from batchcap.engine import Poller
from batchcap.webhooks.event import Webhook, WebhookEvent
from batchcap.webhooks.inbox_reader import InboxReader
from batchcap.webhooks.signing import require_secrets

Announce = Callable[[Mapping[str, str]], Awaitable[None]]
"""Told the endpoints for webhooks by provider, once they are open."""


class Hearing:
    """What a run listens to: an endpoint where `listening` says so, an inbox where there is one.

    Raises `UsageError` where a signing secret that the endpoint needs is missing.
    """

    def __init__(
        self,
        listening: ListenAddress | None,
        webhooks: Sequence[Webhook],
        secrets: Mapping[str, str],
        *,
        inbox: Path | None,
        announce: Announce | None,
        observer: Observer,
        now: Callable[[], float],
    ) -> None:
        if listening is not None:
            require_secrets(webhooks, secrets, listening)
        self._listening, self._webhooks, self._secrets = listening, webhooks, secrets
        self._inbox, self._announce = inbox, announce
        self._observer, self._now = observer, now

    async def start(
        self, stack: AsyncExitStack, group: TaskGroup, pollers: Mapping[str, Poller]
    ) -> None:
        """Hear until stack and group are left. Raises `FatalError` where it cannot bind."""

        def deliver(notice: WebhookEvent) -> None:
            if notice.provider in pollers:
                pollers[notice.provider].on_webhook(notice.job)

        if self._inbox is not None:
            reader = InboxReader(self._inbox, self._observer, self._now)
            group.start_soon(reader.follow, list(pollers), deliver)
        if self._listening is None or not pollers:
            return
        from batchcap.webhooks.receiver import Receiver  # a server, which few runs need

        receiver = Receiver(
            self._listening, self._webhooks, self._secrets, deliver, self._observer, self._now
        )
        await stack.enter_async_context(receiver)
        if self._announce is not None:
            await self._announce(receiver.endpoints())
