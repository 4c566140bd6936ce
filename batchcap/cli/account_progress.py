"""The progress line of `batchcap manifest`, and its last line."""

from __future__ import annotations

from batchcap.app.account_manifest import Walk
from batchcap.cli.status_line import StatusLine
from batchcap.domain.events import Event, Warned
from batchcap.providers import ProviderSpec


class AccountProgress:
    """Shows on stderr how far a walk through an account has come, unless `quiet`."""

    def __init__(self, spec: ProviderSpec, *, quiet: bool) -> None:
        assert spec.account is not None
        self._noun, self._has_targets = spec.account.noun, bool(spec.columns.targets)
        self._line = StatusLine(quiet=quiet)

    def on_page(self, walk: Walk) -> None:
        """Update the line if it is time."""
        if self._line.is_due:
            self._line.update(f"{self._counts(walk)} so far")

    def on_resume(self, walk: Walk) -> None:
        """Say that an earlier walk is continued."""
        self._line.print(f"continuing after {walk.listed:,} {self._noun}")

    def on_restart(self, reason: str) -> None:
        """Say that an earlier walk cannot be continued."""
        self._line.print(f"warning: the list cannot be continued, starting again: {reason}")

    def on_event(self, event: Event) -> None:
        """Print warnings, for example of an outage. An `Observer`."""
        if isinstance(event, Warned):
            self._line.print(f"warning: {event.message}")

    def finished(self, walk: Walk, name: str) -> None:
        """Print what the manifest has, and what was left out for which reason."""
        self._line.print(f"{self._counts(walk)} in {name}")
        for reason, count in walk.left_out.items():
            if count:
                self._line.print(f"left out: {count:,} {reason}")

    def _counts(self, walk: Walk) -> str:
        captions = f" with {walk.captions:,} captions" if self._has_targets else ""
        return f"{walk.listed:,} {self._noun} listed, {walk.rows:,} rows{captions}"

    def end_line(self) -> None:
        """Move on from the line that is updated, before anything else is printed."""
        self._line.end()
