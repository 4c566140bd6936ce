"""The rate limiter: which request of a bucket may leave next, and when.

A bucket is one quota at one provider ("mux.write": 1 request/s). Its dispatcher (`run`) is
the only code that spends from it, and therefore the only place that keeps

- the order: finish before starting, first come first served among equals;
- the spacing: aiolimiter's leaky bucket, with just enough room to catch up after a late
  timer (`BURST_SECONDS`);
- the limit: a log of the last sends, so that no sliding second ever holds more requests
  than the limit, whatever the spacing did;
- the pauses: a Retry-After pauses the whole bucket, is never shortened, and is kept in the
  ledger, so that the next run waits too.

A granted request also holds one of the run's connections, acquired at the moment of the
grant. If it waited for a connection afterwards, requests would bunch up.
"""

from __future__ import annotations

import asyncio
import enum
import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable

import anyio
from aiolimiter import AsyncLimiter

from batchcap.domain.events import Paused, RateChanged, Throttled
from batchcap.domain.protocols import KeyValueStore, Observer
from batchcap.domain.shutdown import ShutdownToken

SMOOTH_BELOW_RATE = 10.0  # requests/s
BURST_SECONDS = 0.02
"""Burst allowance, in seconds of rate. It applies only to the part of a rate above
`SMOOTH_BELOW_RATE`, so that a slow bucket never sends two requests closer than its interval."""

WINDOW_MARGIN = 1e-3
"""Seconds added to the window, so that rounding never admits a request too early: uvloop's
clock counts milliseconds."""

RATE_INCREASE_INTERVAL = 10.0
"""Seconds without a 429 after which a lowered rate grows, while requests wait."""

_INCREASE, _DECREASE = 1.1, 0.7
_MIN_RATE, _MAX_RATE = 0.1, 100.0  # requests/s, of an adaptive bucket


class Priority(enum.IntEnum):
    """Finish what is started before starting more. No row waits for what is `SPARE`."""

    FINISH = 0
    POLL = 1
    START = 2
    SPARE = 3


