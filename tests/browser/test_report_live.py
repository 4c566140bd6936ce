"""The client side of the live page: changed rows, kept filter, focus and place; lost connection.

The server is the subject of `test_live_run.py`; here its responses are made by the browser.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from batchcap.domain.models import MinuteCount
from batchcap.reports.html import message
from batchcap.reports.html import page as html_page
from batchcap.reports.snapshot import (
    BucketState,
    ProviderState,
    Snapshot,
    SourcesState,
    WaitState,
)
from batchcap.storage.ledger import open_ledger
from tests.browser.conftest import new_page
from tests.harness.rows import mux_row

ADDRESS = "http://live.example/"
ROWS = 200


class LiveServer:
    """Serves a page, and what a test gives it as events. Each connection ends after them."""

    def __init__(self, page: Page, text: str) -> None:
        self.page = page
        self._text = text
        self._events = ""
        self._times = 0
        page.route(f"{ADDRESS}**", self._respond)

    def _respond(self, route: Route) -> None:
        if not route.request.url.startswith(f"{ADDRESS}events"):
            route.fulfill(body=self._text, content_type="text/html; charset=utf-8")
        elif self._times:
            self._times -= 1
            route.fulfill(body=self._events, content_type="text/event-stream")
        else:
            route.abort()

    def send(self, *events: str) -> None:
        """Respond to the next connections: the page tries again and again, and may give one up."""
        self._times = 3
        self._events = "retry: 50\n\n" + "".join(f"{event}\n\n" for event in events)


@pytest.fixture
def server(browser: Browser, tmp_path: Path) -> Iterator[LiveServer]:
    rows = [
        mux_row(f"video-{number:03}", language)
        for number in range(100)
        for language in ("es", "ja")
    ]
    with closing(open_ledger(tmp_path, create=True)) as ledger:
        ledger.import_rows([("m", rows)], skip_invalid=False)
        text = "".join(html_page(ledger, out=tmp_path, live=True))
    server = LiveServer(new_page(browser), text)
    server.send("data: {}")
    server.page.goto(ADDRESS)
    yield server
    server.page.context.close()


def result(number: int, language: str, **changes: Any) -> dict[str, Any]:
    key = f"mux:video-{number:03}:{language}"
    absent = ("bytes", "sha256", "cues", "job_id", "error", "started_at", "finished_at")
    return {
        **dict.fromkeys(absent),
        "key": key,
        "provider": "mux",
        "source_id": f"video-{number:03}",
        "language": language,
        "path": f"mux/video-{number:03}.{language}.vtt",
        "state": "pending",
        "meta": {},
        **changes,
    }


def label(page: Page, row: int, column: int) -> str | None:
    cell = page.locator(f"#coverage [data-row='{row}'] [data-column='{column}']")
    return cell.get_attribute("aria-label")


def test_live_page_takes_changed_rows(server: LiveServer) -> None:
    page = server.page
    expect(page.locator("#coverage .grid-body")).to_be_visible()
    done = {"state": "done", "bytes": 4000, "cues": 40, "finished_at": "2026-11-28T12:00:05.000Z"}
    done["started_at"] = "2026-11-28T12:00:00.000Z"
    minutes = [MinuteCount(29833333, "mux", "created", 7)]
    rows = [result(0, "es", **done), result(0, "ja", phase="at_provider"), result(100, "fr")]
    server.send(f"data: {message(rows=rows, minutes=minutes)}")
    expect(page.locator("#coverage [role=columnheader]")).to_have_text(["Video", "es", "fr", "ja"])
    assert [label(page, 0, column) for column in (1, 2, 3)] == ["done", "not asked for", "running"]
    expect(page.locator("#hits")).to_have_text("201 captions of 101 videos")
    expect(page.locator("#legend [data-status=done] strong")).to_have_text("1")
    expect(page.locator("#usage-tables td").last).to_have_text("7")


def test_live_page_keeps_filter_focus_and_place(server: LiveServer) -> None:
    page = server.page
    page.locator("#search").fill("video-0")
    expect(page.locator("#hits")).to_contain_text("200 of 200")
    page.locator("#coverage [role=rowheader]").first.focus()
    for key in ("PageDown", "PageDown", "ArrowRight"):
        page.keyboard.press(key)
    place = page.evaluate("document.activeElement.parentElement.dataset.row")
    top = page.locator("#coverage").evaluate("node => node.scrollTop")
    assert top > 0
    rows = [result(int(place), "es", phase="downloading")]
    server.send(f"data: {message(rows=rows)}")
    expect(page.locator("#coverage :focus")).to_have_attribute("aria-label", "running")
    assert page.evaluate("document.activeElement.parentElement.dataset.row") == place
    assert page.locator("#coverage").evaluate("node => node.scrollTop") == top
    assert page.locator("#search").input_value() == "video-0"
    expect(page.locator("#hits")).to_contain_text("200 of 200")


SNAPSHOT = Snapshot(
    at=1_790_000_000.0,
    began=1_789_999_000.0,
    providers=[],
    buckets=[BucketState("mux.read", 5.0, 4.9, None)],
    sources=SourcesState(1200, fetched=310, failed=4),
    waits=[WaitState("mux", "<b>the end</b> of an outage", 3, 1_790_000_060.0)],
)


def test_live_page_shows_where_the_run_stands_until_it_ends(server: LiveServer) -> None:
    page = server.page
    server.send(f"data: {message(snapshot=SNAPSHOT)}")
    lines = page.locator("#now li")
    expect(lines.nth(1)).to_have_text(
        "mux: 3 waits for <b>the end</b> of an outage, until 14:14:20", use_inner_text=True
    )
    expect(lines.nth(2)).to_have_text("Source captions: 310 of 1,200, 4 could not be had")
    server.send("data: {}", "event: ended\ndata: {}")
    expect(page.locator("#now")).to_be_hidden()


def test_live_page_shows_a_lost_connection_and_the_end(server: LiveServer) -> None:
    page = server.page
    expect(page.locator("#live")).to_have_text("connection lost, trying again")
    server.send("data: {}", "event: ended\ndata: {}")
    expect(page.locator("#live")).to_have_text("the run has ended")


def test_live_page_shows_where_the_run_stands(server: LiveServer) -> None:
    page = server.page
    expect(page.locator("#now")).to_be_hidden()
    provider = ProviderState(
        name="mux", total=200, waiting=150, at_provider=40, downloading=3, done=7, failed=0,
        skipped=0, invalid=0, is_stopped=False, ends_at=None,
    )  # fmt: skip
    bucket = BucketState(name="mux.read", rate=5.0, sent=2.5, paused_until=1_790_000_060.0)
    snapshot = Snapshot(
        at=1_790_000_000.0,
        began=1_789_999_000.0,
        providers=[provider],
        buckets=[bucket],
        ends_at=1_790_000_600.0,
        problem="mux: polling failed: 503 <b>",
        problem_at=1_789_999_990.0,
    )
    server.send(f"data: {message(snapshot=snapshot)}")
    lines = page.locator("#now p, #now li")
    expect(lines).to_have_text(
        [
            "10 min left, until about 14:23",
            "mux 150 waiting for quota, 40 at the provider, 3 downloading",
            "mux.read 2.5 requests a second of 5 allowed; paused until 14:14:20",
            "Last problem, 14:13:10: mux: polling failed: 503 <b>",
        ]
    )
    server.send("event: ended\ndata: {}")
    expect(page.locator("#now")).to_be_hidden()
