"""Mux Robots v0: create, get, list and cancel translate-captions jobs."""

from __future__ import annotations

import heapq
from typing import Any
from urllib.parse import parse_qs

from batchcap.sandbox import random_draws
from batchcap.sandbox.http_types import Answer, Call, as_json
from batchcap.sandbox.id_keywords import sound, words
from batchcap.sandbox.mux.assets import Asset, account, asset
from batchcap.sandbox.mux.create_request import WORKFLOW, Refusal, error, parse
from batchcap.sandbox.mux.job_outcomes import draw
from batchcap.sandbox.mux.jobs import (
    ACTIVE,
    TERMINAL,
    CreateRequest,
    Job,
    JobBook,
    clashes,
    replaceable,
)
from batchcap.sandbox.world import Scene

_HOME = "/robots/v0/jobs"


def not_found() -> Answer:
    """The answer for a job that is unknown, or was deleted by age."""
    return error(404, "not_found", "The requested job does not exist.")


class Robots:
    """The handlers of the Robots routes, and the creates that are still to land."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.landings: list[tuple[float, int, bytes]] = []
        """Creates whose connection was cut: (sandbox time of arrival, number, body)."""

    def create(self, call: Call) -> Answer:
        """Accept a job, 202, or refuse it, 409 or 422."""
        try:
            job = self._create(call.body, call.now)
        except Refusal as refusal:
            return refusal.answer
        return as_json(202, {"data": self.document(job, call.now)})

    def postpone(self, call: Call) -> float:
        """Let a create land later, although nobody will get its answer; tells when."""
        due = call.now + self._scene.options.late_create_seconds
        heapq.heappush(self.landings, (due, next(self._scene.serial), call.body))
        return due

    def land(self, now: float) -> None:
        """Carry out the postponed creates that are due."""
        while self.landings and self.landings[0][0] <= now:
            due, _, body = heapq.heappop(self.landings)
            try:
                self._create(body, due)
            except Refusal:
                continue  # nobody is there to hear it

    def jobs(self) -> JobBook:
        """Every job that was accepted by now."""
        if self.landings:
            self.land(self._scene.clock.now())
        return self._scene.jobs

    def get(self, call: Call) -> Answer:
        """One job, in full."""
        job = self._scene.jobs.get(call.parts[-1], call.now)
        if job is None or call.now < job.created + job.outcome.hidden_seconds:
            return not_found()
        return as_json(200, {"data": self.document(job, call.now)})

    def document(self, job: Job, now: float) -> dict[str, Any]:
        """A job in full, as it stands at that sandbox time."""
        status = job.status(now)
        document: dict[str, Any] = {
            "id": job.id,
            "workflow": WORKFLOW,
            "status": status,
            "units_consumed": job.outcome.units if status == "completed" else 0,
            "created_at": int(job.created),
            "updated_at": int(job.updated(now)),
            "parameters": job.request.parameters,
            "resources": {"assets": [_resource(job.request.asset_id)]},
        }
        if job.request.passthrough is not None:
            document["passthrough"] = job.request.passthrough
        if status == "completed":
            document["outputs"] = self._outputs(job)
        if status == "errored" and job.outcome.error:
            document["errors"] = [job.outcome.error]
        return document

    def page(self, call: Call) -> Answer:
        """A page of summaries: no parameters, passthrough, outputs or errors in them."""
        query = {name: values[-1] for name, values in parse_qs(call.query).items()}
        limit, page = query.get("limit", "25"), query.get("page", "1")
        if not (limit.isdecimal() and 1 <= int(limit) <= 100):
            return error(422, "invalid_parameters", "limit must be between 1 and 100")
        if not (page.isdecimal() and int(page) >= 1):
            return error(422, "invalid_parameters", "page must be at least 1")
        jobs = self._matching(query, call.now)
        first = (int(page) - 1) * int(limit)
        if self._scene.options.list_order == "newest":
            chosen = jobs[max(0, len(jobs) - first - int(limit)) : max(0, len(jobs) - first)][::-1]
        else:
            chosen = jobs[first : first + int(limit)]
        rows = [_summary(job, call.now) for job in chosen]
        return as_json(200, {"data": rows, "total_row_count": len(jobs)})

    def cancel(self, call: Call) -> Answer:
        """Cancel a job, 409 where it has ended already."""
        job = self._scene.jobs.get(call.parts[-2], call.now)
        if job is None:
            return not_found()
        if job.status(call.now) in TERMINAL:
            return error(409, "conflict", "The job has already ended.")
        job.cancelled = call.now
        self._scene.touch(job.id)
        return as_json(200, {"data": _summary(job, call.now)})

    def _matching(self, query: dict[str, str], now: float) -> list[Job]:
        jobs = self._scene.jobs.kept(now, query.get("asset_id"))
        if query.get("workflow", WORKFLOW) != WORKFLOW:
            return []
        wanted = query.get("status")
        return [job for job in jobs if job.status(now) == wanted] if wanted else jobs

    def _create(self, body: bytes, now: float) -> Job:
        order = parse(body)
        known = self._checked_asset(order)
        self._check_duplicate(order, now)
        self._check_tracks(order, known, now)
        attempt = len(self._scene.jobs.equal(order))
        options = self._scene.options
        job = Job(
            id=f"rjob_{random_draws.name(24, options.seed, 'job', order.key, attempt)}",
            request=order,
            outcome=draw(order, attempt, options, self._scene.faults),
            created=now,
            settles=options.track_settle_seconds,
        )
        self._scene.jobs.add(job)
        self._scene.touch(job.id)
        return job

    def _checked_asset(self, order: CreateRequest) -> Asset:
        known = self.asset(order.asset_id)
        if known is None:
            raise Refusal(422, "invalid_parameters", "The asset does not exist.")
        if not known.playback:
            raise Refusal(422, "invalid_parameters", "The asset has no playback id.")
        return known

    def _check_duplicate(self, order: CreateRequest, now: float) -> None:
        rule = self._scene.options.duplicates
        refused = {"refuse_active": ACTIVE, "refuse_any": (*ACTIVE, "completed"), "allow": ()}[rule]
        for job in self._scene.jobs.equal(order):
            status = job.status(now)
            # A word nobody knows is shown by a job that runs.
            if rule != "allow" and (status in refused or status not in (*ACTIVE, *TERMINAL)):
                raise Refusal(409, "duplicate_job", "An equal job exists already.")

    def _check_tracks(self, order: CreateRequest, known: Asset, now: float) -> None:
        tracks = self._scene.jobs.tracks(known, now)
        source = next((track for track in tracks if track.id == order.track_id), None)
        if source is None and not self._passes(order.track_id):
            raise Refusal(422, "invalid_parameters", "The track does not exist or is not ready.")
        if source is not None and source.status != "ready":
            raise Refusal(422, "invalid_parameters", "The track is not ready.")
        for track in tracks:
            taken = clashes(track, order.language, order.track_name)
            if taken and not replaceable(track, order.replace):
                raise Refusal(
                    422, "invalid_parameters", f"A track in {track.language} exists already."
                )

    def _passes(self, track_id: str) -> bool:
        # A track id out of a user's own manifest is taken for a track of the asset.
        bad = words(track_id) & {"missing", "preparing"}
        return sound(track_id) and not bad and not self._scene.options.strict_ids

    def asset(self, identifier: str) -> Asset | None:
        """The asset of that id, None where the environment has none such."""
        options = self._scene.options
        if options.strict_ids and identifier not in account(options.mux_account, options.mux_ids):
            return None
        return asset(identifier)

    def _outputs(self, job: Job) -> dict[str, str]:
        options = self._scene.options
        outputs = {"track_id": job.request.track_id} if options.source_track_in_outputs else {}
        if job.outcome.has_track:
            outputs["uploaded_track_id"] = job.track_id
        if job.outcome.has_link:
            link = self._scene.links.storage(job, options.link_seconds)
            outputs["temporary_vtt_url"] = self._scene.url + link
        return outputs


def _summary(job: Job, now: float) -> dict[str, Any]:
    return {
        "id": job.id,
        "workflow": WORKFLOW,
        "status": job.status(now),
        "created_at": int(job.created),
        "updated_at": int(job.updated(now)),
        "_links": {"self": {"href": f"{_HOME}/{WORKFLOW}/{job.id}"}},
    }


def _resource(asset_id: str) -> dict[str, Any]:
    return {"id": asset_id, "_links": {"self": {"href": f"/video/v1/assets/{asset_id}"}}}
