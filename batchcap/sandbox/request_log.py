"""Logs the requests that the sandbox receives, so that tests can count at the server."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from batchcap.sandbox.http_types import Request, Route
from batchcap.sandbox.mux.jobs import TERMINAL, Job


class LoggedRequest(NamedTuple):
    """One request. `time` is the event loop's at arrival; status 0 means no response."""

    time: float
    bucket: str
    method: str
    route: str
    key: str
    status: int
    fault: str


class CredentialLeak(NamedTuple):
    """A credential that was sent to a host other than its provider's API."""

    route: str
    header: str
    path: str


class RequestLog:
    """Counts every request, and keeps the first `max_requests` of them individually."""

    def __init__(self, jobs: Callable[[], Iterable[Job]], max_requests: int) -> None:
        self.requests: list[LoggedRequest] = []
        self.leaks: list[CredentialLeak] = []
        self.faults: Counter[str] = Counter()
        self.webhooks: Counter[tuple[str, str]] = Counter()
        """Webhooks by provider and result:

        sent (all attempts, also of duplicates and foreign events), retried (attempts after
        the first), accepted (2xx), lost (never sent) and given_up (the last attempt failed).
        """
        self._jobs = jobs
        self._max_requests = max_requests
        self._by_bucket: Counter[str] = Counter()
        self._by_route: Counter[tuple[str, int]] = Counter()
        self._last_second: defaultdict[str, deque[float]] = defaultdict(deque)
        self._worst_second: Counter[str] = Counter()

    def record_arrival(self, bucket: str, time: float) -> None:
        """Record that a request arrived in a bucket."""
        self._by_bucket[bucket] += 1
        window = self._last_second[bucket]
        window.append(time)
        # The window is half open: it holds only one of two requests a whole second apart.
        while window[0] <= time - 1 + 1e-9:
            window.popleft()
        self._worst_second[bucket] = max(self._worst_second[bucket], len(window))

    def record_response(
        self, time: float, request: Request, route: Route, status: int, fault: str
    ) -> None:
        """Record the response to a request that arrived at `time`."""
        self._by_route[route.name, status] += 1
        if fault:
            self.faults[fault] += 1
        if len(self.requests) < self._max_requests:
            self.requests.append(
                LoggedRequest(
                    time, route.bucket, request.method, route.name, route.key, status, fault
                )
            )

    def count(
        self,
        route: str,
        *,
        status: int | None = None,
        key: str | None = None,
        method: str | None = None,
        fault: str | None = None,
    ) -> int:
        """Return the number of requests to a route that match all given filters.

        Raises:
            LookupError: a filter other than `status` is given, and not all requests were kept.
        """
        if (key, method, fault) == (None, None, None):
            return sum(
                number
                for (name, code), number in self._by_route.items()
                if name == route and status in {None, code}
            )
        if len(self.requests) < self._by_route.total():
            raise LookupError("not every request was kept; raise keep_requests")
        fields = {"route": route, "status": status, "key": key, "method": method, "fault": fault}
        filters = {field: value for field, value in fields.items() if value is not None}
        return sum(
            all(getattr(request, field) == value for field, value in filters.items())
            for request in self.requests
        )

    def worst_second(self, bucket: str) -> int:
        """Return the most requests of a bucket in any half-open sliding second."""
        return self._worst_second[bucket]

    @property
    def throttled(self) -> int:
        """The number of requests that got a 429."""
        return sum(number for (_, status), number in self._by_route.items() if status == 429)

    @property
    def creates(self) -> list[Job]:
        """Every accepted create, also from before a restart, oldest first."""
        return list(self._jobs())

    def creates_for(self, asset_id: str, language: str) -> list[Job]:
        """Return the accepted creates of one caption, oldest first."""
        return [
            job
            for job in self._jobs()
            if (job.request.asset_id, job.request.language) == (asset_id, language)
        ]

    def document(self, now: float) -> dict[str, Any]:
        """Return the log as JSON values, with the state of every job at that sandbox time."""
        routes: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for (route, status), number in sorted(self._by_route.items()):
            routes[route][str(status)] = number
        creates = [_create_document(job, now) for job in self._jobs()]
        return {
            "now": now,
            "requests": dict(self._by_bucket),
            "routes": routes,
            "worst_second": dict(self._worst_second),
            "throttled": self.throttled,
            "faults": dict(self.faults),
            "webhooks": _by_provider(self.webhooks),
            "leaks": [leak._asdict() for leak in self.leaks],
            "units_consumed": sum(create["units"] for create in creates),
            "creates": creates,
        }


def _by_provider(webhooks: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {"mux": {}, "heygen": {}}
    for (provider, result), number in sorted(webhooks.items()):
        counts[provider][result] = number
    return counts


def _create_document(job: Job, now: float) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "asset_id": job.request.asset_id,
        "track_id": job.request.track_id,
        "language": job.request.language,
        "passthrough": job.request.passthrough,
        "created": job.created,
        "status": job.status(now),
        "ended": job.updated_at(now) if job.status(now) in TERMINAL else None,
        "units": job.outcome.units if job.is_completed(now) else 0,
    }
