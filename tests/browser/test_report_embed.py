"""Captions in the page, beside their source."""

from __future__ import annotations

from pathlib import Path

import pytest
import webvtt
from playwright.sync_api import Page, expect

from batchcap.storage.sources import source_file
from tests.browser.pages import OpenPage, make_page


@pytest.fixture(scope="module")
def report(run_folder: Path) -> Path:
    return make_page(run_folder, run_folder.parent / "embedded.html", "--embed")


def open_row(page: Page, key: str) -> None:
    page.get_by_text("List", exact=True).click()
    page.locator("#search").fill(key)
    expect(page.locator("#hits")).to_contain_text("1 of ")
    page.locator("#list .grid-body [role=gridcell]").first.click()


def cue_texts(path: Path) -> list[str]:
    return [str(caption.text) for caption in webvtt.read(str(path)).captions]


def test_embedded_caption_is_beside_its_source(
    run_folder: Path, report: Path, open_page: OpenPage
) -> None:
    page = open_page(report)
    open_row(page, "mux:lecture-004:ja")
    source = source_file(run_folder, "mux", "lecture-004")
    assert source is not None
    expect(page.locator(".cues thead th")).to_have_text(["Time", "Source", "ja"])
    lines = page.locator(".cues tbody tr")
    caption = cue_texts(run_folder / "mux/lecture-004.ja.vtt")
    assert len(caption) > 20
    assert lines.locator("td:nth-child(3)").all_inner_texts() == caption
    assert lines.locator("td:nth-child(2)").all_inner_texts() == cue_texts(source)
    assert lines.first.locator("td[lang=ja]").count() == 1


def test_embedded_caption_without_source_is_alone(
    run_folder: Path, report: Path, open_page: OpenPage
) -> None:
    page = open_page(report)
    open_row(page, "heygen:tour-007")
    expect(page.locator(".cues thead th")).to_have_text(["Time", "Italian"])
    texts = page.locator(".cues tbody td").all_inner_texts()
    assert texts == cue_texts(next(run_folder.glob("heygen/tour-007*")))


def test_next_and_previous_step_through_the_hits(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    page.get_by_text("List", exact=True).click()
    page.locator("#search").fill("lecture-003")
    expect(page.locator("#list .grid-body [role=row]")).to_have_count(2)
    page.locator("#list .grid-body [role=gridcell]").first.click()
    expect(page.locator("#previous")).to_be_disabled()
    page.locator("#next").click()
    expect(page.locator(".cues thead th").last).to_have_text("es")
    expect(page.locator("#next")).to_be_disabled()


def test_page_without_embed_has_no_caption(run_folder: Path) -> None:
    text = make_page(run_folder, run_folder.parent / "plain.html").read_text(encoding="utf-8")
    assert cue_texts(run_folder / "mux/lecture-001.de.vtt")[0] not in text
    assert 'class="captions"' not in text


def test_captions_that_are_gone_are_left_out(run_folder: Path, open_page: OpenPage) -> None:
    file = run_folder / "mux/lecture-002.fr.vtt"
    content = file.read_bytes()
    file.unlink()
    try:
        report = make_page(run_folder, run_folder.parent / "gone.html", "--embed")
    finally:
        file.write_bytes(content)
    page = open_page(report)
    open_row(page, "mux:lecture-002:fr")
    expect(page.locator("#details-body dl")).to_be_visible()
    assert page.locator(".cues").count() == 0
