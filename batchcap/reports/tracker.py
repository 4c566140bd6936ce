"""Follows a run by its events, and describes at any time where it stands."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping

from batchcap.domain.events import (
    Event,
    JobEnded,
    LaneStopped,
    Paused,
    RateChanged,
    Recovered,
    RequestSent,
    RowEnded,
    RowHeldBack,
    RowMoved,
    SourceEnded,
    Throttled,
    Waiting,
    Warned,
)
from batchcap.domain.models import Phase, RowState, Totals
from batchcap.domain.text import printable
from batchcap.reports.lane_progress import LaneProgress, Outlook
from batchcap.reports.snapshot import BucketState, ProviderState, Snapshot, SourcesState, WaitState

_MAX_WAITS = 1000  # waits of one reason, and reasons, that are kept
_RATE_WINDOW = 60.0  # seconds in which the requests of a bucket are counted


class RunTracker:
    """Where a run stands. An `Observer`.

    `before` holds the ledger's totals when the run began, `outlooks` what it works on by
    provider. `sources` is the number of source captions to fetch. `now` gives unix seconds.
    """

    def __init__(
        self,
        before: Totals,
        outlooks: Mapping[str, Outlook],
        now: Callable[[], float],
        sources: int = 0,
    ) -> None:
        self._before, self._now, self._outlooks = before, now, outlooks
        self._began = now()
        self._lanes = {name: LaneProgress(outlook) for name, outlook in outlooks.items()}
        self._rates: dict[str, float | None] = {}
        self._paused_until: dict[str, float] = {}
        self._sent: Counter[str] = Counter()
        self._samples: deque[tuple[float, Counter[str]]] = deque()
        self._errors: Counter[str] = Counter()
        self._bytes = self._units = 0
        self._sources, self._sources_fetched, self._sources_failed = sources, 0, 0
        self._waits: dict[tuple[str, str], deque[float]] = {}
        self._problem = ""
        self._problem_at: float | None = None
        self._handlers: dict[type[Event], Callable[..., None]] = {
            RowMoved: self._row_moved,
            RowEnded: self._row_ended,
            RowHeldBack: self._row_held_back,
            JobEnded: self._job_ended,
            RequestSent: self._request_sent,
            RateChanged: self._rate_changed,
            Throttled: self._paused,
            Paused: self._paused,
            SourceEnded: self._source_ended,
            Waiting: self._waiting,
            Recovered: self._recovered,
            Warned: self._warned,
            LaneStopped: self._lane_stopped,
        }

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def snapshot(self) -> Snapshot:
        """Return where the run stands now."""
        loop_time, at = _clock(), self._now()
        self._sample(loop_time)
        providers = [
            self._provider(name, states, loop_time, at)
            for name, states in self._before.by_provider.items()
        ]
        ends = [provider.ends_at for provider in providers if provider.left]
        known = [end for end in ends if end is not None]
        return Snapshot(
            at=at,
            began=self._began,
            providers=providers,
            buckets=[self._bucket(name, loop_time, at) for name in self._rates],
            sources=self._sources_state(),
            waits=self._wait_states(loop_time, at),
            bytes=self._bytes,
            units=self._units,
            errors=dict(self._errors.most_common()),
            ends_at=max(known) if known and len(known) == len(ends) else None,
            problem=self._problem,
            problem_at=self._problem_at,
        )

    def _provider(
        self, name: str, states: Mapping[str, int], loop_time: float, at: float
    ) -> ProviderState:
        lane = self._lanes.get(name)
        ended: Mapping[RowState, int] = lane.ended if lane else {}
        counts = {
            state.value: states.get(state, 0) + ended.get(state, 0)
            for state in (RowState.DONE, RowState.FAILED, RowState.SKIPPED, RowState.INVALID)
        }
        ends_at = None
        if lane is not None:
            outlook = self._outlooks[name]
            pause = max(0.0, self._paused_until.get(outlook.bucket, 0.0) - loop_time)
            lane.estimate(loop_time, self._rows_per_second(outlook), pause)
            ends_at = None if lane.ends_at is None else at + lane.ends_at - loop_time
        return ProviderState(
            name=name,
            total=sum(states.values()),
            waiting=lane.count(Phase.WAITING) if lane else 0,
            at_provider=lane.count(Phase.AT_PROVIDER) if lane else 0,
            downloading=lane.count(Phase.DOWNLOADING) if lane else 0,
            is_stopped=lane.is_stopped if lane else False,
            ends_at=ends_at,
            **counts,
        )

    def _rows_per_second(self, outlook: Outlook) -> float | None:
        """Return how many rows the quotas let through; None: there is no limit."""
        starts, reads = self._rates.get(outlook.bucket), self._rates.get(outlook.read_bucket)
        limits = [starts, None if reads is None else reads / outlook.reads]
        return min((limit for limit in limits if limit is not None), default=None)

    def _bucket(self, name: str, loop_time: float, at: float) -> BucketState:
        until = self._paused_until.get(name, 0.0)
        (began, first), (ended, last) = self._samples[0], self._samples[-1]
        sent = (last[name] - first[name]) / (ended - began) if ended > began else 0.0
        paused_until = at + until - loop_time if until > loop_time else None
        return BucketState(name, self._rates[name], round(sent, 3), paused_until)

    def _sample(self, loop_time: float) -> None:
        """Count the requests so far, once a second at most."""
        if not self._samples or loop_time - self._samples[-1][0] >= 1.0:
            self._samples.append((loop_time, self._sent.copy()))
        while self._samples[0][0] < loop_time - _RATE_WINDOW and len(self._samples) > 2:
            self._samples.popleft()

    def _row_moved(self, event: RowMoved) -> None:
        if (lane := self._lanes.get(event.row.provider)) is not None:
            age = 0.0 if event.began is None else max(0.0, self._now() - event.began)
            lane.row_moved(event, _clock(), age)

    def _row_ended(self, event: RowEnded) -> None:
        outcome = event.outcome
        if (lane := self._lanes.get(event.row.provider)) is not None:
            lane.row_ended(event.row, outcome, _clock())
        self._bytes += outcome.caption.bytes if outcome.caption else 0
        self._units += outcome.job.units if outcome.job else 0
        if outcome.failure is not None:
            self._errors[outcome.failure.code] += 1

    def _source_ended(self, event: SourceEnded) -> None:
        self._sources_fetched += event.failure is None
        self._sources_failed += event.failure is not None

    def _sources_state(self) -> SourcesState | None:
        if not self._sources:
            return None
        return SourcesState(self._sources, self._sources_fetched, self._sources_failed)

    def _row_held_back(self, event: RowHeldBack) -> None:
        if (lane := self._lanes.get(event.row.provider)) is not None:
            lane.row_held_back(event.row)

    def _job_ended(self, event: JobEnded) -> None:
        if (lane := self._lanes.get(event.row.provider)) is not None:
            lane.job_ended(event)

    def _request_sent(self, event: RequestSent) -> None:
        self._sent[event.bucket] += 1
        self._rates.setdefault(event.bucket, None)

    def _rate_changed(self, event: RateChanged) -> None:
        self._rates[event.bucket] = event.rate

    def _paused(self, event: Throttled | Paused) -> None:
        until = _clock() + event.seconds
        self._paused_until[event.bucket] = max(until, self._paused_until.get(event.bucket, 0.0))

    def _waiting(self, event: Waiting) -> None:
        untils = self._waits.setdefault((event.where, event.reason), deque(maxlen=_MAX_WAITS))
        untils.append(_clock() + event.seconds)
        if len(self._waits) > _MAX_WAITS:
            del self._waits[next(iter(self._waits))]

    def _recovered(self, event: Recovered) -> None:
        self._waits = {key: until for key, until in self._waits.items() if key[0] != event.where}
        if self._problem.startswith(event.where):
            self._problem, self._problem_at = "", None

    def _wait_states(self, loop_time: float, at: float) -> list[WaitState]:
        """Return what waits now, and forget what has waited."""
        states = []
        for (where, reason), untils in list(self._waits.items()):
            left = [until for until in untils if until > loop_time]
            self._waits[where, reason] = deque(left, maxlen=_MAX_WAITS)
            if left:
                states.append(WaitState(where, reason, len(left), at + max(left) - loop_time))
            else:
                del self._waits[where, reason]
        return sorted(states, key=lambda state: -state.count)

    def _warned(self, event: Warned | LaneStopped) -> None:
        self._problem, self._problem_at = printable(event.message), self._now()

    def _lane_stopped(self, event: LaneStopped) -> None:
        self._warned(event)
        if (lane := self._lanes.get(event.provider)) is not None:
            lane.is_stopped = True


def _clock() -> float:
    return asyncio.get_running_loop().time()
