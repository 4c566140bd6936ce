"""Brings webhook events to the pollers of a run, from its own endpoint or from the inbox."""

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
from batchcap.webhooks.receiver import Receiver
from batchcap.webhooks.signing import require_secrets

OnListening = Callable[[Mapping[str, str]], Awaitable[None]]
"""Called with the URL for each provider's webhooks, once the endpoint is open."""


class WebhookFeed:
    """The webhook events of a run.

    They come from an endpoint of its own if there is an `address`, and from the inbox of
    `batchcap listen` if there is one.

    Raises:
        UsageError: A signing secret that the endpoint needs is missing.
    """

    def __init__(
        self,
        address: ListenAddress | None,
        webhooks: Sequence[Webhook],
        secrets: Mapping[str, str],
        *,
        inbox: Path | None,
        on_listening: OnListening | None,
        observer: Observer,
        now: Callable[[], float],
    ) -> None:
        if address is not None:
            require_secrets(webhooks, secrets, address)
        self._address, self._webhooks, self._secrets = address, webhooks, secrets
        self._inbox, self._on_listening = inbox, on_listening
        self._observer, self._now = observer, now

    async def start(
        self, stack: AsyncExitStack, group: TaskGroup, pollers: Mapping[str, Poller]
    ) -> None:
        """Receive events until `stack` and `group` are left.

        Raises:
            FatalError: The address is not available.
        """

        def deliver(event: WebhookEvent) -> None:
            if event.provider in pollers:
                pollers[event.provider].on_webhook(event.job)

        if self._inbox is not None:
            reader = InboxReader(self._inbox, self._observer, self._now)
            group.start_soon(reader.follow, list(pollers), deliver)
        if self._address is None or not pollers:
            return
        receiver = Receiver(
            self._address, self._webhooks, self._secrets, deliver, self._observer, self._now
        )
        await stack.enter_async_context(receiver)
        if self._on_listening is not None:
            await self._on_listening(receiver.endpoints())
