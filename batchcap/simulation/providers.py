"""Both providers in memory, as far as time and quota are concerned.

Responses have the shapes of the providers' own (see `batchcap.providers` for sources). No job
fails. Only the time at which a request arrives matters.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from statistics import NormalDist
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import msgspec
import orjson

from batchcap.domain.models import Job, JobState, Json
from batchcap.domain.protocols import OnJob

_PAGE = 100
_GOLDEN = 0.618
"""Multiples of this share of a circle fill it evenly."""

_EVENT_DELAY = 0.5
"""Seconds from the end of a job to its event."""

_SOURCE = {
    "type": "text",
    "id": "t",
    "language_code": "en",
    "status": "ready",
    "text_source": "generated_vod",
}

_PENDING = 0.3
"""Share of its duration for which a job is pending; after that it is processing."""


class JobLengths(msgspec.Struct, frozen=True):
    """How long jobs take in seconds: lognormal, at most `longest`, unless a subclass differs."""

    median: float = 180.0
    sigma: float = 0.75
    longest: float = 1800.0
    seed: int = 0

    def of(self, number: int) -> float:
        """Return the duration of one row's job, always the same for a number."""
        drawn = random.Random(f"{self.seed}/{number}").lognormvariate(  # noqa: S311  # no secret
            math.log(self.median), self.sigma
        )
        return min(drawn, self.longest)

    def quantile(self, share: float) -> float:
        """Return the seconds that this share of the jobs takes at most; 0 < `share` < 1."""
        at = math.log(self.median) + self.sigma * NormalDist().inv_cdf(share)
        return min(math.exp(at), self.longest)


class MeasuredLengths(JobLengths, frozen=True):
    """Lengths that were measured: `table` holds their quantiles at even distances, ascending."""

    table: tuple[float, ...] = (180.0,)

    def of(self, number: int) -> float:
        """See `JobLengths`."""
        return random.Random(f"{self.seed}/{number}").choice(self.table)  # noqa: S311  # no secret

    def quantile(self, share: float) -> float:
        """See `JobLengths`."""
        return self.table[min(int(share * len(self.table)), len(self.table) - 1)]


class TypicalLengths(JobLengths, frozen=True):
    """The lengths of `count` jobs that are neither lucky nor unlucky: one of each quantile.

    They come in an order in which short and long jobs are evenly mixed.
    """

    base: JobLengths = JobLengths()
    count: int = 1

    def of(self, number: int) -> float:
        """See `JobLengths`."""
        step = max(1, round(self.count * _GOLDEN))
        while math.gcd(step, self.count) > 1:
            step += 1
        return self.base.quantile((number * step % self.count + 0.5) / self.count)

    def quantile(self, share: float) -> float:
        """See `JobLengths`."""
        return self.base.quantile(share)


class RequestCounter:
    """Counts the requests of one bucket, refuses those above `limit` in any second.

    `worst_second` is the most requests that arrived within one second.
    """

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._second: deque[float] = deque()
        self.count = 0
        self.worst_second = 0
        self.refused = 0

    def take(self) -> bool:
        """Count a request; return False if it exceeds the limit."""
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


class InMemoryProvider(Protocol):
    """A provider without a network: answers requests at the time at which they arrive."""

    writes: RequestCounter
    reads: RequestCounter
    on_end: OnJob | None
    """Called with each job shortly after it ended, as by a webhook; None: no webhooks."""
    events_lost: float
    """Share of the webhooks that never arrive."""

    def answer(self, method: str, path: str, body: Json | None) -> tuple[int, bytes]:
        """Return status and body for a request that arrives now."""
        ...

    def ended_at(self, source_id: str) -> float:
        """Return when the job of a source ended, on the loop's clock."""
        ...


