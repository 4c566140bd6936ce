"""The progress display: a table on a terminal, now and then a line elsewhere.

Both show a `Snapshot`. One display row for each item would cost more CPU than the items.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator

import anyio
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from batchcap.cli.progress_text import compact, ends, failures, pauses, rates, since, sources, waits
from batchcap.domain.text import printable
from batchcap.reports.results import duration, size
from batchcap.reports.snapshot import ProviderState, Snapshot

REFRESH_INTERVAL = 0.2  # seconds between two updates of the table
LINE_INTERVALS = ((60.0, 10.0), (600.0, 60.0), (float("inf"), 300.0))
"""Until which second of a run a line appears how often at most, if there is no terminal."""

MAX_PROVIDERS = 5  # rows of the table
WIDE, NARROW = 100, 60
"""Columns from which there is a bar, and below which everything is abbreviated."""

_LABELS = ("waiting", "at provider", "downloading", "done", "failed")
_SHORT_LABELS = ("wait", "open", "load", "done", "fail")


class Progress:
    """Shows a run on stderr. `snapshot` returns where it stands."""

    def __init__(self, snapshot: Callable[[], Snapshot], console: Console) -> None:
        self._snapshot, self._console = snapshot, console

    async def show(self) -> None:
        """Show the progress until cancelled."""
        is_screen = self._console.is_terminal and not self._console.is_dumb_terminal
        await (self._live() if is_screen else self._lines())

    async def _live(self) -> None:
        """Draw the table; give the terminal back while the process is stopped by Ctrl-Z."""
        with anyio.open_signal_receiver(signal.SIGTSTP) as stops:
            while True:
                with Live(console=self._console, auto_refresh=False, transient=True) as live:
                    async with anyio.create_task_group() as group:
                        group.start_soon(self._draw, live)
                        await anext(stops)
                        group.cancel_scope.cancel()
                os.kill(os.getpid(), signal.SIGSTOP)  # the shell continues the process

    async def _draw(self, live: Live) -> None:
        while True:
            live.update(table(self._snapshot(), self._console.width), refresh=True)
            await anyio.sleep(REFRESH_INTERVAL)

    async def _lines(self) -> None:
        began, shown = anyio.current_time(), ""
        while True:
            age = anyio.current_time() - began
            await anyio.sleep(next(pause for until, pause in LINE_INTERVALS if age < until))
            snapshot = self._snapshot()
            if (text := counts(snapshot)) != shown:
                shown = text
                print(line(snapshot), file=sys.stderr, flush=True)  # progress is for stderr


def counts(snapshot: Snapshot) -> str:
    """Return where rows and source captions are, as text that changes when one of them moves."""
    return ", ".join([*map(_provider_counts, snapshot.providers), *sources(snapshot)])


def line(snapshot: Snapshot) -> str:
    """Return the progress as one line."""
    text = f"{duration(snapshot.at - snapshot.began)}: {counts(snapshot)}"
    details = [*ends(snapshot), *failures(snapshot), *pauses(snapshot), *waits(snapshot)]
    details += since(snapshot)
    return printable("; ".join([text, *details]))


def _provider_counts(provider: ProviderState) -> str:
    text = f"{provider.ended:,}/{provider.total:,} {provider.name}"
    phases = ((provider.waiting, "waiting"), (provider.at_provider, "at the provider"))
    where = ", ".join(f"{count:,} {label}" for count, label in phases if count)
    return f"{text} ({where})" if where else text


def table(snapshot: Snapshot, width: int) -> Group:
    """Return the progress for a terminal of some columns: one row for each provider."""
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    grid.add_column("", no_wrap=True, overflow="ellipsis")
    if width >= WIDE:
        grid.add_column("")
    for label in _SHORT_LABELS if width < NARROW else _LABELS:
        grid.add_column(label, justify="right", no_wrap=True)
    for provider in snapshot.providers[:MAX_PROVIDERS]:
        grid.add_row(*_cells(provider, width))
    lines = [Text(printable(text), style, no_wrap=True) for text, style in _below(snapshot)]
    for text in lines:
        text.truncate(width - 1, overflow="ellipsis")
    return Group(grid, *lines)


def _cells(provider: ProviderState, width: int) -> Iterator[Text | ProgressBar]:
    number = compact if width < NARROW else "{:,}".format
    yield Text(provider.name[: width // 5], style="bold")
    phases = (provider.waiting, provider.at_provider, provider.downloading)
    if width >= WIDE:
        total = max(provider.total, 1)
        yield ProgressBar(total=total, completed=provider.ended, width=width - 80)
    for count in (*phases, provider.done):
        yield Text(number(count))
    yield Text(number(provider.failed), style="red" if provider.failed else "")


def _below(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Yield the lines below the table, each with its style."""
    amount = [size(snapshot.bytes), *([f"{snapshot.units:,} units"] if snapshot.units else [])]
    yield ", ".join([*ends(snapshot), *amount]), ""
    for text in sources(snapshot):
        yield text, ""
    if used := rates(snapshot):
        yield f"requests/s: {', '.join(used)}", "dim"
    for text in list(pauses(snapshot))[:2]:
        yield text, "yellow"
    for text in list(waits(snapshot))[:2]:
        yield text, "yellow"
    for text in failures(snapshot):
        yield text, "red"
    for text in since(snapshot):
        yield text, "yellow"
