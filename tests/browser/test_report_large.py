"""The HTML report of ten thousand captions: its size, and what of it is in the document."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from benchmarks.page import make_ledger
from tests.browser.pages import OpenPage, make_page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large") / "captions"
    make_ledger(folder, 10_000)
    return make_page(folder, folder.parent / "report.html")


def test_page_of_ten_thousand_captions_is_small(report: Path) -> None:
    assert report.stat().st_size < 6_000_000


def test_page_of_ten_thousand_captions_draws_what_is_in_view(
    report: Path, open_page: OpenPage
) -> None:
    page = open_page(report)
    expect(page.locator("#hits")).to_have_text("10,000 captions of 1,000 videos")
    expect(page.locator("#legend [data-status=done]")).to_contain_text("9,800")
    for view in ("coverage", "list"):
        page.locator(f"input[value={view}]").check(force=True)
        page.locator(f"#{view}").evaluate("node => { node.scrollTop = node.scrollHeight / 2 }")
        middle = 500 if view == "coverage" else 5000
        expect(page.locator(f"#{view} [data-row='{middle}']")).to_be_visible()
        assert page.locator("*").count() < 2500
    page.keyboard.press("/")
    page.keyboard.type("000998 pt-br")
    expect(page.locator("#hits")).to_have_text("1 of 10,000 captions, in 1 video")