class InMemoryMux:
    """Mux: jobs that are created, run for a time, and complete.

    The jobs of the first `running` rows exist already, and begin when the simulation does.
    Every asset has one track, made from its audio.
    """

    def __init__(
        self,
        lengths: JobLengths,
        write_limit: float | None,
        read_limit: float | None,
        running: int = 0,
    ) -> None:
        self._lengths = lengths
        self.writes, self.reads = RequestCounter(write_limit), RequestCounter(read_limit)
        self.on_end: OnJob | None = None
        self.events_lost = 0.0
        self._active: dict[str, tuple[float, float]] = {}
        self._ends: dict[str, float] = {}
        self._existing = running

    def answer(self, method: str, path: str, body: Json | None) -> tuple[int, bytes]:
        """See `InMemoryProvider`."""
        self._begin_existing()
        if not (self.writes if method == "POST" else self.reads).take():
            return 429, b'{"error":{"type":"rate_limit","message":"too many requests"}}'
        if method == "POST":
            return 202, _data(self._created(str((body or {})["parameters"]["asset_id"])))
        parts = urlsplit(path)
        if parts.path.startswith("/video/"):
            return 200, _data({"tracks": [_SOURCE], "playback_ids": []})
        if parts.query:
            return 200, self._listed(_query(parts.query))
        return 200, _data(self._described(parts.path.rpartition("/")[2]))

    def ended_at(self, source_id: str) -> float:
        """See `InMemoryProvider`."""
        return self._ends[source_id]

    def _begin_existing(self) -> None:
        """Begin the jobs that exist already, at the first request."""
        for number in range(self._existing):
            self._created(f"row-{number}")
        self._existing = 0

    def _created(self, source_id: str) -> Json:
        now = _clock()
        self._ends[source_id] = now + self._lengths.of(number_in(source_id))
        self._active[source_id] = (now, self._ends[source_id])
        self._announce(source_id)
        return {"id": f"rjob_{source_id}", "status": "pending", "created_at": int(now)}

    def _announce(self, source_id: str) -> None:
        """Schedule the webhook for the end of a job, unless it is lost."""
        chance = random.Random(f"event of {source_id}")  # noqa: S311  # no secret
        if self.on_end is not None and chance.random() >= self.events_lost:
            job_id, link = f"rjob_{source_id}", f"https://files.invalid/{source_id}"
            job = Job(id=job_id, state=JobState.COMPLETED, link=link)
            at = self._ends[source_id] + _EVENT_DELAY
            asyncio.get_running_loop().call_at(at, self.on_end, job)

    def _described(self, job_id: str) -> Json:
        source_id = job_id.removeprefix("rjob_")
        ends = self._ends[source_id]
        if ends > _clock():
            return {"id": job_id, "status": "processing"}
        outputs = {
            "temporary_vtt_url": f"https://files.invalid/{source_id}",
            "uploaded_track_id": "t",
        }
        began = ends - self._lengths.of(number_in(source_id))
        times = {"created_at": int(began), "updated_at": int(ends)}
        return {"id": job_id, "status": "completed", "outputs": outputs, **times}

    def _listed(self, query: dict[str, str]) -> bytes:
        now = _clock()
        self._active = {name: job for name, job in self._active.items() if job[1] > now}
        job_ids = [
            f"rjob_{source_id}"
            for source_id, (began, ends) in self._active.items()
            if (now < began + _PENDING * (ends - began)) is (query["status"] == "pending")
        ]
        start = (int(query["page"]) - 1) * _PAGE
        page = [
            {"id": job_id, "status": query["status"]} for job_id in job_ids[start : start + _PAGE]
        ]
        return orjson.dumps({"data": page, "total_row_count": len(job_ids)})


class InMemoryHeyGen:
    """HeyGen: an account with `account` finished translations, the manifest's evenly among them."""

    def __init__(self, rows: int, account: int, limit: float | None) -> None:
        self.writes = self.reads = RequestCounter(limit)
        self.on_end: OnJob | None = None
        self.events_lost = 0.0
        self._rows, self._account = rows, max(account, rows)
        self._began: float | None = None

    def answer(self, method: str, path: str, body: Json | None) -> tuple[int, bytes]:
        """See `InMemoryProvider`."""
        if self._began is None:
            self._began = _clock()
        if not self.reads.take():
            return 429, b'{"error":{"code":"rate_limit_exceeded","message":"slow down"}}'
        parts = urlsplit(path)
        query = _query(parts.query)
        if parts.path.endswith("/statuses"):
            ids = query["video_translation_ids"].split(",")
            statuses = [{"video_id": job_id, "status": "completed"} for job_id in ids]
            return 200, orjson.dumps({"data": statuses, "has_more": False})
        if "limit" in query:
            return 200, self._listed(int(query.get("token", "0")))
        return 200, _data(_detail(parts.path.rpartition("/")[2]))

    def ended_at(self, source_id: str) -> float:
        """See `InMemoryProvider`. Before the first request."""
        return self._began or 0.0

    def _listed(self, start: int) -> bytes:
        """Return a page of the account's list, with the manifest's rows at even distances."""
        step = self._account / self._rows
        items, end = [], min(start + _PAGE, self._account)
        for place in range(start, end):
            row = math.ceil(place / step)
            is_listed = row < self._rows and math.floor(row * step) == place
            items.append(_detail(f"row-{row}" if is_listed else f"other-{place}"))
        following = str(end) if end < self._account else None
        return orjson.dumps({"data": items, "has_more": bool(following), "next_token": following})


def _query(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text).items()}


def number_in(source_id: str) -> int:
    """Return the row's number from the id of its source, `row-N`."""
    return int(source_id.rpartition("-")[2])


def _detail(job_id: str) -> dict[str, Any]:
    link = f"https://files.invalid/{job_id}"
    return {"id": job_id, "status": "completed", "vtt_caption_url": link}


def _data(data: Json) -> bytes:
    return orjson.dumps({"data": data})


def _clock() -> float:
    return asyncio.get_running_loop().time()
