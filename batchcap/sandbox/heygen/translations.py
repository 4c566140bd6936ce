"""Translations that were created in the sandbox, their batches, and repeated creates.

HeyGen docs: a create with an `Idempotency-Key` that was used within 24 hours gets the original
response, even if its body differs; while the original is in progress, it gets a 409.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from math import inf

import msgspec

from batchcap.sandbox.http_types import Response

IDEMPOTENCY_SECONDS = 86400.0
"""How long the response to a create is repeated for its key."""


class Translation(msgspec.Struct, frozen=True):
    """A created translation into one language. Times are sandbox times."""

    id: str
    language: str
    """HeyGen's name of the language."""
    seconds: float
    """Length of the video, which is what HeyGen bills."""
    dollars: float
    created: float
    starts: float | None
    """None: it never starts, because others never end."""
    ends: float | None
    """None: it never ends."""
    enable_caption: bool = False
    title: str | None = None
    callback_id: str | None = None
    batch_id: str | None = None
    item_index: int | None = None


class Repeatable(msgspec.Struct, frozen=True):
    """The response to a create, which its Idempotency-Key repeats."""

    created: float
    in_progress_until: float
    status: int
    body: bytes


class TranslationStore(msgspec.Struct):
    """All created translations by id, in order of creation, and the responses by key."""

    by_id: dict[str, Translation] = {}
    responses: dict[str, Repeatable] = {}

    def __iter__(self) -> Iterator[Translation]:
        return iter(self.by_id.values())

    def add(self, translations: Sequence[Translation]) -> None:
        """Add translations of one create or batch."""
        self.by_id.update((translation.id, translation) for translation in translations)

    def batch(self, batch_id: str) -> list[Translation]:
        """Return the items of a batch in their order, none if it is unknown."""
        return [item for item in self if item.batch_id == batch_id]

    def running(self, now: float) -> list[Translation]:
        """Return the translations that have not ended."""
        return [item for item in self if item.ends is None or item.ends > now]

    def next_starts(
        self, now: float, lengths: Sequence[float | None], slots: int
    ) -> list[float | None]:
        """Return when each of some new translations starts if at most `slots` run at once.

        A length of None is that of a translation that never ends. A start of None is never.
        """
        ends = [_infinite(item.ends) for item in self.running(now)]
        heapq.heapify(ends)
        starts: list[float | None] = []
        for length in lengths:
            start = now if len(ends) < slots else heapq.heappop(ends)
            starts.append(None if start == inf else start)
            heapq.heappush(ends, start + _infinite(length))
        return starts

    def repeated(self, key: str, now: float) -> Repeatable | None:
        """Return the response that a key repeats, or None if the key is new or too old."""
        response = self.responses.get(key)
        return response if response and now < response.created + IDEMPOTENCY_SECONDS else None

    def remember(self, key: str, response: Response, now: float, seconds: float) -> None:
        """Repeat a response from now on; for `seconds` its create is in progress."""
        self.responses[key] = Repeatable(now, now + seconds, response.status, response.body)


def _infinite(seconds: float | None) -> float:
    return inf if seconds is None else seconds
