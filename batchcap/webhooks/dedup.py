"""The last so many ids, to know what comes again."""

from __future__ import annotations

from collections.abc import Hashable


class RecentIds:
    """Remembers the `most` ids that were added last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._ids: dict[Hashable, None] = {}

    def __contains__(self, identifier: Hashable) -> bool:
        return identifier in self._ids

    def add(self, identifier: Hashable) -> None:
        """Remember one, and forget the oldest where there are too many."""
        self._ids[identifier] = None
        if len(self._ids) > self._most:
            del self._ids[next(iter(self._ids))]
