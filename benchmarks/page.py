"""The HTML report of many captions: its size, and how soon a browser lets the user work with it.

Each round writes the page of a ledger and opens it in chromium, in a new process:

written      by `batchcap report -o report.html`, from the start of the command
interactive  from the opening until the key `/` has moved the focus to the search
search       from the last letter until the hits are shown
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from batchcap.domain.models import Row
from batchcap.storage.ledger import file, open_ledger
from benchmarks import machine, table
from benchmarks.bars import Bar, markdown
from benchmarks.measurement import RunningCommand
from benchmarks.options import workspace
from benchmarks.reporting import Report
from benchmarks.revisions import ROOT
from benchmarks.workload import NotDoneError

if TYPE_CHECKING:
    from playwright.sync_api import Page

_LANGUAGES = ("ar", "de", "es", "fr", "it", "ja", "ko", "pl", "pt-BR", "zh-Hans")
_COMPLETE_ROWS = """
BEGIN;
UPDATE rows SET state = 'done', started_at = 1.79e9 + number, bytes = 4000 + number % 900,
       finished_at = 1.79e9 + number + 30 + number % 97, sha256 = lower(hex(randomblob(32))),
       cues = 48, job_id = 'rjob_' || lower(hex(randomblob(12)))
       WHERE number % 50;
UPDATE rows SET state = 'failed', started_at = 1.79e9 + number, finished_at = 1.79e9 + number + 9,
       code = 'job_failed', retryable = 1,
       message = 'job rjob_' || lower(hex(randomblob(12))) || ': processing error, try again'
       WHERE number % 50 = 0 AND number % 200;
WITH RECURSIVE at(minute) AS (
    SELECT 29833333 UNION ALL SELECT minute + 1 FROM at
    WHERE minute < 29833333 + (SELECT count(*) FROM rows) / 60
), kind(source, what, count) AS (VALUES
    ('mux', 'created', 60), ('mux', 'done', 58), ('mux', 'failed', 1),
    ('mux.write', 'requests', 60), ('mux.write', 'quota', 60), ('mux.read', 'requests', 65),
    ('mux.read', 'quota', 300), ('downloads', 'requests', 58)
) INSERT INTO minutes SELECT minute, source, what, count FROM at, kind;
COMMIT;
"""
"""Of 200 rows, 196 are done, 3 failed and one is missing, at one a second."""

_FIGURES = {"page": "MB", "written": "s", "interactive": "s", "search": "s", "elements": ""}
_LIMITS = {"page": 6.0, "interactive": 1.0}
_JUDGED = 10_000
"""The number of captions for which the limits hold."""


def make_ledger(out: Path, captions: int) -> None:
    """Make a ledger that looks like that of a run at Mux with ten languages a video."""
    rows = (
        _row(f"{number // 10:06}Spx1CV902MCtPj5WknGlR102V5HF", _LANGUAGES[number % 10], number)
        for number in range(captions)
    )
    with closing(open_ledger(out, create=True)) as ledger:
        ledger.import_rows([("videos.csv", rows)], skip_invalid=False)
    with closing(sqlite3.connect(file(out))) as connection:
        connection.executescript(_COMPLETE_ROWS)


def _row(source: str, language: str, number: int) -> Row:
    season, episode = divmod(number // 10, 10)
    return Row(
        key=f"mux:{source}:{language}",
        provider="mux",
        source_id=source,
        language=language,
        target=language.lower(),
        path=f"mux/{source}.{language}.vtt",
        meta={"title": f"Season {season}, episode {episode}: a title of the usual length"},
        origin=f"videos.csv:{number + 2}",
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `page`."""
    sizes = [1000, _JUDGED, 100_000]
    parser.add_argument("--captions", type=int, nargs="+", default=sizes, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """Measure all sizes."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise NotDoneError("there is no chromium on this machine: apt-get install chromium")
    figures: dict[int, dict[str, float]] = {}
    with workspace(options.disk) as space:
        about = machine.describe(space.folder)
        for captions in options.captions:
            out = space.folder / str(captions)
            make_ledger(out, captions)
            rounds = [_measure_round(out, chromium) for _ in range(options.rounds)]
            figures[captions] = {
                name: median(values[name] for values in rounds) for name in _FIGURES
            }
            print(f"page: {captions:,} captions are done", file=sys.stderr)
    bars = [
        Bar(f"{_JUDGED:,} captions: {name}", figures[_JUDGED][name], limit, unit=f" {unit}")
        for name, limit in _LIMITS.items()
        if _JUDGED in figures and (unit := _FIGURES[name])
    ]
    title = f"**The HTML report, medians of {options.rounds} rounds**"
    text = f"{about}\n\n{title}\n\n{_as_table(figures)}\n\n{markdown(bars)}"
    return Report("page", text, figures, any(bar.missed for bar in bars))


def _as_table(figures: dict[int, dict[str, float]]) -> str:
    head = ["captions", *(f"{name} {unit}".strip() for name, unit in _FIGURES.items())]
    rows = [
        [f"{captions:,}", *(f"{each[name]:,.2f}" if unit else f"{each[name]:,.0f}"
                            for name, unit in _FIGURES.items())]
        for captions, each in figures.items()
    ]  # fmt: skip
    return table.markdown(head, rows)


def _measure_round(out: Path, chromium: str) -> dict[str, float]:
    # Imported here, so that the other commands need no browser.
    from playwright.sync_api import sync_playwright

    target = out / "report.html"
    words = ["report", "--dir", str(out), "-o", str(target)]
    command = [sys.executable, "-m", "batchcap", *words]
    written = RunningCommand(command, {"PYTHONPATH": str(ROOT)}, out / "log", ROOT).wait().wall
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        with closing(browser.new_page()) as page:
            interactive = _seconds(lambda: _open(page, target))
            page.keyboard.type("episode")
            page.wait_for_selector("#clear:not([hidden])")  # the filter is at work
            search = _seconds(lambda: _type_last(page))
            elements = float(page.evaluate("document.querySelectorAll('*').length"))
        browser.close()
    size = target.stat().st_size / 1e6
    values = (size, written, interactive, search, elements)
    return dict(zip(_FIGURES, values, strict=True))


def _open(page: Page, target: Path) -> None:
    page.goto(target.as_uri(), timeout=120_000)
    page.keyboard.press("/")
    page.wait_for_function("document.activeElement.id === 'search'")


def _type_last(page: Page) -> None:
    before = page.inner_text("#hits")
    page.keyboard.type(" 7")
    page.wait_for_function(
        "before => document.querySelector('#hits').textContent !== before", arg=before
    )


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
