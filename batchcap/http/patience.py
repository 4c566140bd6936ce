"""How long a request may take, and one timer for all that are in the air."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol

_EARLY = 2e-3
"""Seconds by which a timer may be early: uvloop's clock counts milliseconds."""


class Patience(NamedTuple):
    """Seconds: to connect, from one byte to the next, to the head of the answer, to its end."""

    connect: float
    silence: float
    head: float
    whole: float


class Waiting(Protocol):
    """Something that must not stay as it is for ever."""

    def due(self) -> float:
        """When it will be too late, on the loop's clock, as things are now."""
        ...

    def too_late(self) -> None:
        """Now it is. Watched no more."""
        ...


class Watch:
    """One timer for all that wait, instead of one that each would set and cancel."""

    def __init__(self) -> None:
        self._waiting: set[Waiting] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes = 0.0

    def follow(self, waiting: Waiting) -> None:
        """Watch it; to be said again where it may be due earlier than it was."""
        self._waiting.add(waiting)
        due = waiting.due()
        if self._timer is None or due < self._wakes:
            self._wake(due)

    def leave(self, waiting: Waiting) -> None:
        """Watch it no more. The timer finds out by itself."""
        self._waiting.discard(waiting)

    def close(self) -> None:
        """Stop watching."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes = when
        self._timer = asyncio.get_running_loop().call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time() + _EARLY
        for waiting in [one for one in self._waiting if one.due() <= now]:
            self._waiting.discard(waiting)
            waiting.too_late()
        if self._waiting:
            self._wake(min(one.due() for one in self._waiting))
