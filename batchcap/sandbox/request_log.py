"""What the sandbox was asked, so that tests can count at the server."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from batchcap.sandbox.http_types import Call, Route
from batchcap.sandbox.mux.jobs import TERMINAL, Job


class Entry(NamedTuple):
    """One request. `time` is the event loop's at arrival; status 0 is no answer at all."""

    time: float
    bucket: str
    method: str
    route: str
    key: str
    status: int
    fault: str


class Leak(NamedTuple):
    """A credential that reached a host which is not its provider's API."""

    route: str
    header: str
    path: str


class RequestLog:
    """Counts every request; keeps the first `keep` of them one by one."""

    def __init__(self, jobs: Callable[[], Iterable[Job]], keep: int) -> None:
        self.requests: list[Entry] = []
        self.leaks: list[Leak] = []
        self.faults: Counter[str] = Counter()
        self.webhooks: Counter[tuple[str, str]] = Counter()
        """Webhooks by provider and by what became of them:

        sent (attempts, those of duplicates and foreign events too), retried (those that
        were not the first), accepted (answered 2xx), lost (never sent at all) and
        given_up (refused to the last).
        """
        self._jobs = jobs
        self._keep = keep
        self._totals: Counter[str] = Counter()
        self._routes: Counter[tuple[str, int]] = Counter()
        self._windows: defaultdict[str, deque[float]] = defaultdict(deque)
        self._worst: Counter[str] = Counter()

    def arrived(self, bucket: str, time: float) -> None:
        """Note the arrival of a request in a bucket."""
        self._totals[bucket] += 1
        window = self._windows[bucket]
        window.append(time)
        # Half open: of two requests a whole second apart, only one is in it.
        while window[0] <= time - 1 + 1e-9:
            window.popleft()
        self._worst[bucket] = max(self._worst[bucket], len(window))

    def answered(self, time: float, call: Call, route: Route, status: int, fault: str) -> None:
        """Note what became of a request that arrived at `time`."""
        self._routes[route.name, status] += 1
        if fault:
            self.faults[fault] += 1
        if len(self.requests) < self._keep:
            entry = Entry(time, route.bucket, call.method, route.name, route.key, status, fault)
            self.requests.append(entry)

    def count(
        self,
        route: str,
        *,
        status: int | None = None,
        key: str | None = None,
        method: str | None = None,
        fault: str | None = None,
    ) -> int:
        """How many requests a route got, of those that match every filter given.

        All but `status` look at the kept requests; raises `LookupError` where some
        were not kept.
        """
        if (key, method, fault) == (None, None, None):
            return sum(
                number
                for (name, code), number in self._routes.items()
                if name == route and status in {None, code}
            )
        if len(self.requests) < self._routes.total():
            raise LookupError("not every request was kept; raise keep_requests")
        wanted = {"route": route, "status": status, "key": key, "method": method, "fault": fault}
        asked = {field: value for field, value in wanted.items() if value is not None}
        return sum(
            all(getattr(entry, field) == value for field, value in asked.items())
            for entry in self.requests
        )

    def worst_second(self, bucket: str) -> int:
        """The most requests of a bucket that arrived in any half-open sliding second."""
        return self._worst[bucket]

    @property
    def throttled(self) -> int:
        """How many requests were answered 429."""
        return sum(number for (_, status), number in self._routes.items() if status == 429)

    @property
    def creates(self) -> list[Job]:
        """Every create that was accepted, also before a restart, oldest first."""
        return list(self._jobs())

    def creates_for(self, asset_id: str, language: str) -> list[Job]:
        """The accepted creates of one caption, oldest first."""
        return [
            job
            for job in self._jobs()
            if (job.request.asset_id, job.request.language) == (asset_id, language)
        ]

    def document(self, now: float) -> dict[str, Any]:
        """The journal as JSON, with the state of every job at that sandbox time."""
        routes: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for (route, status), number in sorted(self._routes.items()):
            routes[route][str(status)] = number
        creates = [_create(job, now) for job in self._jobs()]
        return {
            "now": now,
            "requests": dict(self._totals),
            "routes": routes,
            "worst_second": dict(self._worst),
            "throttled": self.throttled,
            "faults": dict(self.faults),
            "webhooks": _by_provider(self.webhooks),
            "leaks": [leak._asdict() for leak in self.leaks],
            "units_consumed": sum(create["units"] for create in creates),
            "creates": creates,
        }


def _by_provider(webhooks: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {"mux": {}, "heygen": {}}
    for (provider, what), number in sorted(webhooks.items()):
        found[provider][what] = number
    return found


def _create(job: Job, now: float) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "asset_id": job.request.asset_id,
        "track_id": job.request.track_id,
        "language": job.request.language,
        "passthrough": job.request.passthrough,
        "created": job.created,
        "status": job.status(now),
        "ended": job.updated(now) if job.status(now) in TERMINAL else None,
        "units": job.outcome.units if job.done(now) else 0,
    }
