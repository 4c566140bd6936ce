"""What changed in a ledger since the last look at it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import Totals
from batchcap.reports.html import message
from batchcap.reports.snapshot import KEY, Snapshot, decode

OVERLAP = 10.0
"""Seconds by which an outcome may be committed after the time that it has."""
ROWS = 500
"""Rows of one message: a reader that is slow holds up no more than a few of them."""
TOTALS_SHARE = 0.01
"""Share of the time for which the ledger may be counted: that reads every row."""
MINUTES = 2
"""Minutes whose counts still change: the present one and the one before."""


class Changes(msgspec.Struct, frozen=True):
    """What one look found: messages, or that rows came, went or were put back.

    Then the readers need all rows again.
    """

    messages: Sequence[bytes]
    is_other: bool = False


class Watch:
    """Looks at a ledger again and again. All calls must come from one thread.

    The first look finds nothing: it is where the changes begin. `now` gives unix seconds.
    """

    def __init__(
        self,
        open_ledger: Callable[[], LedgerReader],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._ledger = open_ledger()
        self._version = -1
        self._since = 0.0
        self._versions: dict[int, float] = {}
        self._open: set[int] = set()  # rows that are pending and have a job
        self._totals, self._totals_due, self._is_counted = Totals(), 0.0, False
        self._snapshot: Snapshot | None = None
        self._start()

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()

    def look(self, snapshot: Snapshot | None, is_last: bool) -> Changes:
        """Return what changed since the last look.

        `snapshot` is that of the run in this process, if it is not the stored one. The last look
        counts the totals in any case.
        """
        version = self._ledger.data_version()
        is_same = version == self._version and snapshot == self._snapshot
        if is_same and self._is_counted and not is_last:
            return Changes(())
        if version != self._version:
            self._is_counted = False
        self._version = version
        rows = self._changed_rows()
        is_other = self._count(at_once=is_last)
        self._snapshot = snapshot
        return Changes(list(self._messages(rows, snapshot)), is_other)

    def _start(self) -> None:
        self._since = self._now()
        self._versions = self._ledger.row_versions(self._since - OVERLAP)
        self._open = set(self._versions)
        self._count(at_once=True)

    def _changed_rows(self) -> list[dict[str, Any]]:
        since, self._since = self._since, self._now()
        versions = self._ledger.row_versions(since - OVERLAP)
        changed = [row for row, version in versions.items() if self._versions.get(row) != version]
        changed += self._open - versions.keys()
        self._versions = versions
        results = self._ledger.results_of(changed)
        for row, result in results.items():
            if result["state"] == "pending" and row in versions:
                self._open.add(row)
            else:
                self._open.discard(row)
        return list(results.values())

    def _count(self, *, at_once: bool) -> bool:
        """Count the totals if it is their time; return whether rows came, went or were put back."""
        started = time.monotonic()
        if self._is_counted or (started < self._totals_due and not at_once):
            return False
        self._is_counted = True
        before, self._totals = self._totals, self._ledger.totals()
        ended = time.monotonic()
        self._totals_due = ended + (ended - started) / TOTALS_SHARE
        return before.total != self._totals.total or before.pending < self._totals.pending

    def _messages(self, rows: list[dict[str, Any]], snapshot: Snapshot | None) -> Iterator[bytes]:
        minutes = list(self._ledger.minutes(int(self._now() // 60) - MINUTES + 1))
        for first in range(ROWS, len(rows), ROWS):
            yield message(rows=rows[first : first + ROWS]).encode()
        yield message(
            rows=rows[:ROWS],
            totals=self._totals,
            minutes=minutes,
            snapshot=snapshot or stored_snapshot(self._ledger),
        ).encode()


def whole_state(ledger: LedgerReader) -> Iterator[bytes]:
    """Yield messages with all that a ledger holds; the last one has the counts of minutes."""
    results = iter(ledger.results())
    while rows := list(islice(results, ROWS)):
        yield message(rows=rows).encode()
    yield message(
        totals=ledger.totals(),
        minutes=ledger.minutes(),
        snapshot=stored_snapshot(ledger),
    ).encode()


def stored_snapshot(ledger: LedgerReader) -> Snapshot | None:
    """Return the snapshot that the last run stored, or None."""
    return decode(ledger.values(KEY).get(KEY))
