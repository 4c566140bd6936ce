"""The progress line of `batchcap manifest`, and its last line."""

from __future__ import annotations

import sys
import time

from batchcap.app.account_manifest import Walk
from batchcap.domain.events import Event, Warned
from batchcap.domain.text import printable
from batchcap.providers import ProviderSpec

LINE_INTERVAL = 5.0  # seconds between two lines if there is no terminal
REFRESH_INTERVAL = 0.5  # seconds between two updates of the line on a terminal


class AccountProgress:
    """Shows on stderr how far a walk through an account has come, unless `quiet`."""

    def __init__(self, spec: ProviderSpec, *, quiet: bool) -> None:
        assert spec.account is not None
        self._noun, self._has_targets = spec.account.noun, bool(spec.columns.targets)
        self._quiet, self._is_terminal = quiet, sys.stderr.isatty()
        self._shown_at = time.monotonic()
        self._has_line = False

    def on_page(self, walk: Walk) -> None:
        """Update the line if it is time."""
        interval = REFRESH_INTERVAL if self._is_terminal else LINE_INTERVAL
        now = time.monotonic()
        if self._quiet or now - self._shown_at < interval:
            return
        self._shown_at = now
        line = f"{self._counts(walk)} so far"
        if self._is_terminal:
            self._has_line = True
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr)

    def on_resume(self, walk: Walk) -> None:
        """Say that an earlier walk is continued."""
        self._print(f"continuing after {walk.listed:,} {self._noun}")

    def on_restart(self, reason: str) -> None:
        """Say that an earlier walk cannot be continued."""
        self._print(f"warning: the list cannot be continued, starting again: {reason}")

    def on_event(self, event: Event) -> None:
        """Print warnings, for example of an outage. An `Observer`."""
        if isinstance(event, Warned):
            self._print(f"warning: {event.message}")

    def finished(self, walk: Walk, name: str) -> None:
        """Print what the manifest has, and what was left out for which reason."""
        self._print(f"{self._counts(walk)} in {name}")
        for reason, count in walk.left_out.items():
            if count:
                self._print(f"left out: {count:,} {reason}")

    def _counts(self, walk: Walk) -> str:
        captions = f" with {walk.captions:,} captions" if self._has_targets else ""
        return f"{walk.listed:,} {self._noun} listed, {walk.rows:,} rows{captions}"

    def end_line(self) -> None:
        """Move on from the line that is updated, before anything else is printed."""
        if self._has_line:
            print(file=sys.stderr)
            self._has_line = False

    def _print(self, text: str) -> None:
        if not self._quiet:
            self.end_line()
            print(printable(text), file=sys.stderr)
