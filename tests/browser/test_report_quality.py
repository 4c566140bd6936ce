"""What was found in captions, on the page."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec.structs import replace

from tests.browser.pages import OpenPage, make_page
from tests.harness.ledgers import ended, ledger_of
from tests.harness.rows import CAPTION, mux_row


def test_page_shows_the_findings_of_a_caption_that_was_checked(
    tmp_path: Path, open_page: OpenPage
) -> None:
    rows = [mux_row("film", "es"), mux_row("film", "ja")]
    caption = replace(CAPTION, quality={"empty": 2, "overlap": 1})
    outcomes = {rows[0].key: replace(ended(), caption=caption), rows[1].key: ended()}

    def make() -> Path:
        with ledger_of(tmp_path / "captions", rows, outcomes):
            return make_page(tmp_path / "captions", tmp_path / "report.html")

    with ThreadPoolExecutor(1) as thread:  # Playwright's loop may be at work in this one
        page = open_page(thread.submit(make).result())
    page.get_by_role("gridcell").first.click()
    fields = page.locator("#details-body .fields")
    assert "2 empty, 1 overlap" in fields.inner_text()
    page.locator("#next").click()
    assert "empty" not in fields.inner_text()
