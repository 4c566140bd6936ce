"""What an event says of a job, and what is known of each provider's webhooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from batchcap.model import Job, JobState

MAX_ID_LENGTH = 255
"""Characters of an id; what is longer is none (Mux's API reference, for its jobs)."""


class WebhookEvent(msgspec.Struct, frozen=True):
    """What one event says of one job.

    `event_id` is the same in every delivery of an event, and no other event of the
    provider has it. A job that is not running is told either in full, or as "ended",
    and then a look tells how.
    """

    provider: str
    event_id: str
    job: Job

    def as_untrusted(self) -> WebhookEvent:
        """The same as hearsay: that the job ended is worth a look, and nothing else of it."""
        if self.job.state is JobState.RUNNING:
            return self
        hearsay = Job(id=self.job.id, state=JobState.ENDED)
        return msgspec.structs.replace(self, job=hearsay)


EventHandler = Callable[[WebhookEvent], Awaitable[None] | None]
"""Takes a notice. Must not wait; where it gives something to await, the provider's
answer waits for that. Raises `BatchcapError` where the provider has to send it again."""


class Webhook(msgspec.Struct, frozen=True):
    """How one provider sends its events.

    `provider` is its name in the table, and the last part of the endpoint's path.
    `secret` is the environment variable of the signing secret, `where` tells a person
    where to enter the endpoint and find that secret. `verify(secret, headers, body,
    now)` says whether the holder of the secret sent this body; header names are in any
    case, `now` is unix seconds. `read(body)` is the notice in it, or None where it is
    about something else. Neither raises, whatever came.
    """

    provider: str
    secret_variable: str
    setup_hint: str
    verify: Callable[[str, Mapping[str, str], bytes, float], bool]
    read: Callable[[bytes], WebhookEvent | None]
