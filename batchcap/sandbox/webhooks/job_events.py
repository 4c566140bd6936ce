"""Decides which events the providers send, and when.

The status of a job or video follows from the clock, so nothing happens in the sandbox at the
time of a change. Each future change is therefore scheduled: when a job is created or a video
is first requested, and for all of them when a webhook URL is set or the sandbox restarts.
Without a URL nothing is scheduled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from math import inf, nextafter
from typing import Any

from batchcap.sandbox import random_draws
from batchcap.sandbox.heygen.videos import failure_message, find_end, language_of, video_url
from batchcap.sandbox.id_keywords import keywords
from batchcap.sandbox.mux.jobs import Job
from batchcap.sandbox.mux.robots_api import RobotsApi
from batchcap.sandbox.webhooks.payloads import (
    OutgoingEvent,
    event_id,
    heygen_event,
    mux_event,
    translation_data,
)
from batchcap.sandbox.webhooks.scheduler import Scheduler
from batchcap.sandbox.world import World

Emit = Callable[[OutgoingEvent], None]


class MuxJobEvents:
    """Emits an event for every status change of every job, as Mux does (Mux docs)."""

    def __init__(self, world: World, robots: RobotsApi, emit: Emit) -> None:
        self._world, self._robots, self._emit = world, robots, emit
        self._scheduler = Scheduler(world)

    def on_change(self, identifier: str) -> None:
        """Schedule the events of a created job, or emit the event of a cancelled one."""
        job = self._world.jobs.get(identifier, 0.0)
        if job is not None:
            self._schedule(job, job.created if job.cancelled is None else job.cancelled)
            # At once: otherwise a cancel at the same moment would remove the event of the create.
            self._scheduler.run_due()

    def schedule_create(self, due: float) -> None:
        """Carry out a delayed create in time, even if no request arrives by then."""
        self._scheduler.run_at(due, partial(self._robots.run_due_creates, due))

    def on_options(self) -> None:
        """Start when a URL was set, stop when it was removed."""
        jobs = self._robots.jobs()  # first: creates due before a URL was set cause no events
        if self._scheduler.set_active(bool(self._world.options.mux_webhook_url)):
            self._resume(jobs)
        self._scheduler.run_due()

    def stop(self) -> None:
        """Discard all scheduled events."""
        self._scheduler.set_active(False)

    def _resume(self, jobs: Iterable[Job]) -> None:
        future = nextafter(self._world.clock.now(), inf)
        for job in jobs:
            self._schedule(job, future)
        for due, _, _ in self._robots.delayed_creates:
            self.schedule_create(due)

    def _schedule(self, job: Job, since: float) -> None:
        if not self._scheduler.is_active:
            return
        for time, _ in job.status_changes():
            if time >= since:
                self._scheduler.run_at(time, partial(self._on_change_at, job, time))

    def _on_change_at(self, job: Job, time: float) -> None:
        # Another job may have changed how this one ends since its changes were scheduled.
        changes = job.status_changes()
        status = dict(changes).get(time)
        if status is None:
            return  # the job was cancelled before this change
        options = self._world.options
        prefix = "robots.job" if options.webhook_names == "v0" else "robots.v1.job"
        event_type = f"{prefix}.translate_captions.{status}"
        identifier = event_id(options.seed, job.id, status)
        data = self._data(job, time, event_type, identifier)
        body = mux_event(identifier, event_type, time, ("job", job.id), data)
        later_events = len(changes) - 1 - changes.index((time, status))
        self._emit(OutgoingEvent("mux", identifier, time, body, later_events, changes[-1][0]))

    def _data(self, job: Job, time: float, event_type: str, identifier: str) -> dict[str, Any]:
        options = self._world.options
        document = self._robots.document(job, time)
        if not options.webhook_outputs:
            document.pop("outputs", None)
        nested = options.webhook_nested
        if nested == "mixed":
            nested = random_draws.integer(2, options.seed, "nested", identifier) == 0
        return {event_type: document} if nested else document


class HeyGenVideoEvents:
    """Emits an event at the end of each translation that was running at its first request."""

    def __init__(self, world: World, emit: Emit) -> None:
        self._world, self._emit = world, emit
        self._scheduler = Scheduler(world)

    def on_change(self, identifier: str) -> None:
        """Schedule the event of a video that is still running."""
        end = find_end(self._world, identifier)
        if end is not None and end.time > self._world.clock.now():
            self._scheduler.run_at(end.time, partial(self._on_end, identifier))

    def on_options(self) -> None:
        """Start when a URL was set, stop when it was removed."""
        if self._scheduler.set_active(bool(self._world.options.heygen_webhook_url)):
            for video_id in {**self._world.first_requested, **self._world.translations.by_id}:
                self.on_change(video_id)
        self._scheduler.run_due()

    def stop(self) -> None:
        """Discard all scheduled events."""
        self._scheduler.set_active(False)

    def _on_end(self, video_id: str) -> None:
        end = find_end(self._world, video_id)
        if end is None or end.time > self._world.clock.now():
            self.on_change(video_id)  # the options have changed since it was scheduled
            return
        if end.state == "completed":
            name, result = "success", {"url": video_url(self._world, video_id)}
        else:
            is_preflight = "preflight" in keywords(video_id)
            name = "preflight.download_failed" if is_preflight else "fail"
            result = {"message": failure_message(video_id)}
        event_type = f"video_translate.{name}"
        created = self._world.translations.by_id.get(video_id)
        language = language_of(video_id) if created is None else created.language
        data = translation_data(video_id, output_language=language, **result)
        data["callback_id"] = created.callback_id if created else None
        identifier = event_id(self._world.options.seed, event_type, video_id)
        body = heygen_event(identifier, event_type, end.time, data)
        self._emit(OutgoingEvent("heygen", identifier, end.time, body, 0, end.time))
