"""How long a request may take, and one timer for all that are in the air."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Protocol

_EVERY = 0.25
"""Seconds from one look to the next; nothing that is waited for is shorter, and a timer of
its own for each request costs more than the look."""


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
        """Now it is."""
        ...


class Watch:
    """One timer for all that wait; whoever is late hears of it within `_EVERY` seconds."""

    def __init__(self) -> None:
        self._waiting: set[Waiting] = set()
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, waiting: Waiting) -> None:
        """Watch it until it leaves."""
        self._waiting.add(waiting)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_EVERY, self._look)

    def leave(self, waiting: Waiting) -> None:
        """Watch it no more. The timer finds out by itself."""
        self._waiting.discard(waiting)

    def close(self) -> None:
        """Stop watching."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for waiting in [one for one in self._waiting if one.due() <= now]:
            waiting.too_late()
        self._timer = loop.call_later(_EVERY, self._look) if self._waiting else None
