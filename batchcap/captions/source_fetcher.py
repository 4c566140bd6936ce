"""Downloads the captions that were translated from, once for each source (`--fetch-sources`).

A row's source is fetched after the row is done, by a few workers beside the run, so that no row
waits for it or fails because of it. What is left out then is looked up in the ledger at the
end: the sources of rows that ended in an earlier run, or while too many others waited. A source
that cannot be had is a warning, and is tried again by the next run that is asked for sources.
"""

from __future__ import annotations

from collections.abc import Iterable

import anyio
import anyio.lowlevel

from batchcap.domain.errors import (
    BadCaption,
    FatalError,
    LinkExpired,
    RowError,
    Stopped,
    Unavailable,
)
from batchcap.domain.events import Event, RowEnded, SourceEnded, Warned
from batchcap.domain.models import Row, RowState, SourceLink
from batchcap.domain.protocols import Downloader, Observer, SourceCaptions
from batchcap.domain.shutdown import ShutdownToken
from batchcap.domain.text import counted
from batchcap.storage.sources import SourceRecords

WORKERS = 8
"""Sources of one provider that are fetched at once, within the limit of downloads."""

LONGEST_DOWNLOAD = 120.0
"""Seconds that the download of one source may take, with its retries."""

MAX_FAILURES = 5
"""Sources in a row that may fail for reasons that pass, before no more are tried for now."""

_MAX_WAITING = 1000
"""Rows that wait for a worker."""

_MAX_WARNINGS = 5
"""Sources that are named in warnings; the report names all."""


class SourceFetcher:
    """Fetches the sources of one provider's rows that are done. An `Observer` of the run.

    Run `run` beside the rows, and await `finish` after them.
    """

    def __init__(
        self,
        provider: SourceCaptions,
        downloader: Downloader,
        records: SourceRecords,
        stop: ShutdownToken,
        observer: Observer,
    ) -> None:
        self.name = provider.name
        self._provider, self._downloader, self._records = provider, downloader, records
        self._stop, self._observer = stop, observer
        self._send, self._receive = anyio.create_memory_object_stream[Row](_MAX_WAITING)
        self._taken: set[str] = set()  # keys of sources that were fetched, or are being
        self._paths: set[str] = set()  # of files that are being written
        self._failures = self._missing = 0
        self._is_closed = self._is_last_try = False

    @property
    def _is_open(self) -> bool:
        """Whether sources are to be fetched now."""
        return not (self._is_closed or self._stop.requested or self._failures >= MAX_FAILURES)

    def __call__(self, event: Event) -> None:
        """Put the source of a row that is done into the queue, if there is room."""
        if (
            isinstance(event, RowEnded)
            and event.row.provider == self.name
            and event.outcome.state is RowState.DONE
            and self._is_wanted(event.row)
        ):
            try:
                self._send.send_nowait(event.row)
            except (anyio.WouldBlock, anyio.ClosedResourceError):
                return  # `finish` takes it, or the next run after this one was cancelled
            self._taken.add(self._records.key(event.row))

    async def run(self) -> None:
        """Fetch what is in the queue, until `finish` has closed it or the run is stopped."""
        async with self._send, self._receive, anyio.create_task_group() as group:
            for _ in range(WORKERS):
                group.start_soon(self._work)

    async def finish(self, done: Iterable[list[Row]]) -> None:
        """Put all sources that are not there into the queue, and close it.

        `done` are the rows of the ledger that are done, a page at a time.
        """
        self._failures, self._is_last_try = 0, True
        with self._send:
            for page in done:
                if not self._is_open:
                    break
                for row in filter(self._is_wanted, page):
                    self._taken.add(self._records.key(row))
                    await self._send.send(row)
                await anyio.lowlevel.checkpoint()

    def report(self) -> None:
        """Say how many sources could not be had, if not each was named in a warning."""
        if self._missing > _MAX_WARNINGS:
            missing = counted(self._missing, "source")
            self._warn(f"{self.name}: {missing} without captions; batchcap report names them")

    def _is_wanted(self, row: Row) -> bool:
        if not self._is_open or self._records.key(row) in self._taken:
            return False
        return not self._records.has(row)

    async def _work(self) -> None:
        async for row in self._receive:
            if self._is_open:
                await self._fetch(row)
            else:
                self._taken.discard(self._records.key(row))

    async def _fetch(self, row: Row) -> None:
        """Fetch one source, and record whether it could be had."""
        try:
            link = await self._provider.source_link(row)
            await self._download(row, link)
        except Stopped:
            return
        except Unavailable as error:
            self._failed(row, error.message)
        except (RowError, LinkExpired, BadCaption) as error:
            self._failures = 0
            self._record_missing(row, error.message)
        except FatalError as error:
            self._close(error.message)
        else:
            self._failures = 0

    async def _download(self, row: Row, link: SourceLink) -> None:
        """Put the text of a track on disk, unless it is there: a run was killed after that."""
        path = self._records.path(row, link.track)
        if path in self._paths:  # of a row that names the track otherwise; `finish` records it
            self._taken.discard(self._records.key(row))
            return
        if not self._records.is_there(row, link.track):
            self._paths.add(path)
            try:
                await self._fetch_file(link.url, path)
            finally:
                self._paths.discard(path)
        self._records.add(row, link.track)
        self._observer(SourceEnded(row))

    async def _fetch_file(self, url: str, path: str) -> None:
        with anyio.move_on_after(LONGEST_DOWNLOAD) as scope:
            await self._downloader.fetch(url, path)
        if scope.cancelled_caught:
            raise Unavailable(f"the download took more than {LONGEST_DOWNLOAD:.0f} seconds")

    def _failed(self, row: Row, reason: str) -> None:
        """Note a failure that may pass. Until `finish`, which tries again, it is no warning."""
        self._failures += 1
        if not self._is_last_try:
            self._records.add_failure(row, reason)
            self._taken.discard(self._records.key(row))
            return
        self._record_missing(row, reason)
        if self._failures >= MAX_FAILURES:
            self._close(reason)

    def _record_missing(self, row: Row, reason: str) -> None:
        self._records.add_failure(row, reason)
        self._observer(SourceEnded(row, reason))
        self._missing += 1
        if self._missing <= _MAX_WARNINGS:
            self._warn(f"{self.name}: no source captions of {row.source_id}: {reason}")

    def _close(self, reason: str) -> None:
        """Fetch no more sources in this run; rows may go on."""
        if not self._is_closed:
            self._is_closed = True
            self._warn(f"{self.name}: no more source captions are fetched in this run: {reason}")

    def _warn(self, message: str) -> None:
        self._observer(Warned(message))
