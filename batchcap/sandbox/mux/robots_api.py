"""Mux Robots v0: create, get, list and cancel translate-captions jobs."""

from __future__ import annotations

import heapq
from typing import Any
from urllib.parse import parse_qs

from batchcap.sandbox import random_draws
from batchcap.sandbox.http_types import Request, Response, json_response
from batchcap.sandbox.mux.assets import find_account_asset
from batchcap.sandbox.mux.create_checks import check_create
from batchcap.sandbox.mux.create_request import WORKFLOW, parse_create
from batchcap.sandbox.mux.errors import CreateRefusedError, mux_error
from batchcap.sandbox.mux.job_outcomes import draw_outcome
from batchcap.sandbox.mux.job_store import JobStore
from batchcap.sandbox.mux.jobs import ACTIVE, TERMINAL, Job
from batchcap.sandbox.world import World

_JOBS_PATH = "/robots/v0/jobs"


_UPLOAD_ERROR: dict[str, object] = {
    "type": "track_conflict",
    "message": "A track in the way of the new one was added while the job ran.",
    "retryable": False,
}


def not_found() -> Response:
    """Return the response for a job that is unknown or was deleted by age."""
    return mux_error(404, "not_found", "The requested job does not exist.")


class RobotsApi:
    """The handlers of the Robots routes, and the creates that are delayed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.delayed_creates: list[tuple[float, int, bytes]] = []
        """A heap of (sandbox time to carry it out, serial number, body)."""

    def create(self, request: Request) -> Response:
        """Accept a job with 202, or refuse it with 400, 401, 403, 409 or 422."""
        try:
            job = self._create(request.body, request.now)
        except CreateRefusedError as refused:
            return refused.response
        return json_response(202, {"data": self.document(job, request.now)})

    def delay_create(self, request: Request) -> float:
        """Carry out a create later, without a response; returns the sandbox time."""
        due = request.now + self._world.options.late_create_seconds
        heapq.heappush(self.delayed_creates, (due, next(self._world.serial), request.body))
        return due

    def run_due_creates(self, now: float) -> None:
        """Carry out the delayed creates that are due."""
        while self.delayed_creates and self.delayed_creates[0][0] <= now:
            due, _, body = heapq.heappop(self.delayed_creates)
            try:
                self._create(body, due)
            except CreateRefusedError:
                continue  # the client is gone, so the error cannot be sent

    def jobs(self) -> JobStore:
        """Return every job that was accepted so far."""
        if self.delayed_creates:
            self.run_due_creates(self._world.clock.now())
        return self._world.jobs

    def get(self, request: Request) -> Response:
        """Return one job in full."""
        job = self._world.jobs.get(request.segments[-1], request.now)
        if job is None or request.now < job.created + job.outcome.hidden_seconds:
            return not_found()
        shown_at = max(job.created, request.now - self._world.options.detail_lag_seconds)
        return json_response(200, {"data": self.document(job, shown_at)})

    def document(self, job: Job, now: float) -> dict[str, Any]:
        """Return a job in full, as it is at that sandbox time."""
        status = job.status(now)
        document: dict[str, Any] = {
            "id": job.id,
            "workflow": WORKFLOW,
            "status": status,
            "units_consumed": job.outcome.units if status == "completed" else 0,
            "created_at": int(job.created),
            "updated_at": int(job.updated_at(now)),
            "parameters": job.request.parameters,
            "resources": {"assets": [_resource(job.request.asset_id)]},
        }
        if job.request.passthrough is not None:
            document["passthrough"] = job.request.passthrough
        if status == "completed":
            document["outputs"] = self._outputs(job)
        if status == "errored":
            document["errors"] = [_UPLOAD_ERROR if job.upload_conflict else job.outcome.error]
        return document

    def list_jobs(self, request: Request) -> Response:
        """Return a page of summaries, without parameters, passthrough, outputs and errors."""
        values_by_name = parse_qs(request.query, keep_blank_values=True)
        query = {name: values[-1] for name, values in values_by_name.items()}
        limit, page = query.get("limit", "25"), query.get("page", "1")
        if not (limit.isdecimal() and 1 <= int(limit) <= 100):
            return mux_error(400, "invalid_parameters", "limit must be between 1 and 100")
        if not (page.isdecimal() and int(page) >= 1):
            return mux_error(400, "invalid_parameters", "page must be at least 1")
        if query.get("status", ACTIVE[0]) not in (*ACTIVE, *TERMINAL):
            return mux_error(400, "invalid_parameters", "status is unknown")
        jobs = self._matching(query, request.now)
        first = (int(page) - 1) * int(limit)
        if self._world.options.list_order == "newest":
            end = max(0, len(jobs) - first)
            on_page = jobs[max(0, end - int(limit)) : end][::-1]
        else:
            on_page = jobs[first : first + int(limit)]
        rows = [_summary(job, request.now) for job in on_page]
        return json_response(200, {"data": rows, "total_row_count": len(jobs)})

    def cancel(self, request: Request) -> Response:
        """Cancel a job; 409 if it has already ended."""
        job = self._world.jobs.get(request.segments[-2], request.now)
        if job is None:
            return not_found()
        if job.status(request.now) in TERMINAL:
            return mux_error(409, "conflict", "The job has already ended.")
        job.cancelled = request.now
        self._settle_uploads(job.request.asset_id, request.now)
        self._world.record_change(job.id)
        return json_response(200, {"data": _summary(job, request.now)})

    def delete_track(self, asset_id: str, track_id: str, now: float) -> bool:
        """Delete a text track; returns whether the asset had it."""
        asset = find_account_asset(self._world.options, asset_id)
        tracks = () if asset is None else self._world.jobs.tracks(asset, now)
        if not any(track.id == track_id for track in tracks):
            return False
        self._world.jobs.delete_track(track_id)
        self._settle_uploads(asset_id, now)
        return True

    def _matching(self, query: dict[str, str], now: float) -> list[Job]:
        jobs = self._world.jobs.unexpired(now, query.get("asset_id"))
        if lag := self._world.options.list_lag_seconds:
            jobs = [job for job in jobs if job.created + lag <= now]
        if query.get("workflow", WORKFLOW) != WORKFLOW:
            return []
        status = query.get("status")
        return [job for job in jobs if job.status(now) == status] if status else jobs

    def _create(self, body: bytes, now: float) -> Job:
        create = parse_create(body)
        check_create(self._world, create, now)
        attempt = len(self._world.jobs.for_caption(create))
        options = self._world.options
        unique = random_draws.hex_digits(24, options.seed, "job", create.caption_key, attempt)
        job = Job(
            id=f"rjob_{unique}",
            request=create,
            outcome=draw_outcome(create, attempt, options, self._world.faults),
            created=now,
            track_delay=options.track_settle_seconds,
        )
        self._world.jobs.add(job)
        self._settle_uploads(job.request.asset_id, now)
        self._world.record_change(job.id)
        return job

    def _settle_uploads(self, asset_id: str, now: float) -> None:
        conflict = self._world.options.upload_conflict
        changed = self._world.jobs.settle_uploads(asset_id, now, conflict)
        self._world.unsaved.update(job.id for job in changed)

    def _outputs(self, job: Job) -> dict[str, Any]:
        options = self._world.options
        outputs: dict[str, Any] = (
            {"track_id": job.request.track_id} if options.source_track_in_outputs else {}
        )
        if job.has_track:
            outputs["uploaded_track_id"] = job.uploaded_track_id
            if replaced := self._world.jobs.replaced_tracks(job):
                outputs["replaced_tracks"] = [{"id": track.id} for track in replaced]
        if job.outcome.has_link:
            link = self._world.links.storage_link(job, options.link_seconds)
            outputs["temporary_vtt_url"] = self._world.url + link
        return outputs


def _summary(job: Job, now: float) -> dict[str, Any]:
    return {
        "id": job.id,
        "workflow": WORKFLOW,
        "status": job.status(now),
        "created_at": int(job.created),
        "updated_at": int(job.updated_at(now)),
        "_links": {"self": {"href": f"{_JOBS_PATH}/{WORKFLOW}/{job.id}"}},
    }


def _resource(asset_id: str) -> dict[str, Any]:
    return {"id": asset_id, "_links": {"self": {"href": f"/video/v1/assets/{asset_id}"}}}
