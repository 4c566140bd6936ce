"""Runs actions at their sandbox time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from batchcap.sandbox.world import World

Action = Callable[[], None]


class Scheduler:
    """Runs actions in the order of their sandbox times, none of them early.

    However many actions there are, it uses one timer of the event loop. An inactive
    scheduler, as it is at first, ignores new actions.
    """

    def __init__(self, world: World) -> None:
        self.is_active = False
        self._world = world
        self._heap: list[tuple[float, int, Action]] = []
        self._serial = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def run_at(self, due: float, action: Action) -> None:
        """Run the action at that time, in a later turn of the loop if that is already past."""
        if not self.is_active:
            return
        entry = (due, next(self._serial), action)
        heapq.heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._set_timer()

    def run_due(self) -> None:
        """Run all actions that are due. Must be called when the clock was put forward."""
        if not self._heap:
            return
        now = self._world.clock.now()
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()
        self._set_timer()

    def set_active(self, active: bool) -> bool:
        """Activate or deactivate; returns whether it was inactive and is active now.

        Deactivating discards all actions.
        """
        was_activated = active and not self.is_active
        self.is_active = active
        if not active:
            self._heap.clear()
            self._set_timer()
        return was_activated

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wait = self._world.clock.loop_seconds_until(self._heap[0][0]) if self._heap else None
        if wait is not None:
            self._timer = asyncio.get_running_loop().call_later(wait, self.run_due)
