"""One provider's API over HTTP: pace, send, classify, repeat what is safe.

A GET is repeated until it is answered (`Backoff`, 6 attempts); a POST only where
it surely did not arrive. A POST that may have arrived raises `Ambiguous`, and it
rides on a connection that idled for at most some seconds: one that the peer just
closes would make the outcome ambiguous for nothing.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Self
from urllib.parse import quote, urlencode

import orjson

from batchcap import __version__, failpoints
from batchcap.answers import Answer, clean
from batchcap.circuit import Circuit
from batchcap.errors import Ambiguous, Unavailable
from batchcap.events import RequestSent
from batchcap.http import Address, Client, Lost, NotSent, Patience, Response, decoded
from batchcap.interfaces import Leaving, Observer
from batchcap.model import Json
from batchcap.pacing import Bucket, Priority
from batchcap.retry import Backoff, http_date, retry_after
from batchcap.stopping import Stop

USER_AGENT = f"batchcap/{__version__}"

_LARGEST_ANSWER = 16 * 1024 * 1024
_SECRET = 12
"""Bytes from which on a credential can be told from a word."""

_IDLE = {"GET": 30.0, "POST": 3.0}
"""Seconds for which a connection may have idled."""

_PATIENCE = {
    "GET": Patience(connect=10.0, silence=30.0, head=60.0, whole=60.0),
    "POST": Patience(connect=10.0, silence=120.0, head=120.0, whole=120.0),
}
"""A HeyGen write may take 31 s (p99)."""


class Api:
    """Requests to one base URL, each within the budget of its bucket.

    Every method raises `Unavailable` where the retries are used up and `Stopped`
    where the run is stopped before the request left. Answers of any status below
    500 other than 408 and 429 are returned.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        read: Bucket,
        write: Bucket,
        stop: Stop,
        observer: Observer,
        now: Callable[[], float],
        backoff: Backoff | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        told = {"User-Agent": USER_AGENT, "Accept": "application/json", **headers}
        self._secrets = tuple(_secrets(headers))
        self._buckets = {"GET": read, "POST": write}
        self._stop, self._observer, self._now = stop, observer, now
        self._backoff = backoff or Backoff()
        self._address = Address.of(self.base_url)
        self._where = self._address.origin.named
        self._circuit = Circuit(self._where, stop, observer)
        self._client = Client(told)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    @property
    def read_rate(self) -> float | None:
        """GETs per second that the budget allows at present; None: no limit."""
        return self._buckets["GET"].rate

    @property
    def busy(self) -> bool:
        """Whether requests wait for a turn."""
        return any(bucket.waiting for bucket in self._buckets.values())

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, *, priority: Priority
    ) -> Answer:
        """Ask; repeated where that is worth it."""
        return await self._repeat("GET", path + _query(query), None, priority)

    async def post(
        self,
        path: str,
        body: Json | None = None,
        *,
        priority: Priority,
        leaving: Leaving | None = None,
    ) -> Answer:
        """Send once, after `leaving`. Raises `Ambiguous` where it may have arrived unanswered."""
        return await self._repeat("POST", path, body, priority, leaving)

    async def _repeat(
        self,
        method: str,
        path: str,
        body: Json | None,
        priority: Priority,
        leaving: Leaving | None = None,
    ) -> Answer:
        failures = 0
        patient = priority is Priority.START
        while True:
            try:
                return await self._once(method, path, body, priority, leaving)
            except Unavailable as error:
                excused = priority is not Priority.POLL and self._circuit.excuses(patient=patient)
                failures += not (error.retry_after or excused)
                delay = error.retry_after or self._backoff.delay(max(failures, 1))
                if isinstance(error, _Throttled):
                    self._buckets[method].throttled(delay)
                if failures >= self._backoff.attempts:
                    raise
                if not error.retry_after and not isinstance(error, _Throttled):
                    await self._stop.sleep(delay)

    async def _once(
        self,
        method: str,
        path: str,
        body: Json | None,
        priority: Priority,
        leaving: Leaving | None,
    ) -> Answer:
        bucket = self._buckets[method]
        await self._turn(bucket, priority)
        try:
            if leaving is not None:
                await leaving()
            self._observer(RequestSent(bucket.name))
            answer = await self._exchange(method, path, body)
        except NotSent as error:
            self._circuit.failed()
            raise Unavailable(f"no connection to {self._where}: {clean(str(error))}") from None
        except Lost as error:
            self._circuit.failed()
            lost = f"{method} {path.partition('?')[0]} got no answer: {clean(str(error))}"
            raise (Unavailable if method == "GET" else Ambiguous)(lost) from None
        finally:
            bucket.release()
        if method == "POST":
            failpoints.reach("answer read")
        self._limits(bucket, answer.headers)
        return self._judged(method, answer)

    async def _turn(self, bucket: Bucket, priority: Priority) -> None:
        """Wait for the quota; who got it in an outage gives it back and waits for the end."""
        goes = priority is Priority.POLL
        while True:
            if self._circuit.open and not goes:
                goes = await self._circuit.enter(patient=priority is Priority.START)
            await bucket.turn(priority)
            if goes or not self._circuit.open:
                return
            bucket.release()

    async def _exchange(self, method: str, path: str, body: Json | None) -> Answer:
        response = await self._client.request(
            method,
            self._address.below(path),
            None if body is None else orjson.dumps(body),
            patience=_PATIENCE[method],
            idle=_IDLE[method],
            sent=_reached_sent if body is not None else None,
        )
        with response:
            said = await _whole(response)
        for secret in self._secrets:  # a peer may repeat what it was sent
            said = said.replace(secret, b"***")
        return Answer(response.status, response.headers, said)

    def _judged(self, method: str, answer: Answer) -> Answer:
        if answer.status < 500 and answer.status not in {408, 429}:
            self._circuit.succeeded()
            return answer
        problem = answer.problem()
        pause = self._pause_asked(answer)
        if pause and answer.status != 429:
            self._buckets[method].pause(pause)
        if answer.status == 429:
            self._circuit.succeeded()
            raise _Throttled(str(problem), retry_after=pause)
        self._circuit.failed()
        if method == "POST":
            raise Ambiguous(f"the create was answered {problem}")
        raise Unavailable(str(problem), retry_after=pause)

    def _pause_asked(self, answer: Answer) -> float | None:
        """Seconds of the Retry-After; a date is judged by the peer's own clock."""
        theirs = http_date(answer.headers.get("date"))
        return retry_after(answer.headers.get("retry-after"), theirs or self._now())

    def _limits(self, bucket: Bucket, headers: Mapping[str, str]) -> None:
        if "x-ratelimit-remaining" in headers or "x-ratelimit-limit" in headers:
            reset = _number(headers.get("x-ratelimit-reset"))
            if reset is not None and reset > 1e9:
                reset = max(0.0, reset - self._now())
            limit = _number(headers.get("x-ratelimit-limit"))
            bucket.observe(limit, _number(headers.get("x-ratelimit-remaining")), reset)


async def _whole(response: Response) -> bytes:
    body, pieces, size = decoded(response), [], 0
    while piece := await body():
        pieces.append(piece)
        size += len(piece)
        if size > _LARGEST_ANSWER:
            raise Lost(f"more than {_LARGEST_ANSWER} bytes")
    return b"".join(pieces)


def _reached_sent() -> None:
    """Only a create has a body: the moment after which it may arrive."""
    failpoints.reach("request sent")


class _Throttled(Unavailable):
    """A 429."""


def _secrets(headers: Mapping[str, str]) -> Iterator[bytes]:
    """What must not be told of the authenticating headers, in each form that they have."""
    for value in headers.values():
        scheme, _, word = value.rpartition(" ")
        words = [word.encode()]
        if scheme == "Basic":
            with contextlib.suppress(ValueError):
                words += base64.b64decode(word).split(b":", 1)
        yield from (one for one in words if len(one) >= _SECRET)


def segment(name: str) -> str:
    """An id as one path segment, whatever it holds."""
    return quote(name, safe="") if name.strip(".") else name.replace(".", "%2E")


def _query(query: Mapping[str, str] | None) -> str:
    return "?" + urlencode(query) if query else ""


def _number(value: str | None) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None
