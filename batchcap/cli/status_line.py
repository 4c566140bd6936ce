"""A line on stderr that is updated in place on a terminal, and printed now and then elsewhere."""

from __future__ import annotations

import sys
import time

from batchcap.domain.text import printable

LINE_INTERVAL = 5.0  # seconds between two lines if there is no terminal
REFRESH_INTERVAL = 0.5  # seconds between two updates of the line on a terminal


class StatusLine:
    """Shows how far something has come, unless `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._is_terminal = quiet, sys.stderr.isatty()
        self._shown_at = time.monotonic()
        self._has_line = False

    @property
    def is_due(self) -> bool:
        """Whether it is time for an update."""
        interval = REFRESH_INTERVAL if self._is_terminal else LINE_INTERVAL
        return not self._quiet and time.monotonic() - self._shown_at >= interval

    def update(self, text: str) -> None:
        """Show a text in place of the last one."""
        self._shown_at = time.monotonic()
        if self._is_terminal:
            self._has_line = True
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr)

    def print(self, text: str) -> None:
        """Print a text that stays, on a line of its own."""
        if not self._quiet:
            self.end()
            print(printable(text), file=sys.stderr)

    def end(self) -> None:
        """Move on from the line that is updated, before anything else is printed."""
        if self._has_line:
            print(file=sys.stderr)
            self._has_line = False
