"""What is still to happen, and at which sandbox time."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from batchcap.sandbox.world import Scene

Action = Callable[[], None]


class Agenda:
    """Carries out actions in the order of their sandbox times, none before its time.

    One timer of the loop waits for the earliest of them, however many there are. A closed
    agenda, as it is at first, takes nothing.
    """

    def __init__(self, scene: Scene) -> None:
        self.open = False
        self._scene = scene
        self._entries: list[tuple[float, int, Action]] = []
        self._serial = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def at(self, due: float, action: Action) -> None:
        """Have it done at that time; what is due already waits for the loop's next turn."""
        if not self.open:
            return
        entry = (due, next(self._serial), action)
        heapq.heappush(self._entries, entry)
        if self._entries[0] is entry:
            self._arm()

    def run(self) -> None:
        """Do all that is due by now; to be called too where the clock was put forward."""
        if not self._entries:
            return
        now = self._scene.clock.now()
        while self._entries and self._entries[0][0] <= now:
            heapq.heappop(self._entries)[2]()
        self._arm()

    def switch(self, on: bool) -> bool:
        """Open or close it; closed, it forgets everything. Tells whether it was opened now."""
        opened = on and not self.open
        self.open = on
        if not on:
            self._entries.clear()
            self._arm()
        return opened

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wait = self._scene.clock.until(self._entries[0][0]) if self._entries else None
        if wait is not None:
            self._timer = asyncio.get_running_loop().call_later(wait, self.run)
