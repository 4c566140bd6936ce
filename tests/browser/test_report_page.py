"""The HTML report in chromium: its numbers, coverage, filters, search and print."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Page, expect

from batchcap.reports.advice import Retry, advice_for
from batchcap.storage.ledger import open_ledger
from tests.browser.pages import FAILING, LANGUAGES, OpenPage, make_page, results_of
from tests.harness.rows import mux_row
from tests.harness.runs import ledger_sql


@pytest.fixture(scope="module")
def report(run_folder: Path) -> Path:
    return make_page(run_folder, run_folder.parent / "report.html")


def counts_of_legend(page: Page) -> dict[str, int]:
    counts = page.locator("#legend li").evaluate_all(
        "items => items.map(at => [at.dataset.status, at.querySelector('strong').textContent])"
    )
    return {status: int(count.replace(",", "")) for status, count in counts}


def state_of(result: dict[str, Any]) -> str:
    """Return the state that the page shows of a row."""
    if result["state"] != "pending":
        return str(result["state"])
    return "running" if result["job_id"] else "missing"


def test_glance_numbers_are_those_of_the_results(
    run_folder: Path, report: Path, open_page: OpenPage
) -> None:
    page = open_page(report)
    results = results_of(run_folder)
    states = Counter(map(state_of, results))
    assert counts_of_legend(page) == states
    assert page.locator("h1").inner_text() == f"{states['done']} of {len(results)} captions done"


def test_failures_are_grouped_with_what_to_do(
    run_folder: Path, report: Path, open_page: OpenPage
) -> None:
    page = open_page(report)
    errors = [
        result["error"]["code"] or "invalid" for result in results_of(run_folder) if result["error"]
    ]
    shown = {
        group.locator("h3").inner_text(): group
        for group in page.locator("#failure-groups article").all()
    }
    assert {code: group.locator(".group-count").inner_text() for code, group in shown.items()} == {
        code: f"{count} rows" if count > 1 else "1 row" for code, count in Counter(errors).items()
    }
    group = shown["job_failed"]
    expect(group.locator(".advice")).to_contain_text(advice_for("job_failed").text)
    command = group.locator(".command").inner_text()
    assert (
        command
        == f"batchcap resume -o {run_folder} --sandbox --retry-failed --retryable --only job_failed"
    )
    retry = shown["asset_not_found"].locator(".retry").inner_text()
    assert retry.endswith(Retry.AFTER_CHANGE)
    group.get_by_role("button").click()
    failed = [
        r for r in results_of(run_folder) if r["error"] and r["error"]["code"] == "job_failed"
    ]
    expect(page.locator("#hits")).to_contain_text(f"{len(failed)} of ")
    expect(page.locator("#list [role=row]")).to_have_count(len(failed) + 1)


def test_coverage_shows_each_row_in_its_cell(
    run_folder: Path, report: Path, open_page: OpenPage
) -> None:
    page = open_page(report)
    header = page.locator("#coverage [role=columnheader]").all_inner_texts()
    assert header == ["Video", *LANGUAGES, "Italian", "(none)"]
    page.locator("#search").fill("lecture-10")
    expect(page.locator("#hits")).to_contain_text("in 6 videos")
    shown = page.locator("#coverage .grid-body [role=row]").evaluate_all(
        """rows => rows.map(row => [row.querySelector(".id").textContent,
            [...row.querySelectorAll("[role=gridcell]")].map(cell => cell.ariaLabel)])"""
    )
    assert len(shown) == 6
    results = results_of(run_folder)
    for source, labels in shown:
        states = {r["language"]: state_of(r) for r in results if r["source_id"] == source}
        assert labels == [states.get(name, "not asked for") for name in header[1:]]
    signs = set(page.locator("#coverage [role=gridcell]").all_text_contents())
    assert signs == {"", "○", "◐"}  # colour is not the only sign


def test_filters_and_search_agree_with_the_results(
    run_folder: Path, report: Path, open_page: OpenPage
) -> None:
    page = open_page(report)
    results = results_of(run_folder)

    def expect_hits(count: int) -> None:
        expect(page.locator("#hits")).to_have_text(
            re.compile(f"^{count} of {len(results)} captions,")
        )

    page.locator("#by-status").select_option("failed")
    expect_hits(sum(1 for result in results if result["state"] == "failed"))
    page.locator("#by-language").select_option(label="de: German, Deutsch")
    failed = [r for r in results if r["state"] == "failed" and r["language"] == "de"]
    expect_hits(len(failed))
    assert page.locator("#coverage [role=columnheader]").all_inner_texts() == ["Video", "de"]
    page.get_by_role("button", name="Show all").click()
    page.locator("#search").fill("HTML-1:ES odd")  # each word anywhere, whatever its case
    expect_hits(1)
    page.locator("#search").fill("nothing has this")
    expect_hits(0)
    expect(page.locator("#coverage")).to_have_class(re.compile("empty"))


def test_list_links_lead_to_the_files(run_folder: Path, report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    page.get_by_text("List", exact=True).click()
    links = page.locator("#list a")
    hrefs = links.evaluate_all("links => links.map(link => link.getAttribute('href'))")
    files = [report.parent / unquote(urlsplit(href).path) for href in hrefs]
    assert len(files) > 10
    assert all(file.is_file() for file in files)
    assert [str(file.relative_to(run_folder)) for file in files] == links.all_inner_texts()


def test_time_lines_add_up_to_the_ledger(
    run_folder: Path, report: Path, open_page: OpenPage
) -> None:
    page = open_page(report)
    done = sum(1 for result in results_of(run_folder) if result["state"] == "done")
    caption = page.locator("#time-charts figure").first
    expect(caption.locator(".note")).to_contain_text(f"{done} done, ")
    titles = page.locator("#time-charts h3").all_inner_texts()
    assert {"mux.read: requests a minute", "mux.write: requests a minute"} <= set(titles)
    assert page.locator("#time-charts path.quota").count() == 3
    lengths = page.locator("#length-charts .note").all_inner_texts()
    assert sum(int(text.split()[0]) for text in lengths) == done


TWO_RUNS = (("mux.read", "requests", 30), ("mux.read", "quota", 60), ("mux", "done", 2))
EACH_MINUTE = """
    WITH RECURSIVE at(minute) AS (SELECT ? UNION ALL SELECT minute + 1 FROM at WHERE minute < ?)
    INSERT INTO minutes SELECT minute, ?, ?, ? FROM at
