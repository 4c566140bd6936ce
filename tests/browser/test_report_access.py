"""The HTML report with a keyboard alone, and under axe-core."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from playwright.sync_api import Page, expect

from batchcap.storage.ledger import open_ledger
from tests.browser.pages import OpenPage, make_page
from tests.harness.rows import mux_row

QUICK = {"resultTypes": ["violations"]}
"""axe-core describes only what is wrong."""


@pytest.fixture(scope="module")
def report(run_folder: Path) -> Path:
    return make_page(run_folder, run_folder.parent / "report.html", "--embed")


def focused(page: Page) -> str:
    """Return what has the focus: row and column of a cell, or an id."""
    return str(
        page.evaluate("""() => {
            const { activeElement: at } = document;
            const cell = at.closest(".cell");
            return cell ? `${cell.parentElement.dataset.row},${cell.dataset.column}` : at.id;
        }""")
    )


def press(page: Page, *keys: str) -> str:
    for key in keys:
        page.keyboard.press(key)
    return focused(page)


def test_keyboard_moves_in_the_matrix_and_opens_a_row(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    page.locator("#coverage [role=rowheader]").first.focus()
    assert press(page, "ArrowRight", "ArrowRight", "ArrowDown") == "1,2"
    assert press(page, "ArrowUp", "ArrowUp") == "0,2"  # it ends at the edge
    assert press(page, "End") == "0,7"
    assert press(page, "Control+End") == "67,7"
    expect(page.locator("#coverage :focus")).to_be_in_viewport()
    assert press(page, "Control+Home") == "0,0"
    row = int(press(page, "PageDown").split(",")[0])
    assert row > 5
    assert press(page, "Control+Home", "ArrowRight", "Enter") == "close"
    expect(page.locator("#details-title")).to_have_text("Lecture 1")
    press(page, "Escape")
    expect(page.locator("#details")).to_be_hidden()
    assert focused(page) == "0,1"  # where it was
    assert page.locator("#coverage [tabindex='0']").count() == 1


def test_keyboard_reaches_search_and_leaves_the_matrix_with_one_tab(
    report: Path, open_page: OpenPage
) -> None:
    page = open_page(report)
    page.locator("#coverage [role=rowheader]").first.focus()
    press(page, "ArrowDown", "ArrowDown", "Shift+Tab")
    assert not focused(page).startswith("2,")
    assert press(page, "Tab") == "2,0"
    assert press(page, "/") == "search"
    page.keyboard.type("lecture-10/")  # a slash is text there
    assert page.locator("#search").input_value() == "lecture-10/"


def test_keyboard_follows_a_link_of_the_list(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    page.get_by_text("List", exact=True).click()
    page.locator("#list [role=rowheader]").first.focus()
    assert press(page, "ArrowRight", "ArrowRight", "ArrowRight") == "0,3"
    assert page.evaluate("document.activeElement.tagName") == "A"


def test_focus_survives_scrolling_its_row_out_of_view(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    page.locator("#coverage [role=rowheader]").first.focus()
    page.locator("#coverage").evaluate("node => { node.scrollTop = node.scrollHeight }")
    expect(page.locator("#coverage [data-row='67']")).to_be_attached()
    assert focused(page) == "0,0"
    assert press(page, "ArrowDown") == "1,0"
    expect(page.locator("#coverage :focus")).to_be_in_viewport()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_axe_has_no_findings(report: Path, open_page: OpenPage, scheme: str, width: int) -> None:
    page = open_page(report, scheme=scheme, width=width)
    findings = [Axe().run(page, options=QUICK)]
    page.get_by_text("List", exact=True).click()
    for status, shown in (("done", ".cues.both"), ("failed", ".problem")):
        page.locator("#by-status").select_option(status)
        page.locator("#list .grid-body .cell").first.click()
        expect(page.locator(f"#details {shown}")).to_be_visible()
        findings.append(Axe().run(page, options=QUICK))
        page.keyboard.press("Escape")
    for found in findings:
        assert found.violations_count == 0, found.generate_report()


def test_keyboard_keeps_its_cell_in_view_in_a_wide_matrix(
    tmp_path: Path, open_page: OpenPage
) -> None:
    folder = tmp_path / "captions"
    rows = [mux_row(f"v{place}", f"l{number:02}-Latn") for place in (1, 2) for number in range(50)]
    with closing(open_ledger(folder, create=True)) as ledger:
        ledger.import_rows([("m", rows)], skip_invalid=False)
    page = open_page(make_page(folder, tmp_path / "report.html"), width=390)
    page.locator("#coverage [role=rowheader]").first.focus()

    def is_seen() -> bool:
        """Return whether the cell with the focus is beside the first column, which stays."""
        return bool(
            page.evaluate("""() => {
                const cell = document.activeElement.getBoundingClientRect();
                const first = document.activeElement.parentElement.children[0];
                const grid = document.querySelector("#coverage").getBoundingClientRect();
                const left = first.getBoundingClientRect().right;
                return cell.left >= left - 1 && cell.right <= grid.right + 1;
            }""")
        )

    assert press(page, "End") == "0,50"
    assert is_seen()
    for _ in range(12):
        press(page, "ArrowLeft")
        assert is_seen()
    assert press(page, "Home") == "0,0"
    assert page.locator("#coverage").evaluate("node => node.scrollLeft") == 0
