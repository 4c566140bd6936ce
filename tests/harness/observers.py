"""An observer that records events."""

from __future__ import annotations

from typing import TypeVar

from batchcap.domain.events import Event

E = TypeVar("E", bound=Event)


class Recorder:
    """An `Observer` that keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]
