"""A run with --web, watched in chromium from its middle to its end without a reload."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.pages import results_of
from tests.system.conftest import Shell

ROWS = 90
MANIFEST = "asset_id,from_language,to_language_code,title\n" + "".join(
    f"lecture-{number},en,es,Lecture {number}\n" for number in range(ROWS)
)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@contextmanager
def started(shell: Shell, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a command that prints the URL of its live page; yields both."""
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


@pytest.mark.parametrize("width", [1280, 390])
def test_page_of_a_run_reaches_its_final_numbers_without_a_reload(
    shell: Shell, browser: Browser, width: int
) -> None:
    shell.manifest(MANIFEST)
    rates = ["--rate=mux.write=45/s", "--rate=mux.read=none"]
    command = ["run", "m.csv", "--sandbox", "--web", "127.0.0.1:0", *rates]
    with (
        started(shell, *command) as (process, url),
        opened(browser, url, width) as (page, problems),
    ):
        page.wait_for_selector('#live[data-state="live"]')
        before = shown_counts(page)
        page.fill("#search", "Lecture 7")
        page.evaluate("scrollTo(0, 300)")
        page.wait_for_selector('#live[data-state="ended"]', timeout=30_000)
        page.wait_for_timeout(200)
        assert process.wait(timeout=20) == 0
        after = shown_counts(page)
        results = results_of(shell.folder / "captions")
        assert after == Counter(result["state"] for result in results)
        assert before != after
        assert page.locator("h1").inner_text() == f"{ROWS} of {ROWS} captions done"
        assert page.evaluate("window.notReloaded")
        assert page.input_value("#search") == "Lecture 7"
        assert page.evaluate("scrollY") == 300
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert problems == []


def test_page_of_a_folder_shows_a_run_that_begins_later(shell: Shell, browser: Browser) -> None:
    shell.manifest("asset_id,from_language,to_language_code\nlecture-1,en,es\n")
    assert shell.run("run", "m.csv", "--sandbox").returncode == 0
    token = "correct-horse-battery"
    command = ["web", "127.0.0.1:0", "--web-token", token]
    with started(shell, *command) as (_, url), opened(browser, url, 390) as (page, problems):
        page.wait_for_selector('#live[data-state="ended"]')
        assert token not in page.url
        assert shown_counts(page) == {"done": 1}
        caption = page.context.request.get(f"{page.url}files/mux/lecture-1.es.vtt")
        assert caption.text().startswith("WEBVTT")
        shell.manifest("asset_id,from_language,to_language_code\nlecture-2,en,es\n", "n.csv")
        assert shell.run("run", "n.csv", "--sandbox").returncode == 0
        page.locator("h1", has_text="2 of 2 captions").wait_for()
        page.wait_for_selector('#live[data-state="ended"]')
        assert problems == []
