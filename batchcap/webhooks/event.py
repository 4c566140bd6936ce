"""What an event says about a job, and how each provider's webhooks are read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from batchcap.domain.models import Job, JobState

MAX_ID_LENGTH = 255
"""Characters of an id; longer ones are invalid (Mux's API reference, for job ids)."""


class WebhookEvent(msgspec.Struct, frozen=True):
    """What one event says about one job.

    `event_id` is the same in every delivery of the event and unique within the provider. A
    job that is not running is either described in full, or has the state NOT_RUNNING: then only
    the provider's API can say how it ended.
    """

    provider: str
    event_id: str
    job: Job

    def as_untrusted(self) -> WebhookEvent:
        """Return the event without the details that must not be trusted without a signature.

        Of a job that is not running, only its id and the state NOT_RUNNING remain: a reason to
        poll it, and nothing more.
        """
        if self.job.state is JobState.RUNNING:
            return self
        untrusted = Job(id=self.job.id, state=JobState.NOT_RUNNING)
        return msgspec.structs.replace(self, job=untrusted)


EventHandler = Callable[[WebhookEvent], Awaitable[None] | None]
"""Handles an event. Must not block. If it returns an awaitable, the response to the provider
waits for it. Raises `BatchcapError` if the provider has to send the event again."""


class Webhook(msgspec.Struct, frozen=True):
    """How one provider sends its events.

    Attributes:
        provider: the name of the provider, and the last segment of the endpoint's path.
        secret_variable: the environment variable with the signing secret.
        setup_hint: explains where to register the endpoint and find the secret.
        verify: `verify(secret, headers, body, now)` returns whether the body carries a valid
            signature. Header names may be in any case; `now` is in unix seconds. Never raises.
        read: `read(headers, body)` returns the event, or None if it is not about a translation
            of captions. Header names may be in any case. Never raises.
    """

    provider: str
    secret_variable: str
    setup_hint: str
    verify: Callable[[str, Mapping[str, str], bytes, float], bool]
    read: Callable[[Mapping[str, str], bytes], WebhookEvent | None]
