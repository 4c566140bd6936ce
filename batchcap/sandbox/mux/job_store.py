"""All jobs of the sandbox, and the text tracks that they have left on their assets."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator

from batchcap.sandbox.mux.assets import Asset, Track, find_asset
from batchcap.sandbox.mux.jobs import CreateRequest, Job, UploadConflict
from batchcap.sandbox.mux.track_rules import can_be_replaced, conflicts


class JobStore:
    """Every job that was ever created, by id, by asset and in order of creation.

    The API no longer shows a job older than `lifetime`; its track stays on the asset.
    """

    def __init__(self, lifetime: float) -> None:
        self.lifetime = lifetime
        self._by_id: dict[str, Job] = {}
        self._by_asset: defaultdict[str, list[Job]] = defaultdict(list)
        self._in_order: list[Job] = []
        self.deleted_tracks: set[str] = set()

    def __len__(self) -> int:
        return len(self._in_order)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._in_order)

    def add(self, job: Job) -> None:
        """Add a job. Jobs must be added in the order of their creation."""
        self._by_id[job.id] = job
        self._by_asset[job.request.asset_id].append(job)
        self._in_order.append(job)

    def get(self, job_id: str, now: float) -> Job | None:
        """Return the job of that id, or None if it is unknown or was deleted by age."""
        job = self._by_id.get(job_id)
        return None if job is None or job.created + self.lifetime <= now else job

    def equal(self, request: CreateRequest) -> list[Job]:
        """Return all jobs with the same parameters, whatever their status, oldest first."""
        return [
            job
            for job in self._by_asset.get(request.asset_id, ())
            if job.request.parameters == request.parameters
        ]

    def for_caption(self, request: CreateRequest) -> list[Job]:
        """Return all jobs for the same caption, whatever their status, oldest first."""
        return [
            job
            for job in self._by_asset.get(request.asset_id, ())
            if job.request.caption_key == request.caption_key
        ]

    def unexpired(self, now: float, asset_id: str | None = None) -> list[Job]:
        """Return the jobs that the API still shows, oldest first."""
        jobs = self._in_order if asset_id is None else self._by_asset.get(asset_id, [])
        first = bisect_right(jobs, now - self.lifetime, key=lambda job: job.created)
        return jobs[first:] if first else jobs

    def settle_uploads(self, asset_id: str, now: float, conflict: UploadConflict) -> list[Job]:
        """Decide again which running jobs of an asset cannot upload; returns those that changed.

        Two jobs for one language may both pass the check of tracks at their creation. The first
        one to end uploads its track; that of the other is then in the way. Must be called when
        a job was created or cancelled, or a track deleted.
        """
        if len(self._by_asset[asset_id]) < 2:
            return []
        asset = find_asset(asset_id)
        running = [job for job in self._uploads(asset_id) if job.ends is None or job.ends > now]
        before = [job.upload_conflict for job in running]
        for job in running:
            job.upload_conflict = ""
        for job in running:
            if asset is not None and self._cannot_upload(job, asset):
                job.upload_conflict = conflict
        return [job for job, old in zip(running, before, strict=True) if job.upload_conflict != old]

    def delete_track(self, track_id: str) -> None:
        """Delete a text track from its asset."""
        self.deleted_tracks.add(track_id)

    def tracks(self, asset: Asset, now: float) -> list[Track]:
        """Return the text tracks of an asset, with those that its jobs have uploaded."""
        return self._without_deleted(self._tracks(asset, now))

    def track(self, asset_id: str, track_id: str, now: float) -> Track | None:
        """Return one text track of an asset, or None if there is none."""
        asset = find_asset(asset_id)
        tracks: Iterable[Track] = () if asset is None else self.tracks(asset, now)
        return next((track for track in tracks if track.id == track_id), None)

    def replaced_tracks(self, job: Job) -> list[Track]:
        """Return the tracks that a job that uploaded one replaced."""
        asset = find_asset(job.request.asset_id)
        if asset is None or job.ends is None or job.request.replace == "fail":
            return []
        before = self._without_deleted(self._tracks(asset, job.ends, until=job))
        new = job.uploaded_track(job.ends)
        return [track for track in before if new and _is_replaced(track, new, job)]

    def _uploads(self, asset_id: str) -> list[Job]:
        """Return the jobs of an asset in the order in which they upload their tracks."""
        jobs = self._by_asset.get(asset_id, ())
        return sorted(jobs, key=lambda job: float("inf") if job.ends is None else job.ends)

    def _cannot_upload(self, job: Job, asset: Asset) -> bool:
        request = job.request
        if job.ends is None or not job.uploaded_track(job.ends):
            return False
        tracks = self._without_deleted(self._tracks(asset, job.ends, until=job))
        return any(
            conflicts(track, request.language, request.track_name)
            and not can_be_replaced(track, request.replace)
            for track in tracks
        )

    def _tracks(self, asset: Asset, now: float, until: Job | None = None) -> list[Track]:
        tracks = list(asset.tracks)
        for job in self._uploads(asset.id):
            if job is until:
                break
            uploaded = job.uploaded_track(now)
            if uploaded is not None:
                tracks = [track for track in tracks if not _is_replaced(track, uploaded, job)]
                tracks.append(uploaded)
        return tracks

    def _without_deleted(self, tracks: list[Track]) -> list[Track]:
        if not self.deleted_tracks:
            return tracks
        return [track for track in tracks if track.id not in self.deleted_tracks]


def _is_replaced(track: Track, uploaded: Track, job: Job) -> bool:
    conflicting = conflicts(track, uploaded.language, uploaded.name)
    return conflicting and can_be_replaced(track, job.request.replace)
