"""The HTML report in chromium: its numbers, matrix, filter and search."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.browser.pages import OpenPage, make_page, results_of


@pytest.fixture(scope="module")
def report(run_folder: Path) -> Path:
    return make_page(run_folder, run_folder.parent / "report.html")


def test_glance_numbers_are_those_of_the_results(
    run_folder: Path, report: Path, open_page: OpenPage
) -> None:
    page = open_page(report)
    results = results_of(run_folder)
    states = Counter(result["state"] for result in results)
    shown = {
        item.get_attribute("data-status"): int(item.locator("strong").inner_text().replace(",", ""))
        for item in page.locator("#legend li").all()
    }
    pending = shown.pop("running") + shown.pop("missing")
    assert {**shown, "pending": pending} == states
    assert page.locator("h1").inner_text() == f"{states['done']} of {len(results)} captions"
