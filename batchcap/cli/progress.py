"""The progress display: a small table on a terminal, a line every few seconds elsewhere.

It reads counters a few times a second. One display row for each item would cost more CPU
than the items.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from batchcap.domain.models import RowState, Totals
from batchcap.domain.text import printable
from batchcap.reports.metrics import Metrics
from batchcap.reports.results import duration, size

REFRESH_INTERVAL = 0.2  # seconds between two updates of the table
LINE_INTERVAL = 5.0  # seconds between two lines if there is no terminal
MAX_PROVIDERS = 5  # rows of the table


class Progress:
    """Shows a run on stderr. `before` holds the ledger's totals at its start."""

    def __init__(self, metrics: Metrics, before: Totals, console: Console) -> None:
        self._metrics, self._before, self._console = metrics, before, console

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Show the progress until the block ends."""
        self._started = anyio.current_time()
        async with anyio.create_task_group() as group:
            group.start_soon(self._live if self._console.is_terminal else self._lines)
            try:
                yield
            finally:
                group.cancel_scope.cancel()

    async def _live(self) -> None:
        with Live(self.table(), console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                await anyio.sleep(REFRESH_INTERVAL)
                live.update(self.table(), refresh=True)

    async def _lines(self) -> None:
        while True:
            await anyio.sleep(LINE_INTERVAL)
            print(self.line(), file=sys.stderr, flush=True)  # progress is for stderr

    def line(self) -> str:
        """Return the progress as one line."""
        parts = [f"{done:,}/{total:,} {name}" for name, done, total in self._counts()]
        failed = self._failed()
        parts += [f"{failed:,} failed"] if failed else []
        return f"{duration(self._elapsed())}: {', '.join(parts)}; {self._speed()}{self._pause()}"

    def table(self) -> Table:
        """Return the progress as a table of at most eight rows."""
        table = Table.grid(padding=(0, 2))
        for name, done, total in self._counts()[:MAX_PROVIDERS]:
            active = self._metrics.active[name]
            table.add_row(
                Text(name, style="bold"),
                ProgressBar(total=max(total, 1), completed=done, width=30),
                f"{done:,}/{total:,}",
                f"{active:,} active",
            )
        table.add_row("", self._speed(), "", Text(self._pause().lstrip("; "), style="yellow"))
        if failed := self._failed():
            codes = ", ".join(f"{code} {n:,}" for code, n in self._metrics.errors.most_common(4))
            table.add_row("", Text(f"{failed:,} failed", style="red"), "", codes)
        if self._metrics.last_warning:
            table.add_row("", Text(printable(self._metrics.last_warning[:100]), style="yellow"))
        return table

    def _counts(self) -> list[tuple[str, int, int]]:
        return [
            (
                name,
                sum(states.values()) - states.get("pending", 0) + self._metrics.done(name),
                sum(states.values()),
            )
            for name, states in self._before.by_provider.items()
        ]

    def _failed(self) -> int:
        return sum(n for (_, state), n in self._metrics.ended.items() if state is RowState.FAILED)

    def _elapsed(self) -> float:
        return anyio.current_time() - self._started

    def _speed(self) -> str:
        elapsed = max(self._elapsed(), 0.1)
        done = sum(self._metrics.ended.values())
        left = self._before.pending - done
        text = f"{done / elapsed:.1f}/s, {size(self._metrics.bytes)}"
        return text + (f", {duration(left * elapsed / done)} left" if done and left > 0 else "")

    def _pause(self) -> str:
        now = anyio.current_time()
        waits = {
            name: until - now for name, until in self._metrics.paused_until.items() if until > now
        }
        return "".join(f"; {name} paused for {duration(left)}" for name, left in waits.items())