class Bucket:
    """One quota: `rate` requests per second at present, or None for no limit.

    The rate falls with every 429, because limits change and are shared, and grows back
    slowly while there is none. If `adaptive`, the configured rate is a first guess, and the
    rate may grow beyond it. `quota_share` is the part of the quota that this run may use;
    `rate` is within it, while the stored rate is that of the whole quota.
    """

    def __init__(  # noqa: PLR0913  # all that a bucket depends on, given by name
        self,
        name: str,
        rate: float | None,
        *,
        connections: anyio.Semaphore,
        stop: ShutdownToken,
        memory: KeyValueStore,
        observer: Observer,
        now: Callable[[], float],
        adaptive: bool = False,
        quota_share: float = 1.0,
    ) -> None:
        self.name = name
        self._configured_rate = (rate or 0.0) / quota_share
        self._ceiling = _MAX_RATE if adaptive else self._configured_rate
        self._connections, self._stop = connections, stop
        self._memory, self._observer, self._now = memory, observer, now
        self._queue: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._has_waiters = asyncio.Event()
        self._changed_at = _clock()
        stored = memory.get(f"rate.{name}") if rate is not None else None
        self._quota_share = quota_share
        self._set_rate(min(float(stored), self._ceiling) * quota_share if stored else rate)
        self._paused_until = max(
            self._stored_moment(f"pause.{name}"), self._stored_moment(f"sent.{name}") + self.window
        )
        if left := self.paused_for:
            observer(Paused(name, left))

    async def acquire(self, priority: Priority) -> None:
        """Wait until the next request may leave. Every `acquire` needs a `release`.

        Raises:
            Stopped: The run was stopped first.
        """
        self._stop.raise_if_requested()
        if self._try_acquire():
            return
        granted = self._stop.waiter()
        heapq.heappush(self._queue, (priority, next(self._order), granted))
        self._has_waiters.set()
        try:
            await granted
        except BaseException:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self.release()
            raise

    def release(self) -> None:
        """Give the request's connection back."""
        self._connections.release()

    def pause(self, seconds: float) -> None:
        """Send nothing for this many seconds. The next run keeps to it too."""
        until = _clock() + seconds
        if until > self._paused_until:
            self._paused_until = until
            self._memory.set(f"pause.{self.name}", repr(self._now() + seconds))
            self._observer(Paused(self.name, seconds))

    def throttled(self, seconds: float) -> None:
        """Handle a 429: lower the rate and pause.

        Further 429s in the same pause do not lower the rate again.
        """
        self._observer(Throttled(self.name, seconds))
        if self.rate and _clock() >= self._paused_until:
            self._adapt(self.rate * _DECREASE)
        self.pause(seconds)

    def update_from_headers(
        self, limit: float | None, remaining: float | None, reset: float | None
    ) -> None:
        """Apply the values of X-RateLimit headers; `reset` is seconds from now.

        A limit below our own rate is taken as requests per second, which is safe for any
        longer period too. An empty quota with a known reset is a pause.
        """
        if limit and self.rate and 0 < limit * self._quota_share < self.rate:
            self._ceiling = limit
            self._set_rate(limit * self._quota_share)
        if remaining == 0 and reset and math.isfinite(reset):
            self.pause(reset)

    def close(self) -> None:
        """Store the time of the last send, so that a run that starts at once keeps the limit."""
        if self.rate is not None and self._sent:
            sent_at = self._now() - (_clock() - self._sent[-1])
            self._memory.set(f"sent.{self.name}", repr(sent_at))

    @property
    def waiting(self) -> int:
        """The number of requests in the queue."""
        return len(self._queue)

    @property
    def window(self) -> float:
        """Seconds in which at most `rate`, rounded up, requests are sent; 0 without a limit."""
        return self._window if self.rate is not None else 0.0

    @property
    def paused_for(self) -> float:
        """Seconds until the current pause ends; 0 if there is none."""
        return max(0.0, self._paused_until - _clock())

    async def run(self) -> None:
        """Let requests leave one after the other, until cancelled. Run it once."""
        while True:
            await self._has_waiters.wait()
            await self._wait_until_open()
            if self._limiter is not None:
                await self._limiter.acquire()
            await self._connections.acquire()
            if self._blocked_seconds() > 0 or not self._grant():
                self._connections.release()

    def _grant(self) -> bool:
        """Let the first request in the queue leave. Return False if the queue is empty."""
        granted = False
        while self._queue and not granted:
            _, _, waiter = heapq.heappop(self._queue)
            if not waiter.done():
                self._log_send()
                waiter.set_result(None)
                granted = True
        if not self._queue:
            self._has_waiters.clear()
        return granted

    def _try_acquire(self) -> bool:
        """Let a request leave at once if nothing limits it, which spares the dispatcher."""
        if self.rate is not None or self._queue or self.paused_for:
            return False
        try:
            self._connections.acquire_nowait()
        except anyio.WouldBlock:
            return False
        return True

    def _log_send(self) -> None:
        if self.rate is None:
            return
        self._sent.append(_clock())
        is_lowered = self.rate < self._ceiling * self._quota_share
        is_due = _clock() - self._changed_at >= RATE_INCREASE_INTERVAL
        if is_lowered and self._queue and is_due:
            self._adapt(self.rate * _INCREASE)

    async def _wait_until_open(self) -> None:
        while (seconds := self._blocked_seconds()) > 0:  # noqa: ASYNC110  # a clock sets no event
            await anyio.sleep(seconds)

    def _blocked_seconds(self) -> float:
        """Seconds until pause and window let a request leave; 0 or less: now."""
        now = _clock()
        blocked = self._paused_until - now
        if self.rate is not None and len(self._sent) == self._sent.maxlen:
            blocked = max(blocked, self._sent[0] + self._window - now)
        return blocked

    def _adapt(self, rate: float) -> None:
        self._changed_at = _clock()
        slowest = min(_MIN_RATE, self._ceiling)
        whole = min(max(rate / self._quota_share, slowest), self._ceiling)
        self._set_rate(whole * self._quota_share)
        self._memory.set(f"rate.{self.name}", "" if whole == self._configured_rate else repr(whole))

    def _set_rate(self, rate: float | None) -> None:
        """Change the rate. The log of sends is kept, so that a new rate starts no burst."""
        self.rate = rate
        self._observer(RateChanged(self.name, rate))
        self._limiter: AsyncLimiter | None = None
        if rate is None:
            return
        capacity = 1 + BURST_SECONDS * max(0.0, rate - SMOOTH_BELOW_RATE)
        self._limiter = AsyncLimiter(capacity, capacity / rate)
        count = math.ceil(rate)
        self._window = count / rate + WINDOW_MARGIN
        self._sent: deque[float] = deque(getattr(self, "_sent", ()), maxlen=count)

    def _stored_moment(self, key: str) -> float:
        """Return a moment that an earlier run stored, on this loop's clock; else long ago."""
        moment = self._memory.get(key)
        return _clock() + float(moment) - self._now() if moment else -math.inf


def _clock() -> float:
    return asyncio.get_running_loop().time()
