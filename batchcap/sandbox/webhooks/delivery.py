"""Webhooks on their way: signed, repeated until they are taken, at most so many at once.

Mux docs: an attempt times out after 5 s, and what is not answered with 2xx is sent again
for 24 hours at growing distances; an event may come twice even so. HeyGen says nothing of
this; here its events travel alike.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import lru_cache, partial
from typing import Any

import aiohttp

from batchcap.sandbox import random_draws
from batchcap.sandbox.request_log import RequestLog
from batchcap.sandbox.webhooks.payloads import Notice, sealed, stranger, tried
from batchcap.sandbox.webhooks.scheduler import Agenda
from batchcap.sandbox.world import Scene

_TIMEOUT = 5.0
"""Loop seconds that the receiver has for its answer."""

_MOST = 32
"""Attempts in the air at once; others wait for their turn."""

_RESTED = 1.0
"""Loop seconds after which a connection is not used again: the receiver may be about to close it,
and an attempt that fails for that reason would come again much later."""

_DAY = 86400.0


class Delivery:
    """One event on its way, and the attempts so far as Mux tells them in its envelope."""

    def __init__(self, notice: Notice) -> None:
        self.notice = notice
        self.attempts: list[dict[str, Any]] = []


class Webhooks:
    """Sends notices to the URLs that the options name at the time of each attempt.

    What is still on its way when the sandbox stops does not arrive.
    """

    def __init__(self, scene: Scene, journal: RequestLog) -> None:
        self._scene, self._request_log = scene, journal
        self._agenda = Agenda(scene)
        self._queue: deque[Delivery] = deque()
        self._air: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def post(self, notice: Notice) -> None:
        """Send it after `webhook_delay`, unless a fault has other plans."""
        options = self._scene.options
        if self._hit("webhook_foreign", notice.id):
            self._plan(stranger(notice, options.seed), notice.when + options.webhook_delay)
        if self._hit("webhook_lost", notice.id):
            self._count(notice, "lost")
            return
        due = notice.when + options.webhook_delay
        if self._hit("webhook_reordered", notice.id):
            # The earlier one is the later it comes, so that no two of them keep their order.
            behind = (1 + notice.followers) * options.webhook_late_seconds
            due = notice.last + options.webhook_delay + behind
        self._plan(notice, due)
        if self._hit("webhook_duplicate", notice.id):
            gap = options.webhook_retry * random_draws.pick(2, options.seed, "again", notice.id)
            self._plan(notice, due + gap)

    def heard(self, identifier: str) -> None:
        """Nothing: events come by `post`."""

    def adjusted(self) -> None:
        """Send what is due by the clock that was changed."""
        self._agenda.switch(True)
        self._agenda.run()

    async def stop(self) -> None:
        """Drop whatever is on its way."""
        self._agenda.switch(False)
        self._queue.clear()
        air = tuple(self._air)
        for task in air:
            task.cancel()
        if air:
            await asyncio.wait(air)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _hit(self, fault: str, key: str, attempt: int = 0) -> bool:
        hit = self._scene.faults.fate(fault, key, attempt)
        if hit:
            self._request_log.faults[fault] += 1
        return hit

    def _count(self, notice: Notice, what: str) -> None:
        self._request_log.webhooks[notice.provider, what] += 1

    def _plan(self, notice: Notice, due: float) -> None:
        self._agenda.at(due, partial(self._launch, Delivery(notice)))

    def _launch(self, delivery: Delivery) -> None:
        self._queue.append(delivery)
        self._fill()

    def _fill(self) -> None:
        while self._queue and len(self._air) < _MOST:
            task = asyncio.get_running_loop().create_task(self._attempt(self._queue.popleft()))
            self._air.add(task)
            task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._air.discard(task)
        self._fill()

    async def _attempt(self, delivery: Delivery) -> None:
        options, notice = self._scene.options, delivery.notice
        url = options.mux_webhook_url if notice.provider == "mux" else options.heygen_webhook_url
        if not url:
            return
        self._count(notice, "sent")
        if delivery.attempts:
            self._count(notice, "retried")
        status = await self._status(delivery, url)
        if status is not None and 200 <= status < 300:
            self._count(notice, "accepted")
        else:
            self._again(delivery, url, status)

    async def _status(self, delivery: Delivery, url: str) -> int | None:
        """What the receiver answers; None where it does not, or not in time."""
        options, notice, attempts = self._scene.options, delivery.notice, delivery.attempts
        forged = self._hit("webhook_bad_signature", notice.id, len(attempts))
        now = self._scene.clock.now()
        body, headers = sealed(notice, options, attempts, now, forged=forged)
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=_MOST, keepalive_timeout=_RESTED)
            # From ceil_threshold on aiohttp rounds up, to six seconds here.
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT, ceil_threshold=_TIMEOUT + 1)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        try:
            # No redirect is followed: it might lead away from this machine.
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return None

    def _again(self, delivery: Delivery, url: str, status: int | None) -> None:
        now, number = self._scene.clock.now(), len(delivery.attempts)
        delays = waits(self._scene.options.webhook_retry)
        most = len(delays) + 1
        delivery.attempts.append(tried(delivery.notice, number, now, url, status, most))
        if number < len(delays):
            self._agenda.at(now + delays[number], partial(self._launch, delivery))
        else:
            self._count(delivery.notice, "given_up")


@lru_cache(maxsize=16)
def waits(first: float) -> tuple[float, ...]:
    """The sandbox seconds between the attempts: each twice the one before, a day in all."""
    found: list[float] = []
    while sum(found) + first <= _DAY:
        found.append(first)
        first *= 2
    return tuple(found)
