"""Which events the providers have to tell of, and when.

The states of jobs and videos follow from the clock, and nothing happens at the time of
a change. So each change that is still to come is put on an agenda: when a job is created
or a video first looked at, and for all of them when a webhook URL is set or the sandbox
starts again. Without a URL nothing is put there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from math import inf, nextafter
from typing import Any

from batchcap.sandbox import random_draws
from batchcap.sandbox.heygen.videos import FAILURE, ending, language_of, video_link
from batchcap.sandbox.mux.jobs import Job
from batchcap.sandbox.mux.robots_api import Robots
from batchcap.sandbox.webhooks.payloads import Notice, event_id, heygen_event, mux_event
from batchcap.sandbox.webhooks.scheduler import Agenda
from batchcap.sandbox.world import Scene

Tell = Callable[[Notice], None]


class MuxNotices:
    """Tells of every status change of every job (Mux docs: each one fires an event)."""

    def __init__(self, scene: Scene, robots: Robots, tell: Tell) -> None:
        self._scene, self._robots, self._tell = scene, robots, tell
        self._agenda = Agenda(scene)

    def heard(self, identifier: str) -> None:
        """Expect what follows a create, or tell of a cancel."""
        job = self._scene.jobs.get(identifier, 0.0)
        if job is not None:
            self._expect(job, job.created if job.cancelled is None else job.cancelled)
            self._agenda.run()  # now, or a cancel at the same moment would undo the create

    def landing(self, due: float) -> None:
        """Have a postponed create carried out in time: nobody may come and ask."""
        self._agenda.at(due, partial(self._robots.land, due))

    def adjusted(self) -> None:
        """Begin where a URL was set, end where it was taken away."""
        jobs = self._robots.jobs()  # first: what landed before a URL was set is history
        if self._agenda.switch(bool(self._scene.options.mux_webhook_url)):
            self._resume(jobs)
        self._agenda.run()

    def stop(self) -> None:
        """Expect nothing more."""
        self._agenda.switch(False)

    def _resume(self, jobs: Iterable[Job]) -> None:
        future = nextafter(self._scene.clock.now(), inf)
        for job in jobs:
            self._expect(job, future)
        for due, _, _ in self._robots.landings:
            self.landing(due)

    def _expect(self, job: Job, since: float) -> None:
        for when, status in job.changes() if self._agenda.open else ():
            if when >= since:
                self._agenda.at(when, partial(self._changed, job, when, status))

    def _changed(self, job: Job, when: float, status: str) -> None:
        changes = job.changes()
        if (when, status) not in changes:
            return  # cancelled before it came to that
        options = self._scene.options
        robots = "robots.job" if options.webhook_names == "v0" else "robots.v1.job"
        kind = f"{robots}.translate_captions.{status}"
        identifier = event_id(options.seed, job.id, status)
        data = self._data(job, when, kind, identifier)
        body = mux_event(identifier, kind, when, ("job", job.id), data)
        followers = len(changes) - 1 - changes.index((when, status))
        self._tell(Notice("mux", identifier, when, body, followers, changes[-1][0]))

    def _data(self, job: Job, when: float, kind: str, identifier: str) -> dict[str, Any]:
        options = self._scene.options
        document = self._robots.document(job, when)
        if not options.webhook_outputs:
            document.pop("outputs", None)
        nested = options.webhook_nested
        if nested == "mixed":
            nested = random_draws.pick(2, options.seed, "nested", identifier) == 0
        return {kind: document} if nested else document


class HeyGenNotices:
    """Tells how a translation ended that ran when the sandbox first heard of it."""

    def __init__(self, scene: Scene, tell: Tell) -> None:
        self._scene, self._tell = scene, tell
        self._agenda = Agenda(scene)

    def heard(self, identifier: str) -> None:
        """Expect the end of a video that still runs."""
        end = ending(self._scene, identifier)
        if end is not None and end.when > self._scene.clock.now():
            self._agenda.at(end.when, partial(self._ended, identifier))

    def adjusted(self) -> None:
        """Begin where a URL was set, end where it was taken away."""
        if self._agenda.switch(bool(self._scene.options.heygen_webhook_url)):
            for video_id in self._scene.looks:
                self.heard(video_id)
        self._agenda.run()

    def stop(self) -> None:
        """Expect nothing more."""
        self._agenda.switch(False)

    def _ended(self, video_id: str) -> None:
        end = ending(self._scene, video_id)
        if end is None or end.when > self._scene.clock.now():
            self.heard(video_id)  # the options changed since
            return
        language = language_of(video_id)
        if end.state == "failed":
            kind, outcome = "video_translate.fail", {"message": FAILURE}
        else:
            kind, outcome = "video_translate.success", {"url": video_link(self._scene, video_id)}
        body = heygen_event(kind, video_id, output_language=language, **outcome)
        self._tell(Notice("heygen", f"{kind} {video_id}", end.when, body, 0, end.when))
