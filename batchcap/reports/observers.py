"""Several observers as one."""

from __future__ import annotations

from batchcap.domain.events import Event
from batchcap.domain.protocols import Observer


def each(*observers: Observer) -> Observer:
    """Return an observer that calls each of `observers` in order."""

    def notify(event: Event) -> None:
        for observer in observers:
            observer(event)

    return notify
