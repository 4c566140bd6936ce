"""Everything that shows a run while it works: display, live page, Prometheus, `status`.

Nothing here may end a run in which captions were paid for: a fault is reported once, and what
failed shows no more.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import msgspec
from rich.console import Console

from batchcap.cli.endpoints import Endpoints
from batchcap.cli.live_page import live_page
from batchcap.cli.options import OutputOptions
from batchcap.cli.progress import Progress
from batchcap.domain.events import Event
from batchcap.domain.protocols import KeyValueStore
from batchcap.domain.text import printable
from batchcap.reports import snapshot
from batchcap.reports.snapshot import Snapshot
from batchcap.reports.tracker import RunTracker

STORE_INTERVAL = 5.0  # seconds after which another process sees a new snapshot
_METRICS_INTERVAL = 1.0  # seconds between two updates of what is no count of events


class RunView:
    """Shows one run. An `Observer`; without `tracker`, there is nothing to do in this run."""

    def __init__(
        self, tracker: RunTracker | None, endpoints: Endpoints, options: OutputOptions
    ) -> None:
        self._tracker, self._endpoints, self._options = tracker, endpoints, options
        now = time.time()
        self._last = Snapshot(at=now, began=now, providers=[], buckets=[])
        self._has_failed = False

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        try:  # for each event of a run, so without the cost of a context manager
            if self._tracker is not None:
                self._tracker(event)
            if self._endpoints.metrics is not None:
                self._endpoints.metrics(event)
        except Exception as error:  # a fault in what shows a run must not end the run
            self._report(error)

    def snapshot(self) -> Snapshot:
        """Return where the run stands, or stood when that could be said last."""
        try:
            if self._tracker is not None:
                self._last = self._tracker.snapshot()
        except Exception as error:  # as above
            self._report(error)
        return self._last

    @asynccontextmanager
    async def shown(self, out: Path, store: KeyValueStore) -> AsyncIterator[None]:
        """Show the run until the block ends, and store snapshots for other processes."""
        async with AsyncExitStack() as stack:
            if self._endpoints.page is not None:
                if not self._options.quiet:
                    print(f"live page: {self._endpoints.page.url}", file=sys.stderr)
                page = live_page(self._endpoints.page, out, snapshot=self.snapshot)
                await stack.enter_async_context(page)
            if self._tracker is not None:
                group = await stack.enter_async_context(anyio.create_task_group())
                stack.callback(group.cancel_scope.cancel)
                group.start_soon(self._store, store)
                group.start_soon(self._harmless, self._update_metrics)
                if not (self._options.quiet or self._options.no_progress):
                    # Without the option, FORCE_COLOR makes a pipe a terminal for rich.
                    console = Console(stderr=True, force_terminal=sys.stderr.isatty())
                    group.start_soon(self._harmless, Progress(self.snapshot, console).show)
            yield

    async def _store(self, store: KeyValueStore) -> None:
        self.snapshot()  # requests are counted from now on
        while True:
            await anyio.sleep(STORE_INTERVAL)
            store.set(snapshot.KEY, msgspec.json.encode(self.snapshot()).decode())

    async def _update_metrics(self) -> None:
        while (metrics := self._endpoints.metrics) is not None:
            metrics.update(self.snapshot())
            await anyio.sleep(_METRICS_INTERVAL)

    async def _harmless(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # as above
            self._report(error)

    def _report(self, error: Exception) -> None:
        if not self._has_failed:
            self._has_failed = True
            reason = printable(f"{type(error).__name__}: {error}")
            print(f"warning: the progress cannot be shown: {reason}", file=sys.stderr)
