"""A live page over a ledger, and readers of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import Outcome, Row, RowState
from batchcap.reports.html import page
from batchcap.reports.snapshot import Snapshot
from batchcap.storage.ledger import SqliteLedger, open_ledger, open_reader
from batchcap.web.address import WebAddress, listener
from batchcap.web.server import LivePage
from tests.harness import rows
from tests.harness.clock import EPOCH, now

TOKEN = "correct-horse-battery"


class LivePageHarness:
    """A running page, the ledger that it shows, and a client."""

    def __init__(
        self, page: LivePage, url: str, ledger: SqliteLedger, session: aiohttp.ClientSession
    ) -> None:
        self.page, self.url, self.ledger, self.session = page, url, ledger, session
        self.is_running = True

    @property
    def base(self) -> str:
        return self.url.partition("?")[0]

    async def get(self, path: str = "", method: str = "GET", **options: Any) -> Answer:
        async with self.session.request(method, self.base + path, **options) as response:
            return Answer(response, await response.read())

    async def finish(self, number: int, **changes: Any) -> None:
        """Make a row end."""
        row = make_row(number)
        outcome = Outcome(
            state=changes.pop("state", RowState.DONE),
            started_at=now(),
            finished_at=now(),
            caption=changes.pop("caption", rows.CAPTION),
            **changes,
        )
        await self.ledger.record_outcome(row, outcome)

    @asynccontextmanager
    async def events(self, path: str = "events", **options: Any) -> AsyncIterator[Events]:
        async with self.session.get(self.base + path, **options) as response:
            assert response.status == 200, response.status
            yield Events(response)


class Answer:
    """A response that was read."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes):
        self.status, self.headers, self.body = response.status, response.headers, body
        self.cookies = response.cookies
        self.text = body.decode()


class Events:
    """Reads server-sent events as a browser does."""

    def __init__(self, response: aiohttp.ClientResponse):
        self.response, self.last_id = response, ""
        self.states: dict[str, str] = {}
        self.totals: dict[str, Any] = {}
        self.raw: list[str] = []

    async def next(self) -> tuple[str, dict[str, Any]] | None:
        """Return type and data of the next event with data, None at the end of the stream."""
        kind, data = "message", ""
        while line := (await self.response.content.readline()).decode():
            self.raw.append(line)
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "id":
                self.last_id = value
            elif name == "event":
                kind = value
            elif name == "data":
                data = value
            elif not name and data:
                document = orjson.loads(data)
                self._apply(document)
                return kind, document
        return None

    async def until(self, reached: Callable[[Events], bool]) -> None:
        """Read until something holds; the stream must not end before."""
        while not reached(self):
            assert await self.next() is not None, "the stream ended"

    def _apply(self, document: dict[str, Any]) -> None:
        self.totals = document.get("totals") or self.totals
        block = document.get("rows") or {"key": [], "state": [], "texts": [], "source_id": []}
        for source, state in zip(block["source_id"], block["state"], strict=True):
            self.states[block["texts"][source]] = block["texts"][state]


def make_row(number: int, **changes: Any) -> Row:
    return rows.row(number, **{"target": "es", **changes})


def render(ledger: LedgerReader, events: str) -> Iterator[str]:
    return page(ledger, out=Path("captions"), files_link="files/", live=True, events=events)


@asynccontextmanager
async def running_page(
    out: Path,
    given: int | Iterable[Row] = 3,
    *,
    host: str = "127.0.0.1",
    token: str = "",
    snapshot: Callable[[], Snapshot | None] = lambda: None,
) -> AsyncIterator[LivePageHarness]:
    """Serve the page of a ledger with some rows, on any free port."""
    made = map(make_row, range(1, given + 1)) if isinstance(given, int) else given
    harness: LivePageHarness
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(open_ledger(out, create=True, now=now)))
        ledger.import_rows([("m.csv", list(made))], skip_invalid=True)
        bound = stack.enter_context(listener("--web", WebAddress(host, 0, token)))
        served = LivePage(
            bound,
            out,
            partial(open_reader, out),
            render,
            is_running=lambda: harness.is_running,
            snapshot=snapshot,
            now=lambda: EPOCH + loop.time(),  # in a thread
        )
        async with (
            served,
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client,
        ):
            harness = LivePageHarness(served, bound.url, ledger, client)
            yield harness
