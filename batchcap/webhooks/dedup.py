"""Remembers the most recent ids, to recognise an event that arrives again."""

from __future__ import annotations

from collections.abc import Hashable


class RecentIds:
    """Remembers the `max_ids` ids that were added last."""

    def __init__(self, max_ids: int) -> None:
        self._max_ids = max_ids
        self._ids: dict[Hashable, None] = {}

    def __contains__(self, identifier: Hashable) -> bool:
        return identifier in self._ids

    def add(self, identifier: Hashable) -> None:
        """Remember an id, and forget the oldest one if there are too many."""
        self._ids[identifier] = None
        if len(self._ids) > self._max_ids:
            del self._ids[next(iter(self._ids))]
