"""Which translate-captions jobs an asset has, read once for all rows that look.

Summaries carry no parameters, so each job is read by itself; once it has ended it
never changes, and is not read again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from batchcap.answers import as_object, text
from batchcap.model import Json

_ASSETS = 1024
_JOBS = 8192
_ENDED = frozenset({"completed", "errored", "cancelled"})

ListJobs = Callable[[str], Awaitable[list[Json]]]
ReadJob = Callable[[str], Awaitable[Json | None]]


class History:
    """Jobs by asset. `listed` gives an asset's summaries, `read` a job in full, or None."""

    def __init__(self, listed: ListJobs, read: ReadJob, now: Callable[[], float]) -> None:
        self._listed, self._read, self._now = listed, read, now
        self._looks: OrderedDict[str, tuple[float, asyncio.Future[list[Json]]]] = OrderedDict()
        self._known: OrderedDict[str, Json] = OrderedDict()

    async def jobs(self, asset_id: str, since: float) -> list[Json]:
        """Every job of the asset, in full, as of `since` (unix seconds) or later.

        Whoever may share a look does. Raises whatever the requests raise.
        """
        began, look = self._looks.get(asset_id, (0.0, None))
        if look is None or began < since or (look.done() and look.exception()):
            look = asyncio.ensure_future(self._look(asset_id))
            self._looks[asset_id] = (self._now(), look)
            _trim(self._looks, _ASSETS)
        return await asyncio.shield(look)

    async def _look(self, asset_id: str) -> list[Json]:
        found = []
        for summary in await self._listed(asset_id):
            job_id = text(summary.get("id"))
            detail = self._known.get(job_id) or await self._read(job_id)
            if detail is not None:
                if detail.get("status") in _ENDED:
                    self._known[job_id] = detail
                found.append({**detail, "status": summary.get("status")})
        _trim(self._known, _JOBS)
        return found


def same_work(job: Json, asset_id: str, language: str, track_id: str | None) -> bool:
    """Whether a job translates this asset to this language, from this track where it is named."""
    theirs = as_object(job.get("parameters"))
    return (
        theirs.get("asset_id") == asset_id
        and text(theirs.get("to_language_code")).lower() == language.lower()
        and track_id in {None, theirs.get("track_id")}
    )


def _trim(kept: OrderedDict[str, Any], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)
