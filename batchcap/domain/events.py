"""Events of a run as frozen values, for progress, log and metrics."""

from __future__ import annotations

import msgspec

from batchcap.domain.models import Failure, Outcome, Phase, Row


class Event(msgspec.Struct, frozen=True):
    """Anything that happened during a run."""


class RequestSent(Event, frozen=True):
    """One HTTP request left; `bucket` is its quota, or "downloads"."""

    bucket: str


class RequestEnded(Event, frozen=True):
    """One HTTP request got its response, or lost it: then `status` is None.

    `path` has no query, and begins with the host if it is a file host's. The request took
    `seconds` to the end of an API's response, or to the headers of a file's; before that it
    waited `waited` seconds for the quota. `attempt` counts from 1. `provider` is None for a file
    host.
    """

    bucket: str
    method: str
    path: str
    status: int | None
    seconds: float
    waited: float = 0.0
    request_id: str | None = None
    attempt: int = 1
    provider: str | None = None


class Waiting(Event, frozen=True):
    """Something waits `seconds`, and then tries again, for a reason that many may share.

    `where` is a provider or a file host, `row` the row that waits, if it is one.
    """

    where: str
    reason: str
    seconds: float
    row: Row | None = None


class Recovered(Event, frozen=True):
    """A server responds again after an outage; what waited for it goes on."""

    where: str


class Throttled(Event, frozen=True):
    """A server returned 429; the whole bucket pauses for `seconds`."""

    bucket: str
    seconds: float


class Paused(Event, frozen=True):
    """A server asked for a pause, now or before this run; its bucket observes it."""

    bucket: str
    seconds: float


class RowStarted(Event, frozen=True):
    """A row took its place in its provider's window."""

    row: Row


class JobCreated(Event, frozen=True):
    """A create was accepted, and the ledger knows the job."""

    row: Row
    job_id: str


class RowMoved(Event, frozen=True):
    """A row that was started is in another phase. It begins in "waiting".

    `began` is when its job began, in unix seconds, if the phase is "at_provider" and it is known.
    """

    row: Row
    phase: Phase
    began: float | None = None


class JobEnded(Event, frozen=True):
    """A job completed or errored; it took `seconds`."""

    row: Row
    seconds: float


class RateChanged(Event, frozen=True):
    """A bucket has a new rate, in requests per second; None: no limit. Also at the start."""

    bucket: str
    rate: float | None


class RowEnded(Event, frozen=True):
    """A row ended, and the ledger knows how."""

    row: Row
    outcome: Outcome


class RowHeldBack(Event, frozen=True):
    """A row stays pending, because the provider refuses to create its job in this run."""

    row: Row
    failure: Failure


class SourceEnded(Event, frozen=True):
    """The source captions of a row were downloaded, or `failure` says why there are none."""

    row: Row
    failure: str | None = None


class Warned(Event, frozen=True):
    """Something that the user may want to know; the run goes on."""

    message: str


class WebhookReceived(Event, frozen=True):
    """A provider reported a job, possibly one of another program."""

    provider: str
    job_id: str


class WebhookRefused(Event, frozen=True):
    """A request without a valid signature came in, and was not read."""

    provider: str


class LaneStopped(Event, frozen=True):
    """One provider's rows had to stop; the others go on."""

    provider: str
    message: str
    hint: str
