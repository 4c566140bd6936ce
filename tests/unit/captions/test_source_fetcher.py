"""The fetcher of sources beside a run: each source once, bounded, and never longer than it may."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from batchcap.captions.source_fetcher import LONGEST_DOWNLOAD, WORKERS, SourceFetcher
from batchcap.domain.errors import FatalError, Unavailable
from batchcap.domain.events import RowEnded, Warned
from batchcap.domain.models import Caption, Outcome, Row, RowState, SourceLink
from batchcap.domain.quality import Examine
from batchcap.domain.shutdown import ShutdownToken
from batchcap.storage.sources import SourceRecords
from tests.harness.clock import clock
from tests.harness.observers import Recorder
from tests.harness.rows import CAPTION, mux_row

pytestmark = pytest.mark.anyio

DONE = Outcome(state=RowState.DONE, started_at=1.0, finished_at=2.0, caption=CAPTION)


class Memory(dict[str, str]):
    """A `KeyValueStore`."""

    set = dict.__setitem__


class Host:
    """Source captions and downloader in one: each download takes `seconds`, and may fail."""

    name = "mux"

    def __init__(self, out: Path, seconds: float = 1.0, error: Exception | None = None) -> None:
        self.out, self.seconds, self.error = out, seconds, error
        self.fetched: list[str] = []
        self.at_once = self.most_at_once = 0

    async def source_link(self, row: Row) -> SourceLink:
        return SourceLink("track", row.source_id)

    async def adopt(
        self, path: str, since: float, examine: Examine | None = None
    ) -> Caption | None:
        raise NotImplementedError

    async def fetch(
        self, link: str, path: str, examine: Examine | None = None, *, srt: bool = False
    ) -> Caption:
        self.fetched.append(link)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        if self.error is not None:
            raise self.error
        file = self.out / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("WEBVTT\n")
        return CAPTION


class Work:
    """A fetcher with what it depends on."""

    def __init__(self, out: Path, host: Host) -> None:
        self.host, self.seen, self.stop = host, Recorder(), ShutdownToken()
        records = SourceRecords(Memory(), out, "mux", lambda _params: "")
        self.fetcher = SourceFetcher(host, host, records, self.stop, self.seen)

    async def run(self, ended: list[Row], done: list[Row]) -> None:
        """Tell the fetcher of rows that end at once, then let it take those that are done."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.fetcher.run)
            for row in ended:
                self.fetcher(RowEnded(row, DONE))
            await anyio.sleep(5)
            await self.fetcher.finish([done])
        self.fetcher.report()

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.seen.events if isinstance(event, Warned)]


async def test_fetcher_with_more_rows_than_its_queue_takes_fetches_each_source_once(
    tmp_path: Path,
) -> None:
    rows = [mux_row(f"film-{n}", tag) for tag in ("es", "ja") for n in range(1100)]
    work = Work(tmp_path, Host(tmp_path))
    await work.run(rows, rows)
    assert sorted(work.host.fetched) == sorted({row.source_id for row in rows})
    assert work.host.most_at_once == WORKERS


async def test_fetcher_of_a_host_that_never_answers_ends_in_time(tmp_path: Path) -> None:
    rows = [mux_row(f"film-{n}") for n in range(500)]
    work = Work(tmp_path, Host(tmp_path, seconds=1e6))
    began = clock()
    await work.run(rows, rows)
    assert clock() - began < 3 * LONGEST_DOWNLOAD
    assert len(work.host.fetched) <= 4 * WORKERS
    assert "the download took more than 120 seconds" in work.warnings[0]
    assert sum("no more source captions are fetched" in text for text in work.warnings) == 1


async def test_fetcher_tries_a_source_that_was_unavailable_once_more_at_the_end(
    tmp_path: Path,
) -> None:
    work = Work(tmp_path, Host(tmp_path, error=Unavailable("the file host responded with 503")))
    await work.run([mux_row("film")], [mux_row("film")])
    assert work.host.fetched == ["film", "film"]
    assert work.warnings == [
        "mux: no source captions of film: the file host responded with 503",
    ]


async def test_fetcher_that_cannot_write_gives_up_with_one_warning(tmp_path: Path) -> None:
    rows = [mux_row(f"film-{n}") for n in range(100)]
    work = Work(tmp_path, Host(tmp_path, error=FatalError("cannot write: no space left")))
    await work.run(rows, rows)
    assert len(work.host.fetched) == WORKERS
    assert work.warnings == [
        "mux: no more source captions are fetched in this run: cannot write: no space left"
    ]


async def test_fetcher_that_is_stopped_takes_nothing_more(tmp_path: Path) -> None:
    rows = [mux_row(f"film-{n}") for n in range(100)]
    work = Work(tmp_path, Host(tmp_path))
    work.stop.request()
    await work.run(rows, rows)
    assert not work.host.fetched
    assert not work.warnings


async def test_fetcher_of_a_cancelled_run_ignores_rows_that_still_end(tmp_path: Path) -> None:
    work = Work(tmp_path, Host(tmp_path))
    with anyio.move_on_after(1):
        await work.fetcher.run()
    work.fetcher(RowEnded(mux_row("film"), DONE))
    assert not work.host.fetched
