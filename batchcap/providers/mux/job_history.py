"""The translate-captions jobs of an asset, read once for all rows that need them.

Summaries have no parameters, so each job is read in full. A job that has ended never
changes, and is not read again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from batchcap.domain.languages import canonical
from batchcap.domain.models import Json
from batchcap.providers.mux.assets import take_exception
from batchcap.transport.response import as_object, as_text

_ASSETS = 1024
_JOBS = 8192
_ENDED = frozenset({"completed", "errored", "cancelled"})

_DEFAULTS: Json = {"upload_to_mux": True, "replace_existing_tracks": "fail"}
_PARAMETERS = ("never_translate", "track_name", *_DEFAULTS)

ListJobs = Callable[[str], Awaitable[list[Json]]]
ReadJob = Callable[[str], Awaitable[Json | None]]


class AssetJobs:
    """The jobs of each asset, read once for all rows that need them at the same time.

    `list_jobs` returns the summaries of an asset's jobs, `read_job` a job in full, or None.
    """

    def __init__(self, list_jobs: ListJobs, read_job: ReadJob, now: Callable[[], float]) -> None:
        self._list, self._read, self._now = list_jobs, read_job, now
        self._reads: OrderedDict[str, tuple[float, asyncio.Future[list[Json]]]] = OrderedDict()
        self._known: OrderedDict[str, Json] = OrderedDict()

    async def jobs(self, asset_id: str, since: float) -> list[Json]:
        """Return every job of the asset, in full, as of `since` (unix seconds) or later.

        Concurrent callers share the requests. Raises what `list_jobs` and `read_job` raise.
        """
        began, read = self._reads.get(asset_id, (0.0, None))
        if read is None or began < since or (read.done() and read.exception()):
            read = asyncio.ensure_future(self._read_jobs(asset_id))
            read.add_done_callback(take_exception)
            self._reads[asset_id] = (self._now(), read)
            _trim(self._reads, _ASSETS)
        return await asyncio.shield(read)

    async def _read_jobs(self, asset_id: str) -> list[Json]:
        jobs = []
        for summary in await self._list(asset_id):
            job_id = as_text(summary.get("id"))
            detail = self._known.get(job_id) or await self._read(job_id)
            if detail is not None:
                if detail.get("status") in _ENDED:
                    self._known[job_id] = detail
                jobs.append({**detail, "status": summary.get("status")})
        _trim(self._known, _JOBS)
        return jobs


def is_same_work(job: Json, asset_id: str, language: str, track_id: str | None) -> bool:
    """Return whether a job translates this asset to this language, from this track if given."""
    job_parameters = as_object(job.get("parameters"))
    return (
        job_parameters.get("asset_id") == asset_id
        and canonical(as_text(job_parameters.get("to_language_code"))) == canonical(language)
        and track_id in {None, job_parameters.get("track_id")}
    )


def has_parameters(job: Json, parameters: Json) -> bool:
    """Return whether a job was created with these parameters; defaults are filled in."""
    job_parameters = as_object(job.get("parameters"))
    return all(
        job_parameters.get(name, _DEFAULTS.get(name)) == parameters.get(name, _DEFAULTS.get(name))
        for name in {*_PARAMETERS, *parameters}
    )


def _trim(entries: OrderedDict[str, Any], most: int) -> None:
    while len(entries) > most:
        entries.popitem(last=False)
