"""Source captions in the page: those that a run fetched, and those that it could not have."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batchcap.sandbox import Sandbox, SandboxOptions
from tests.browser.pages import OpenPage, make_page
from tests.harness.clock import on_virtual_time
from tests.harness.rows import mux_row
from tests.harness.runs import run_rows

HOSTILE = "<img src=x onerror=alert(1)>-nosource"


async def fetch_sources(folder: Path) -> None:
    rows = [mux_row("film", "es"), mux_row("film", "ja"), mux_row(HOSTILE)]
    async with Sandbox(SandboxOptions()) as sandbox:
        await run_rows(sandbox, folder, rows, fetch_sources=True)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources") / "captions"
    with ThreadPoolExecutor(1) as thread:  # Playwright's loop may be at work in this one
        thread.submit(on_virtual_time, fetch_sources(folder)).result()
    return make_page(folder, folder.parent / "report.html", "--embed")


def test_page_of_a_run_that_fetched_sources_shows_them_beside_the_captions(
    report: Path, open_page: OpenPage
) -> None:
    page = open_page(report)
    page.get_by_role("gridcell").first.click()
    table = page.locator("#details-body table")
    assert table.locator("thead").inner_text().split() == ["Time", "Source", "es"]
    assert table.locator("tbody tr").first.inner_text().split("\t")[1:] == [
        "[en] film",
        "[es] film",
    ]


def test_page_names_the_sources_that_could_not_be_had(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    (line,) = page.locator("#sources tbody tr").all()
    assert line.inner_text().split("\t") == [HOSTILE, "mux", "the file host responded with 404"]


def test_page_without_such_sources_has_no_word_of_them(
    run_folder: Path, open_page: OpenPage
) -> None:
    page = open_page(make_page(run_folder, run_folder.parent / "report-sources.html"))
    assert page.locator("#sources").is_hidden()
