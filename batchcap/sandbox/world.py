"""The state that all hosts of one sandbox share, and the interface of a host."""

from __future__ import annotations

import itertools
from typing import Protocol

from batchcap.sandbox.clock import Clock
from batchcap.sandbox.faults import FaultInjector
from batchcap.sandbox.heygen.translations import TranslationStore
from batchcap.sandbox.http_types import Request, Response, Route
from batchcap.sandbox.links import Links
from batchcap.sandbox.mux.job_store import JobStore
from batchcap.sandbox.options import SandboxOptions
from batchcap.sandbox.rate_limits import RateLimits, TokenBucket


class WorldObserver(Protocol):
    """Is notified of changes that do not follow from the clock."""

    def on_change(self, identifier: str) -> None:
        """A job was created or cancelled, or a video was requested for the first time."""

    def on_options(self) -> None:
        """The options were changed, or the clock was put forward."""


class World:
    """Options, jobs, first requests of videos, faults, limits and links of one sandbox.

    `url` and `clock` are set when the server starts to listen. `first_requested` holds the
    sandbox time of the first request for each HeyGen video whose state depends on it.
    """

    def __init__(self, options: SandboxOptions) -> None:
        self.options = options
        self.url = ""
        self.clock: Clock
        self.jobs = JobStore(options.job_lifetime)
        self.translations = TranslationStore()
        self.first_requested: dict[str, float] = {}
        self.faults = FaultInjector(options.seed, options.faults, options.fault_streak)
        self.rate_limits = RateLimits(options)
        self.links = Links(options.seed)
        self.unsaved: set[str] = set()
        """Ids of jobs and videos whose change is not in the state file yet."""
        self.serial = itertools.count(1)
        self.observers: list[WorldObserver] = []

    def record_change(self, identifier: str) -> None:
        """Mark a job or video as changed by something other than the clock."""
        self.unsaved.add(identifier)
        for observer in self.observers:
            observer.on_change(identifier)

    def change_options(self, options: SandboxOptions) -> None:
        """Use other options from now on. If rate limits changed, all buckets start full."""
        if options.rate_limit_fields() != self.options.rate_limit_fields():
            self.rate_limits = RateLimits(options)
        self.options = options
        self.jobs.lifetime = options.job_lifetime
        self.faults.configure(options.faults, options.fault_streak)
        self.notify_observers()

    def advance(self, seconds: float) -> None:
        """Put the clock forward. Everything that becomes due happens before this returns."""
        self.clock.advance(seconds)
        self.notify_observers()

    def notify_observers(self) -> None:
        """Notify all observers that the options or the clock changed."""
        for observer in self.observers:
            observer.on_options()


class Host(Protocol):
    """One host of the sandbox, with its routes and its error format."""

    forbidden_headers: tuple[str, ...]
    """Headers with credentials that must never be sent to this host."""

    def route(self, request: Request) -> Route:
        """Return the route of a request. Unknown paths have a route too."""

    def reject(self, request: Request) -> Response | None:
        """Return the error response if the request lacks permission, else None."""

    def with_headers(self, response: Response, bucket: TokenBucket | None) -> Response:
        """Add the headers that all responses of this host carry."""

    def too_many_requests(self, route: Route, wait: float) -> Response:
        """Return the response to a throttled request; the next token comes in `wait` seconds."""

    def server_error(self, route: Route, status: int) -> Response:
        """Return a server error in this host's format."""

    def expired_link(self) -> Response:
        """Return the response to an expired link."""
