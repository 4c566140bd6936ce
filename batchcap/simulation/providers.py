"""Both providers in memory, as far as time and quota are concerned.

Answers have the providers' shapes (for their sources see `providers`); everything
always works, and what counts is when a request arrived.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import msgspec
import orjson

from batchcap.domain.models import Job, JobState, Json
from batchcap.domain.protocols import OnJob

_PAGE = 100
_EVENT_DELAY = 0.5
"""Seconds from the end of a job to its event."""

_PENDING = 0.3
"""The part of its life that a job is pending."""


class JobLengths(msgspec.Struct, frozen=True):
    """How long jobs take: lognormal, cut at `longest`; seconds."""

    median: float = 180.0
    sigma: float = 0.75
    longest: float = 1800.0
    seed: int = 0

    def of(self, number: int) -> float:
        """The length of one row's job; the same whenever it is asked."""
        drawn = random.Random(f"{self.seed}/{number}").lognormvariate(  # noqa: S311  # no secret
            math.log(self.median), self.sigma
        )
        return min(drawn, self.longest)


class Arrivals:
    """Counts what arrives in a bucket, and the most within any second."""

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._second: deque[float] = deque()
        self.count = 0
        self.worst_second = 0
        self.refused = 0

    def take(self) -> bool:
        """Count one request; False where it is one too many for the limit."""
        now = _clock()
        while self._second and self._second[0] <= now - 1:
            self._second.popleft()
        if self._limit is not None and len(self._second) >= max(1, math.ceil(self._limit)):
            self.refused += 1
            return False
        self._second.append(now)
        self.count += 1
        self.worst_second = max(self.worst_second, len(self._second))
        return True


class World(Protocol):
    """A provider to rehearse with."""

    writes: Arrivals
    reads: Arrivals
    on_end: OnJob | None
    """Takes each job as its event reports it, a moment after its end; None: no webhooks."""
    events_lost: float
    """Share of the events that never arrive."""

    def answer(self, method: str, path: str, body: Json | None) -> tuple[int, bytes]:
        """Status and body of a request that arrives now."""
        ...

    def ended_at(self, source_id: str) -> float:
        """When the job of a source ended, on the loop's clock."""
        ...


class MuxWorld:
    """Jobs that are created, are active for a time, and are completed."""

    def __init__(
        self, lengths: JobLengths, write_limit: float | None, read_limit: float | None
    ) -> None:
        self._lengths = lengths
        self.writes, self.reads = Arrivals(write_limit), Arrivals(read_limit)
        self.on_end: OnJob | None = None
        self.events_lost = 0.0
        self._active: dict[str, tuple[float, float]] = {}
        self._ends: dict[str, float] = {}

    def answer(self, method: str, path: str, body: Json | None) -> tuple[int, bytes]:
        """See `World`."""
        if not (self.writes if method == "POST" else self.reads).take():
            return 429, b'{"error":{"type":"rate_limit","message":"too many requests"}}'
        if method == "POST":
            return 202, _data(self._created(str((body or {})["parameters"]["asset_id"])))
        parts = urlsplit(path)
        if parts.query:
            return 200, self._listed({key: one[0] for key, one in parse_qs(parts.query).items()})
        return 200, _data(self._described(parts.path.rpartition("/")[2]))

    def ended_at(self, source_id: str) -> float:
        """See `World`."""
        return self._ends[source_id]

    def _created(self, source_id: str) -> Json:
        now = _clock()
        self._ends[source_id] = now + self._lengths.of(number_in(source_id))
        self._active[source_id] = (now, self._ends[source_id])
        self._announce(source_id)
        return {"id": f"rjob_{source_id}", "status": "pending", "created_at": int(now)}

    def _announce(self, source_id: str) -> None:
        """Send the event of a job's end, unless it is lost."""
        chance = random.Random(f"event of {source_id}")  # noqa: S311  # no secret
        if self.on_end is not None and chance.random() >= self.events_lost:
            job_id, link = f"rjob_{source_id}", f"https://world/{source_id}"
            job = Job(id=job_id, state=JobState.COMPLETED, link=link)
            at = self._ends[source_id] + _EVENT_DELAY
            asyncio.get_running_loop().call_at(at, self.on_end, job)

    def _described(self, job_id: str) -> Json:
        source_id = job_id.removeprefix("rjob_")
        ends = self._ends[source_id]
        if ends > _clock():
            return {"id": job_id, "status": "processing"}
        outputs = {"temporary_vtt_url": f"https://world/{source_id}", "uploaded_track_id": "t"}
        began = ends - self._lengths.of(number_in(source_id))
        times = {"created_at": int(began), "updated_at": int(ends)}
        return {"id": job_id, "status": "completed", "outputs": outputs, **times}

    def _listed(self, query: dict[str, str]) -> bytes:
        now = _clock()
        for source_id in [one for one, (_, ends) in self._active.items() if ends <= now]:
            del self._active[source_id]
        found = [
            f"rjob_{source_id}"
            for source_id, (began, ends) in self._active.items()
            if (now < began + _PENDING * (ends - began)) is (query["status"] == "pending")
        ]
        start = (int(query["page"]) - 1) * _PAGE
        page = [{"id": one, "status": query["status"]} for one in found[start : start + _PAGE]]
        return orjson.dumps({"data": page, "total_row_count": len(found)})


class HeyGenWorld:
    """An account of `account` finished translations; the manifest's are evenly spread in it."""

    def __init__(self, rows: int, account: int, limit: float | None) -> None:
        self.writes = self.reads = Arrivals(limit)
        self.on_end: OnJob | None = None
        self.events_lost = 0.0
        self._rows, self._account = rows, max(account, rows)
        self._began: float | None = None

    def answer(self, method: str, path: str, body: Json | None) -> tuple[int, bytes]:
        """See `World`."""
        if self._began is None:
            self._began = _clock()
        if not self.reads.take():
            return 429, b'{"error":{"code":"rate_limit_exceeded","message":"slow down"}}'
        parts = urlsplit(path)
        query = {key: one[0] for key, one in parse_qs(parts.query).items()}
        if parts.path.endswith("/statuses"):
            ids = query["video_translation_ids"].split(",")
            found = [{"video_id": one, "status": "completed"} for one in ids]
            return 200, orjson.dumps({"data": found, "has_more": False})
        if "limit" in query:
            return 200, self._listed(int(query.get("token", "0")))
        return 200, _data(_detail(parts.path.rpartition("/")[2]))

    def ended_at(self, source_id: str) -> float:
        """See `World`. Before the first request."""
        return self._began or 0.0

    def _listed(self, start: int) -> bytes:
        """A page of the account: every so many entries one is the manifest's."""
        step = self._account / self._rows
        items, end = [], min(start + _PAGE, self._account)
        for place in range(start, end):
            row = math.ceil(place / step)
            mine = row < self._rows and math.floor(row * step) == place
            items.append(_detail(f"row-{row}" if mine else f"other-{place}"))
        following = str(end) if end < self._account else None
        return orjson.dumps({"data": items, "has_more": bool(following), "next_token": following})


def number_in(source_id: str) -> int:
    """The row's number in the id of its source, `row-N`."""
    return int(source_id.rpartition("-")[2])


def _detail(job_id: str) -> dict[str, Any]:
    link = f"https://world/{job_id}"
    return {"id": job_id, "status": "completed", "vtt_caption_url": link}


def _data(data: Json) -> bytes:
    return orjson.dumps({"data": data})


def _clock() -> float:
    return asyncio.get_running_loop().time()
