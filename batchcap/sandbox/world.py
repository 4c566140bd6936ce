"""What all hosts of one sandbox share."""

from __future__ import annotations

import itertools
from typing import Protocol

from batchcap.sandbox.clock import Clock
from batchcap.sandbox.faults import Faults
from batchcap.sandbox.http_types import Answer, Call, Route
from batchcap.sandbox.links import Links
from batchcap.sandbox.mux.jobs import JobBook
from batchcap.sandbox.options import SandboxOptions
from batchcap.sandbox.rate_limits import Bucket, Limits


class Watcher(Protocol):
    """Follows what happens in the world between the requests."""

    def heard(self, identifier: str) -> None:
        """A job was created or cancelled, or a video was looked at for the first time."""

    def adjusted(self) -> None:
        """The options or the clock were changed from outside."""


class Scene:
    """The world behind the hosts: options that may change, jobs, looks, faults, links.

    `url` and `clock` are known once the server listens. `looks` holds the sandbox time of the
    first look at each HeyGen video whose state depends on it.
    """

    def __init__(self, options: SandboxOptions) -> None:
        self.options = options
        self.url = ""
        self.clock: Clock
        self.jobs = JobBook(options.job_lifetime)
        self.looks: dict[str, float] = {}
        self.faults = Faults(options.seed, options.faults, options.fault_streak)
        self.limits = Limits(options)
        self.links = Links(options.seed)
        self.changed: set[str] = set()
        """Ids of jobs and looks that the state file does not have yet."""
        self.serial = itertools.count(1)
        self.watchers: list[Watcher] = []

    def touch(self, identifier: str) -> None:
        """Something became of this job or video that does not follow from the clock."""
        self.changed.add(identifier)
        for watcher in self.watchers:
            watcher.heard(identifier)

    def change(self, options: SandboxOptions) -> None:
        """Go on with other options; buckets start full where their limits changed."""
        if options.limits() != self.options.limits():
            self.limits = Limits(options)
        self.options = options
        self.jobs.lifetime = options.job_lifetime
        self.faults.change(options.faults, options.fault_streak)
        self.adjusted()

    def advance(self, seconds: float) -> None:
        """Put the clock forward; whatever comes due by that happens before this returns."""
        self.clock.advance(seconds)
        self.adjusted()

    def adjusted(self) -> None:
        """Tell all watchers that options or clock are others now."""
        for watcher in self.watchers:
            watcher.adjusted()


class Host(Protocol):
    """One of the sandbox's hosts: it knows its paths and its way of saying no."""

    foreign: tuple[str, ...]
    """Headers that carry a credential which is none of this host's business."""

    def route(self, call: Call) -> Route:
        """What the request asks for; unknown paths have a route too."""

    def refuse(self, call: Call) -> Answer | None:
        """The answer to a caller who may not ask at all."""

    def dressed(self, answer: Answer, bucket: Bucket | None) -> Answer:
        """An answer with the headers that all of this host's answers carry."""

    def throttled(self, route: Route, wait: float) -> Answer:
        """The answer to one request too many; `wait` seconds until there is room."""

    def broken(self, route: Route, status: int) -> Answer:
        """A server error in this host's own shape."""

    def expired(self) -> Answer:
        """What it says of a link that has expired."""
