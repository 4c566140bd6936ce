"""Sends signed webhooks, and repeats them until the receiver accepts them.

Mux docs: an attempt times out after 5 s, and an event without a 2xx response is sent again
for 24 hours at growing intervals; an event may arrive twice nonetheless. HeyGen docs: the same,
with a timeout of 10 s.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import aiohttp

from batchcap.sandbox import random_draws
from batchcap.sandbox.request_log import RequestLog
from batchcap.sandbox.webhooks.payloads import (
    OutgoingEvent,
    Provider,
    attempt_record,
    sign,
    unrelated_event,
)
from batchcap.sandbox.webhooks.scheduler import Scheduler
from batchcap.sandbox.world import World

_RESPONSE_TIMEOUTS: Mapping[Provider, float] = {"mux": 5.0, "heygen": 10.0}  # loop seconds
_MAX_CONCURRENT = 32
"""Maximum number of open attempts. Others wait in a queue."""

_KEEPALIVE = 1.0
"""Loop seconds after which an idle connection is not used again. The receiver may be about to
close it, and an attempt that fails for that reason is repeated only much later."""

_RETRY_PERIOD = 86400.0  # sandbox seconds


class Delivery:
    """An event that is being sent, with its attempts so far in Mux's format."""

    def __init__(self, event: OutgoingEvent) -> None:
        self.event = event
        self.attempts: list[dict[str, Any]] = []


class WebhookSender:
    """Sends events to the URLs that the options name at the time of each attempt.

    Events that are not delivered when the sandbox stops are dropped.
    """

    def __init__(self, world: World, request_log: RequestLog) -> None:
        self._world, self._request_log = world, request_log
        self._scheduler = Scheduler(world)
        self._queue: deque[Delivery] = deque()
        self._open_attempts: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    def send(self, event: OutgoingEvent) -> None:
        """Send an event after `webhook_delay`, unless a fault changes that."""
        options = self._world.options
        if self._is_hit("webhook_foreign", event.id):
            unrelated = unrelated_event(event, options.seed)
            self._schedule(unrelated, event.time + options.webhook_delay)
        if self._is_hit("webhook_lost", event.id):
            self._count(event, "lost")
            return
        due = event.time + options.webhook_delay
        if self._is_hit("webhook_reordered", event.id):
            # The earlier an event, the later it is sent: no two of a job keep their order.
            late = (1 + event.later_events) * options.webhook_late_seconds
            due = event.last_event_at + options.webhook_delay + late
        self._schedule(event, due)
        if self._is_hit("webhook_duplicate", event.id):
            is_delayed = random_draws.integer(2, options.seed, "again", event.id)
            self._schedule(event, due + options.webhook_retry * is_delayed)

    def on_change(self, identifier: str) -> None:
        """Do nothing: events come by `send`."""

    def on_options(self) -> None:
        """Send what became due when the clock was put forward."""
        self._scheduler.set_active(True)
        self._scheduler.run_due()

    async def stop(self) -> None:
        """Drop all events and cancel open attempts."""
        self._scheduler.set_active(False)
        self._queue.clear()
        open_attempts = tuple(self._open_attempts)
        for task in open_attempts:
            task.cancel()
        if open_attempts:
            await asyncio.wait(open_attempts)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _is_hit(self, fault: str, key: str, attempt: int = 0) -> bool:
        is_hit = self._world.faults.hits(fault, key, attempt)
        if is_hit:
            self._request_log.faults[fault] += 1
        return is_hit

    def _count(self, event: OutgoingEvent, result: str) -> None:
        self._request_log.webhooks[event.provider, result] += 1

    def _schedule(self, event: OutgoingEvent, due: float) -> None:
        self._scheduler.run_at(due, partial(self._enqueue, Delivery(event)))

    def _enqueue(self, delivery: Delivery) -> None:
        self._queue.append(delivery)
        self._start_attempts()

    def _start_attempts(self) -> None:
        while self._queue and len(self._open_attempts) < _MAX_CONCURRENT:
            task = asyncio.get_running_loop().create_task(self._attempt(self._queue.popleft()))
            self._open_attempts.add(task)
            task.add_done_callback(self._on_attempt_done)

    def _on_attempt_done(self, task: asyncio.Task[None]) -> None:
        self._open_attempts.discard(task)
        self._start_attempts()

    async def _attempt(self, delivery: Delivery) -> None:
        options, event = self._world.options, delivery.event
        url = options.mux_webhook_url if event.provider == "mux" else options.heygen_webhook_url
        if not url:
            return
        self._count(event, "sent")
        if delivery.attempts:
            self._count(event, "retried")
        status = await self._post(delivery, url)
        if status is not None and 200 <= status < 300:
            self._count(event, "accepted")
        else:
            self._retry(delivery, url, status)

    async def _post(self, delivery: Delivery, url: str) -> int | None:
        """Return the status of the receiver's response, or None if there is none in time."""
        event, attempts = delivery.event, delivery.attempts
        forged = self._is_hit("webhook_bad_signature", event.id, len(attempts))
        now = self._world.clock.now()
        body, headers = sign(event, self._world.options, attempts, now, forged=forged)
        try:
            # Redirects are not followed: they might lead to another machine.
            async with self._open_session().post(
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=_timeout(_RESPONSE_TIMEOUTS[event.provider]),
            ) as response:
                await response.read()
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=_MAX_CONCURRENT, keepalive_timeout=_KEEPALIVE)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session

    def _retry(self, delivery: Delivery, url: str, status: int | None) -> None:
        now, number = self._world.clock.now(), len(delivery.attempts)
        delays = retry_delays(self._world.options.webhook_retry)
        record = attempt_record(delivery.event, number, now, url, status, len(delays) + 1)
        delivery.attempts.append(record)
        if number < len(delays):
            self._scheduler.run_at(now + delays[number], partial(self._enqueue, delivery))
        else:
            self._count(delivery.event, "given_up")


@lru_cache(maxsize=4)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    # aiohttp rounds timeouts above ceil_threshold up to whole seconds of its loop.
    return aiohttp.ClientTimeout(total=seconds, ceil_threshold=seconds + 1)


@lru_cache(maxsize=16)
def retry_delays(first: float) -> tuple[float, ...]:
    """Return the sandbox seconds between attempts: each twice the last, 24 hours in all."""
    delays: list[float] = []
    while sum(delays) + first <= _RETRY_PERIOD:
        delays.append(first)
        first *= 2
    return tuple(delays)
