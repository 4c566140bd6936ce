"""One chromium for these tests, and pages of runs on the sandbox.

While Playwright's sync API is at work, its event loop counts as running in this thread. So the
browser is closed after the last test of this folder, and runs are made in a thread of their own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.pages import OpenPage, make_run

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@pytest.fixture(scope="package")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output folder of a run that ended, with rows in every state."""
    folder = tmp_path_factory.mktemp("report") / "captions"
    make_run(folder)
    return folder


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's chromium. Its sandbox needs a user who is not root."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


def new_page(browser: Browser, *, width: int = 1280, scheme: str = "light") -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        timezone_id="UTC",
    )
    return context.new_page()


Windows = dict[tuple[int, str], Page]


@pytest.fixture(scope="package")
def windows(browser: Browser) -> Windows:
    """Windows by width and colour scheme, which tests share: a new one takes as long as a test."""
    return {}


@pytest.fixture
def open_page(browser: Browser, windows: Windows) -> Iterator[OpenPage]:
    """Open a file in a window; no script may fail, and nothing else be requested."""
    problems: list[str] = []
    requests: list[str] = []
    opened: list[Page] = []
    listeners: dict[str, Callable[[Any], None]] = {
        "request": lambda request: requests.append(request.url),
        "pageerror": lambda error: problems.append(str(error)),
        "console": lambda line: problems.append(line.text),
        "dialog": lambda dialog: problems.append(dialog.message),
    }

    def open_page(path: Path, *, width: int = 1280, scheme: str = "light") -> Page:
        if (width, scheme) not in windows:
            windows[width, scheme] = new_page(browser, width=width, scheme=scheme)
        page = windows[width, scheme]
        assert page not in opened, "a test opens each window once"
        opened.append(page)
        for event, listener in listeners.items():
            page.on(event, listener)  # type: ignore[call-overload]  # by its name
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_page
    for page in opened:
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
    assert problems == []
    assert len(requests) == len(opened)