"""


def test_time_lines_leave_out_the_time_between_runs(tmp_path: Path, open_page: OpenPage) -> None:
    folder = tmp_path / "captions"
    with closing(open_ledger(folder, create=True)) as ledger:
        ledger.import_rows([("m", [mux_row("a")])], skip_invalid=False)
    for first, minutes in ((29833333, 400), (29843333, 5)):
        for source, what, count in TWO_RUNS:
            ledger_sql(folder, EACH_MINUTE, first, first + minutes - 1, source, what, count)
    page = open_page(make_page(folder, tmp_path / "report.html"))
    assert page.locator("#time-charts .cut").count() == 2  # one in each chart
    notes = page.locator("#time-charts .note")
    expect(notes).to_have_text(
        ["810 done, 0 failed; at most 2 a minute", "50 % of the quota used, 0 throttled"]
    )
    tips = page.locator("#time-charts figure").last.locator("title").all_text_contents()
    assert len(tips) < 150
    assert {tip.partition(": ")[2] for tip in tips} == {"30 requests, 60 quota a minute"}


def test_print_shows_every_row_and_no_controls(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    drawn = page.locator("#coverage .grid-body [role=row]").count()
    page.emulate_media(media="print")
    expect(page.locator("#coverage .grid-body [role=row]")).to_have_count(
        24 * 2 + 6 * 2 + len(FAILING) + 2
    )
    expect(page.locator("#filter")).to_be_hidden()
    box = page.locator("#coverage").bounding_box()
    assert box is not None
    assert box["height"] > 60 * 36  # nothing scrolls on paper
    page.emulate_media(media="screen")
    expect(page.locator("#coverage .grid-body [role=row]")).to_have_count(drawn)


def test_page_has_another_ground_in_the_dark(report: Path, open_page: OpenPage) -> None:
    grounds = [
        open_page(report, scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert grounds == ["rgb(251, 251, 249)", "rgb(20, 23, 27)"]


def test_phone_needs_no_sideways_scrolling(report: Path, open_page: OpenPage) -> None:
    page = open_page(report, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
