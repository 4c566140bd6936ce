"""Requests to one provider's API: wait for the quota, send, judge the status, retry what is safe.

A GET or DELETE is retried until there is a response (`Backoff`, 6 attempts). A POST is sent
from a slot (`Api.send_slot`), once for each slot: it raises `NotAccepted` if it surely did not
arrive and `Ambiguous` if it may have.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import NoReturn, Self
from urllib.parse import quote, urlencode

from batchcap.domain import failpoints
from batchcap.domain.backoff import Backoff
from batchcap.domain.errors import Ambiguous, NotAccepted, Unavailable
from batchcap.domain.events import RequestEnded, RequestSent, Waiting
from batchcap.domain.models import Json
from batchcap.domain.protocols import Observer
from batchcap.domain.shutdown import ShutdownToken
from batchcap.transport.circuit_breaker import CircuitBreaker
from batchcap.transport.first_contact import FirstContact
from batchcap.transport.http_errors import BodyLost, NotSent, ResponseLost
from batchcap.transport.rate_limiter import Bucket, Priority
from batchcap.transport.response import ApiResponse, sanitize
from batchcap.transport.retry_after import http_date, retry_after
from batchcap.transport.sender import Sender


class Api:
    """Requests to one provider, each within the quota of its bucket.

    Responses of any status below 500 other than 408 and 429 are returned.

    Raises:
        Unavailable: The attempts are used up.
        FatalError: The provider did not respond once in the first minute.
        Stopped: The run was stopped before the request was sent.
    """

    def __init__(
        self,
        sender: Sender,
        provider: str,
        *,
        read: Bucket,
        write: Bucket,
        stop: ShutdownToken,
        observer: Observer,
        now: Callable[[], float],
        backoff: Backoff | None = None,
    ) -> None:
        self._sender = sender
        self._provider = provider
        self._buckets = {"GET": read, "DELETE": read, "POST": write}
        self._stop, self._observer, self._now = stop, observer, now
        self._backoff = backoff or Backoff()
        self._circuit = CircuitBreaker(sender.host, stop, observer)
        self._first_contact = FirstContact(provider, observer)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sender.close()

    @property
    def read_rate(self) -> float | None:
        """GETs per second that the quota allows at present; None: no limit."""
        return self._buckets["GET"].rate

    @property
    def backlog_seconds(self) -> float:
        """Seconds that the requests which wait for a turn take at the present rates."""
        return max(
            bucket.waiting / bucket.rate if bucket.rate else 0.0
            for bucket in self._buckets.values()
        )

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, *, priority: Priority
    ) -> ApiResponse:
        """Send a GET, and retry it until there is a response or the attempts are used up.

        Raises:
            Unavailable: All attempts failed.
            FatalError: The provider has never responded in this run.
            Stopped: The run is stopped while the request waits.
        """
        return await self._with_retries("GET", path + _query(query), priority)

    async def delete(self, path: str, *, priority: Priority) -> ApiResponse:
        """Send a DELETE, and retry it as `get` does: a repeated DELETE is harmless.

        A 404 may therefore mean success. Raises what `get` raises.
        """
        return await self._with_retries("DELETE", path, priority)

    async def _with_retries(self, method: str, path: str, priority: Priority) -> ApiResponse:
        failures = attempt = 0
        while True:
            attempt += 1
            began = _clock()
            try:
                bucket = await self._acquire(method, priority)
                try:
                    response = await self._send(method, path, None, began, attempt)
                finally:
                    bucket.release()
                return self._check_status(method, response)
            except Unavailable as error:
                failures, delay = self._after_failure(method, error, failures, priority)
                if delay:
                    reason = f"the next attempt, after {error.message}"
                    self._observer(Waiting(self._provider, reason, delay))
                await self._stop.sleep(delay)

    @asynccontextmanager
    async def send_slot(
        self, priority: Priority = Priority.START, failures: int = 0
    ) -> AsyncIterator[SendSlot]:
        """Wait for the quota, a connection and the end of an outage; then one POST may leave.

        `failures` is how often this POST failed before, see `NotAccepted`.

        Raises:
            Stopped: The run is stopped first.
        """
        began = _clock()
        bucket = await self._acquire("POST", priority)
        slot = SendSlot(bucket, partial(self._post, priority, failures, began))
        try:
            yield slot
        finally:
            slot.release()

    async def _post(
        self, priority: Priority, failures: int, began: float, path: str, body: Json | None
    ) -> ApiResponse:
        try:
            response = await self._send("POST", path, body, began, failures + 1)
            return self._check_status("POST", response)
        except Unavailable as error:
            failures, delay = self._after_failure("POST", error, failures, priority)
            raise NotAccepted(error.message, failures=failures, delay=delay) from None

    def _after_failure(
        self, method: str, error: Unavailable, failures: int, priority: Priority
    ) -> tuple[int, float]:
        """Count a failure; return the count and the seconds to wait before the next attempt.

        A failure does not count if the provider asked for a pause, if there is an outage, or if
        the provider has not been reached yet.
        After a 429 the whole bucket waits, so this request has no wait of its own.

        Raises:
            Unavailable: The attempts are used up.
        """
        if not self._first_contact.is_made:
            return failures, self._first_contact.delay()
        extended = priority is Priority.START
        excused = priority is not Priority.POLL and self._circuit.is_outage(extended_wait=extended)
        failures += not (error.retry_after or excused)
        delay = error.retry_after or self._backoff.delay(max(failures, 1))
        throttled = isinstance(error, _Throttled)
        if throttled:
            self._buckets[method].throttled(delay)
        if failures >= self._backoff.attempts:
            raise error
        return failures, 0.0 if throttled or error.retry_after else delay

    async def _acquire(self, method: str, priority: Priority) -> Bucket:
        """Wait for the quota; the caller releases the bucket that is returned.

        A request that gets its turn in an outage gives it back and waits for the end.
        """
        bucket, goes = self._buckets[method], priority is Priority.POLL
        while True:
            if self._circuit.is_open and not goes:
                goes = await self._circuit.wait_until_closed(
                    extended_wait=priority is Priority.START
                )
            await bucket.acquire(priority)
            if goes or not self._circuit.is_open:
                return bucket
            bucket.release()

    async def _send(
        self, method: str, path: str, body: Json | None, began: float, attempt: int
    ) -> ApiResponse:
        """Send one request, and return its response whatever its status.

        `began` is when it began to wait for the quota.
        """
        bucket = self._buckets[method]
        self._observer(RequestSent(bucket.name))
        self._first_contact.begin()
        sent, status, request_id = _clock(), None, None
        try:
            response = await self._sender.send(method, path, body)
            status, request_id = response.status, response.request_id
        except NotSent as error:
            self._circuit.record_failure()
            reason = f"cannot connect to {self._sender.host}: {sanitize(str(error))}"
            self._first_contact.failed(reason)
            raise Unavailable(reason) from None
        except ResponseLost as error:
            self._lost(method, path, error)
        finally:
            shown, took = path.partition("?")[0], _clock() - sent
            self._observer(
                RequestEnded(
                    bucket.name,
                    method,
                    shown,
                    status,
                    took,
                    sent - began,
                    request_id,
                    attempt,
                    self._provider,
                )
            )
        self._first_contact.is_made = True
        if method == "POST":
            failpoints.reach("response read")
        self._update_limits(bucket, response.headers)
        return response

    def _lost(self, method: str, path: str, error: ResponseLost) -> NoReturn:
        """Raise what a lost response means.

        Raises:
            Ambiguous: It was a POST, which may have arrived.
            Unavailable: It was a GET or DELETE.
            FatalError: It was a GET or DELETE, and the provider never responded.
        """
        self._circuit.record_failure()
        self._first_contact.is_made |= isinstance(error, BodyLost)
        lost = f"{method} {path.partition('?')[0]} got no response: {sanitize(str(error))}"
        reason = f"no response from {self._sender.host}: {sanitize(str(error))}"
        if method == "POST":
            self._first_contact.warn(reason)
            raise Ambiguous(lost) from None
        self._first_contact.failed(reason)
        raise Unavailable(lost) from None

    def _check_status(self, method: str, response: ApiResponse) -> ApiResponse:
        if response.status < 500 and response.status not in {408, 429}:
            self._circuit.record_success()
            return response
        error = response.error()
        pause = self._pause_asked(response)
        if pause and response.status != 429:
            self._buckets[method].pause(pause)
        if response.status == 429:
            self._circuit.record_success()
            raise _Throttled(str(error), retry_after=pause)
        self._circuit.record_failure(responded=True)
        if method == "POST":
            raise Ambiguous(f"the response to the create was {error}")
        raise Unavailable(str(error), retry_after=pause)

    def _pause_asked(self, response: ApiResponse) -> float | None:
        """Seconds of the Retry-After. A date in it is compared with the server's own clock."""
        server_time = http_date(response.headers.get("date"))
        return retry_after(response.headers.get("retry-after"), server_time or self._now())

    def _update_limits(self, bucket: Bucket, headers: Mapping[str, str]) -> None:
        if "x-ratelimit-remaining" in headers or "x-ratelimit-limit" in headers:
            reset = _number(headers.get("x-ratelimit-reset"))
            if reset is not None and reset > 1e9:
                reset = max(0.0, reset - self._now())
            limit = _number(headers.get("x-ratelimit-limit"))
            bucket.update_from_headers(limit, _number(headers.get("x-ratelimit-remaining")), reset)


class SendSlot:
    """Room for one POST: its turn in the bucket and a connection."""

    def __init__(
        self, bucket: Bucket, post: Callable[[str, Json | None], Awaitable[ApiResponse]]
    ) -> None:
        self._bucket: Bucket | None = bucket
        self._post = post

    async def post(self, path: str, body: Json | None) -> ApiResponse:
        """Send the one POST that there is room for, and give the room back.

        Raises:
            NotAccepted: The provider surely did not act on it: no connection, or a 429.
                It may be sent again, in another slot.
            Unavailable: As `NotAccepted`, but the attempts are used up.
            Ambiguous: It may have arrived.
        """
        try:
            return await self._post(path, body)
        finally:
            self.release()

    def release(self) -> None:
        """Give the room back, unless that is done."""
        if self._bucket is not None:
            self._bucket.release()
            self._bucket = None


class _Throttled(Unavailable):
    """A 429."""


def quote_path_segment(name: str) -> str:
    """Quote an id as one path segment, whatever it contains."""
    return quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")


def _query(query: Mapping[str, str] | None) -> str:
    return "?" + urlencode(query) if query else ""


def _clock() -> float:
    return asyncio.get_running_loop().time()


def _number(value: str | None) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None
