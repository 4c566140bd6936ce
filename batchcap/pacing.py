"""The budget of a bucket: who may send the next request, and when.

A bucket is one quota at one provider ("mux.write": 1 request/s). Its dispatcher
is the only one that spends from it, and so the only place that keeps

- the order: finishing before starting, first come first served among equals;
- the spacing: aiolimiter's leaky bucket, with just enough room to catch up a
  late timer (`_SLACK`);
- the promise: a log of the last sends, so that no sliding second ever holds
  more than the limit, whatever the spacing did;
- the pauses: a Retry-After holds for everybody, is never clamped, and is noted
  in the ledger, so that the next run keeps it too.

A turn also holds one of the run's connections, taken when the turn is given:
a turn that then queued for a connection would bunch up with the next ones.
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

from batchcap.events import Paused, Throttled
from batchcap.interfaces import KeyValueStore, Observer
from batchcap.stopping import Stop

_SLACK = 0.02
_STRICT = 10.0
"""Seconds of lateness that a bucket may catch up, for the part of its rate above
`_STRICT` a second: a timer late by a millisecond costs slow buckets nothing, and a peer
that counts strictly then never sees two requests too close."""

_GUARD = 1e-3
"""Seconds added to the window, so that rounding never admits one request early: uvloop's
clock counts milliseconds."""

_LEARN_EVERY = 10.0
"""Seconds without a 429 after which a lowered rate grows, while requests wait."""

_LEARN_UP, _LEARN_DOWN = 1.1, 0.7
_SLOWEST, _FASTEST = 0.1, 100.0


class Priority(enum.IntEnum):
    """Finish what is started before starting more."""

    FINISH = 0
    POLL = 1
    START = 2


class Bucket:
    """One quota: `rate` requests per second at present, or None for no limit.

    The rate falls with every 429, since limits change and are shared, and grows back
    slowly while there is none. With `learns` it is a first guess and may grow beyond
    itself. `share` is the part of the quota that is ours, and contained in `rate`; what
    is remembered is the whole.
    """

    def __init__(  # noqa: PLR0913  # all that a bucket depends on, given by name
        self,
        name: str,
        rate: float | None,
        *,
        connections: anyio.Semaphore,
        stop: Stop,
        memory: KeyValueStore,
        observer: Observer,
        now: Callable[[], float],
        learns: bool = False,
        share: float = 1.0,
    ) -> None:
        self.name = name
        self._given = (rate or 0.0) / share
        self._ceiling = _FASTEST if learns else self._given
        self._connections, self._stop = connections, stop
        self._memory, self._observer, self._now = memory, observer, now
        self._queue: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._wanted = asyncio.Event()
        self._changed_at = _clock()
        learned = memory.get(f"rate.{name}") if rate is not None else None
        self._share = share
        self._set_rate(min(float(learned), self._ceiling) * share if learned else rate)
        self._paused_until = max(
            self._recalled(f"pause.{name}"), self._recalled(f"sent.{name}") + self.window
        )
        if left := self.paused_for:
            observer(Paused(name, left))

    async def turn(self, priority: Priority) -> None:
        """Wait until the next request may leave; then `release` must be called.

        Raises `Stopped` where the run is stopped first.
        """
        self._stop.check()
        if self._free():
            return
        wait = self._stop.future()
        heapq.heappush(self._queue, (priority, next(self._order), wait))
        self._wanted.set()
        try:
            await wait
        except BaseException:
            if wait.done() and not wait.cancelled() and wait.exception() is None:
                self.release()
            raise

    def release(self) -> None:
        """Give the connection of a turn back."""
        self._connections.release()

    def pause(self, seconds: float) -> None:
        """Let nobody send for so many seconds; the next run keeps to it too."""
        until = _clock() + seconds
        if until > self._paused_until:
            self._paused_until = until
            self._memory.set(f"pause.{self.name}", repr(self._now() + seconds))
            self._observer(Paused(self.name, seconds))

    def throttled(self, seconds: float) -> None:
        """A 429 came back: pause, and where the rate is learned, go slower."""
        self._observer(Throttled(self.name, seconds))
        if self.rate and _clock() >= self._paused_until:
            self._learn(self.rate * _LEARN_DOWN)
        self.pause(seconds)

    def observe(self, limit: float | None, remaining: float | None, reset: float | None) -> None:
        """Take in X-RateLimit headers; `reset` is seconds from now.

        A limit below our own rate binds, whatever period of a second or more it
        is meant for. An empty quota with a known refill is a pause.
        """
        if limit and self.rate and 0 < limit * self._share < self.rate:
            self._ceiling = limit
            self._set_rate(limit * self._share)
        if remaining == 0 and reset and math.isfinite(reset):
            self.pause(reset)

    def close(self) -> None:
        """Note the last send, so that a run that starts at once does not exceed the limit."""
        if self.rate is not None and self._sent:
            sent = self._now() - (_clock() - self._sent[-1])
            self._memory.set(f"sent.{self.name}", repr(sent))

    @property
    def waiting(self) -> int:
        """How many requests are in line."""
        return len(self._queue)

    @property
    def window(self) -> float:
        """Seconds in which `rate` rounded up is the most that may be sent; 0: no limit."""
        return self._window if self.rate is not None else 0.0

    @property
    def paused_for(self) -> float:
        """Seconds until the running pause is over; 0 where there is none."""
        return max(0.0, self._paused_until - _clock())

    async def dispatch(self) -> None:
        """Give turns, one after the other, until cancelled. Run once a bucket."""
        while True:
            await self._wanted.wait()
            await self._opening()
            if self._floor is not None:
                await self._floor.acquire()
            await self._connected()
            if self._closed_for() > 0 or not self._give():
                self._connections.release()

    async def _connected(self) -> None:
        try:
            self._connections.acquire_nowait()  # waiting looks at tasks and scopes first
        except anyio.WouldBlock:
            await self._connections.acquire()

    def _give(self) -> bool:
        """Hand the turn to the first in line; False where nobody waits any more."""
        given = False
        while self._queue and not given:
            _, _, wait = heapq.heappop(self._queue)
            if not wait.done():
                self._log()
                wait.set_result(None)
                given = True
        if not self._queue:
            self._wanted.clear()
        return given

    def _free(self) -> bool:
        """Take a turn at once where nothing limits, which spares the dispatcher."""
        if self.rate is not None or self._queue or self.paused_for:
            return False
        try:
            self._connections.acquire_nowait()
        except anyio.WouldBlock:
            return False
        return True

    def _log(self) -> None:
        if self.rate is None:
            return
        self._sent.append(_clock())
        below = self.rate < self._ceiling * self._share
        if below and self._queue and _clock() - self._changed_at >= _LEARN_EVERY:
            self._learn(self.rate * _LEARN_UP)

    async def _opening(self) -> None:
        while (seconds := self._closed_for()) > 0:  # noqa: ASYNC110  # a clock sets no event
            await anyio.sleep(seconds)

    def _closed_for(self) -> float:
        """Seconds until pause and window let a request through; not above 0: now."""
        now = _clock()
        closed = self._paused_until - now
        if self.rate is not None and len(self._sent) == self._sent.maxlen:
            closed = max(closed, self._sent[0] + self._window - now)
        return closed

    def _learn(self, rate: float) -> None:
        self._changed_at = _clock()
        slowest = min(_SLOWEST, self._ceiling)
        whole = min(max(rate / self._share, slowest), self._ceiling)
        self._set_rate(whole * self._share)
        self._memory.set(f"rate.{self.name}", "" if whole == self._given else repr(whole))

    def _set_rate(self, rate: float | None) -> None:
        """The log goes on, so that a new rate starts no burst."""
        self.rate = rate
        self._floor: AsyncLimiter | None = None
        if rate is None:
            return
        room = 1 + _SLACK * max(0.0, rate - _STRICT)
        self._floor = AsyncLimiter(room, room / rate)
        count = math.ceil(rate)
        self._window = count / rate + _GUARD
        self._sent: deque[float] = deque(getattr(self, "_sent", ()), maxlen=count)

    def _recalled(self, key: str) -> float:
        """A moment that an earlier run noted, on this loop's clock; long ago where it did not."""
        moment = self._memory.get(key)
        return _clock() + float(moment) - self._now() if moment else -math.inf


def _clock() -> float:
    return asyncio.get_running_loop().time()
