"""The live page in chromium, which follows a run and a folder without a reload."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from batchcap.cli.live_page import live_page
from batchcap.domain.models import Failure, Outcome, RowState
from batchcap.storage.ledger import SqliteLedger, open_ledger
from batchcap.web.address import WebAddress, listener
from tests.browser.pages import results_of
from tests.harness.live_page import TOKEN, make_row
from tests.harness.rows import CAPTION
from tests.system.conftest import Shell

PHONE = 390
SEARCH_TOP = "document.querySelector('#search').getBoundingClientRect().top"
ROWS = 60
MANIFEST = "asset_id,from_language,to_language_code,title\n" + "".join(
    f"lecture-{number},en,es,Lecture {number}\n" for number in range(ROWS)
)


@contextmanager
def started(shell: Shell, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a run that prints the URL of its live page; yields both."""
    process = shell.start(*arguments)
    assert process.stderr
    assert process.stdout
    try:
        url = ""
        while not url:
            line = process.stderr.readline()
            assert line, "no URL"
            url = line.partition("live page: ")[2].strip()
        yield process, url
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()
        process.stderr.close()


class Served:
    """The page of a folder, served in a thread."""

    def __init__(self, out: Path) -> None:
        self.url = ""
        self.is_running = True
        self._out = out
        self._is_ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
        with listener("--web", WebAddress("127.0.0.1", 0, TOKEN)) as bound:
            async with live_page(bound, self._out, is_running=lambda: self.is_running):
                self.url = bound.url
                self._is_ready.set()
                await self._stop.wait()

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._is_ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


@contextmanager
def opened(browser: Browser, url: str, width: int) -> Iterator[tuple[Page, list[str]]]:
    """Open a page; yields it with what went wrong in it."""
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.goto(url)
    page.wait_for_selector("html[data-ready]", state="attached")
    page.evaluate("window.notReloaded = true")
    yield page, problems
    context.close()


def shown_counts(page: Page) -> dict[str | None, int]:
    return {
        item.get_attribute("data-status"): int(item.locator("strong").inner_text().replace(",", ""))
        for item in page.locator("#legend li").all()
    }


def test_page_of_a_run_reaches_its_final_numbers_without_a_reload(
    tmp_path: Path, browser: Browser
) -> None:
    shell = Shell(tmp_path)
    shell.manifest(MANIFEST)
    rates = ["--rate=mux.write=45/s", "--rate=mux.read=none"]
    command = ["run", "m.csv", "--sandbox", "--web", "127.0.0.1:0", *rates]
    with (
        started(shell, *command) as (process, url),
        opened(browser, url, PHONE) as (page, problems),
    ):
        page.wait_for_selector('#live[data-state="live"]')
        before = shown_counts(page)
        page.wait_for_selector("#now", state="visible")
        page.fill("#search", "Lecture 7")
        page.evaluate("document.querySelector('#captions').scrollIntoView()")
        place = page.evaluate(SEARCH_TOP)
        page.wait_for_selector('#live[data-state="ended"]', timeout=30_000)
        page.locator("h1", has_text=f"{ROWS} of {ROWS} captions").wait_for()
        page.wait_for_selector("#now", state="hidden")
        assert process.wait(timeout=20) == 0
        results = results_of(tmp_path / "captions")
        assert shown_counts(page) == Counter(result["state"] for result in results)
        assert before != shown_counts(page)
        assert page.evaluate("window.notReloaded")
        assert page.input_value("#search") == "Lecture 7"
        assert page.evaluate(SEARCH_TOP) == pytest.approx(place, abs=2)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
        assert problems == []


def in_thread(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, while Playwright's loop is at work in this thread."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


async def end_row(ledger: SqliteLedger, number: int, *, failed: bool = False) -> None:
    failure = Failure("job_failed", "<img src=x onerror=alert(1)>", retryable=False)
    row = make_row(number)
    outcome = Outcome(
        state=RowState.FAILED if failed else RowState.DONE,
        started_at=0.0,
        finished_at=time.time(),
        caption=None if failed else CAPTION,
        failure=failure if failed else None,
    )
    await ledger.record_outcome(row, outcome)


def test_page_of_a_folder_follows_one_run_after_another(tmp_path: Path, browser: Browser) -> None:
    with closing(open_ledger(tmp_path, create=True)) as ledger, Served(tmp_path) as served:
        ledger.import_rows([("m.csv", [make_row(1)])], skip_invalid=False)
        with opened(browser, served.url, 1280) as (page, problems):
            assert TOKEN not in page.url
            page.wait_for_selector('#live[data-state="live"]')
            in_thread(end_row(ledger, 1))
            page.locator("h1", has_text="1 of 1 caption").wait_for()
            served.is_running = False
            page.wait_for_selector('#live[data-state="ended"]')
            served.is_running = True
            ledger.import_rows([("n.csv", [make_row(2)])], skip_invalid=False)
            page.locator("h1", has_text="1 of 2 captions").wait_for()
            in_thread(end_row(ledger, 2, failed=True))
            page.locator("#failures", has_text="<img src=x").wait_for()
            assert page.evaluate("window.notReloaded")
            assert problems == []
