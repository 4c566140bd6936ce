"""What `batchcap forget` shows: what was done to rows, which stay and why, and counts."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from batchcap.app.forget import Withdrawal
from batchcap.domain.forgetting import ForgetScope, Hold
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.text import counted, printable

MAX_LISTED = 20
"""Rows that are named for each reason to stay."""

_REASONS = {
    Hold.NONE: "not paid for; without --delete-tracks they are removed",
    Hold.DONE: "done",
    Hold.PAID: "paid for",
    Hold.RUNNING: "with a job that may be running",
    Hold.UNKNOWN: "with an unknown outcome",
}
_HINTS = {
    Hold.RUNNING: "--cancel cancels running jobs",
    Hold.UNKNOWN: "--cancel looks unknown outcomes up first",
}


class ForgetView:
    """What the user sees: each row that something was done to, those that stay, and counts."""

    def __init__(self, ledger: LedgerReader, scope: ForgetScope, *, json: bool) -> None:
        self._ledger, self._scope, self._json = ledger, scope, json

    def print(self, line: str) -> None:
        """Print a line about one row."""
        print(printable(line), file=sys.stderr if self._json else sys.stdout)

    def count_tracks(self) -> int:
        """Return for how many rows a job may have added a track."""
        return sum(
            job_id is not None
            for hold in (Hold.DONE, Hold.PAID)
            for _, job_id in self._ledger.held_keys(self._scope, hold)
        )

    def show_plan(self, *, cancel: bool, tracks: bool, keeps_rows: bool) -> int:
        """Show what would happen; returns the exit status."""
        counts = self._ledger.count_holds(self._scope)
        free = 0 if keeps_rows else counts.pop(Hold.NONE, 0)
        track_count = self.count_tracks() if tracks else 0
        asked = {hold: counts.pop(hold) for hold in _HINTS if cancel and hold in counts}
        self._show_staying(counts)
        if self._json:
            shown = {"would_remove": free, "would_ask": asked, "would_delete_tracks": track_count}
            self._print_json({**shown, "stay": counts})
            return 0
        for hold, count in asked.items():
            how = "cancel the jobs of" if hold is Hold.RUNNING else "look up"
            print(f"would {how} {counted(count, 'row')} {_REASONS[hold]}, then remove them")
        print(f"would remove {counted(free, 'row')}{_staying(counts)}")
        if not (free or asked or counts):
            print("no row is in that selection")
        if tracks:
            print(f"would delete up to {counted(track_count, 'track')}")
        return 0

    def show_result(self, removed: int, asked: Withdrawal) -> None:
        """Show what was done, and what stays."""
        counts = self._ledger.count_holds(self._scope)
        self._show_staying(counts)
        if self._json:
            done = msgspec.to_builtins(asked)
            self._print_json({"removed": removed, **done, "stay": counts})
            return
        for count, noun, done in (
            (asked.cancelled, "job", "cancelled"),
            (asked.tracks_deleted, "track", "deleted"),
            (asked.tracks_kept, "track", "kept"),
        ):
            if count:
                print(f"{counted(count, noun)} {done}")
        print(f"removed {counted(removed, 'row')}{_staying(counts)}")
        if not (removed or counts):
            print("no row is in that selection")
        if removed:
            print("A manifest that lists a removed row brings it back when it is run again.")

    def _show_staying(self, counts: Mapping[Hold, int]) -> None:
        for hold, count in counts.items():
            keys = self._ledger.held_keys(self._scope, hold)
            for key, job_id in itertools.islice(keys, MAX_LISTED):
                self.print(f"stays, {_REASONS[hold]}: {key}{f' (job {job_id})' if job_id else ''}")
            if count > MAX_LISTED:
                self.print(f"stays, {_REASONS[hold]}: ... and {count - MAX_LISTED:,} more")

    def _print_json(self, shown: dict[str, Any]) -> None:
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")


def _staying(counts: Mapping[Hold, int]) -> str:
    """Return `; 3 stay: 2 done, 1 with a running job`, with what to do about them."""
    if not counts:
        return ""
    listed = ", ".join(f"{count:,} {_REASONS[hold]}" for hold, count in counts.items())
    hints = [_HINTS[hold] for hold in counts if hold in _HINTS]
    return f"; {sum(counts.values()):,} stay: {listed}{''.join(f'. {hint}' for hint in hints)}"
