"""Makes the pictures of README and the sample pages, in docs/images and docs/samples.

`python -m tests.screenshots` runs a made-up catalogue on the sandbox, on virtual time, and opens
its report in chromium. The run is the same each time.
"""

from __future__ import annotations

import asyncio
import csv
import os
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

from batchcap.cli.command_lines import DEFAULT_FOLDER, complete_commands
from batchcap.domain.shutdown import ShutdownToken
from batchcap.reports.html import page
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.storage.ledger import open_reader
from tests.browser.conftest import CHROMIUM, new_page
from tests.harness.clock import EPOCH, on_virtual_time
from tests.harness.rows import read_rows
from tests.harness.runs import run_rows
from tests.harness.terminal_picture import picture

DOCS = Path(__file__).parent.parent / "docs"
RATES = {"mux.write": 0.2, "mux.read": 5.0, "heygen": 5.0}
"""Requests a second. Creates are slower than Mux allows, so that the time line is longer."""
LANGUAGES = ("de", "es", "fr", "it", "ja", "ko", "pl", "pt-BR")
COURSES = ("Harbour engineering", "Reading the weather", "Bread and fermentation", "Field botany")
TOPICS = (
    *("an introduction", "tools and materials", "first steps", "common mistakes", "a day outside"),
    *("measuring", "working together", "repairs", "questions and answers", "what comes next"),
)
MADE_AT = EPOCH + 7200.0
ODD = {4: "fails", 12: "missing", 27: "html", 8: "has-es"}
"""Lessons whose ids make the sandbox's assets fail, or have a track."""


def main() -> None:
    """Make all pictures and samples."""
    with TemporaryDirectory() as temporary:
        (DOCS / "images" / "terminal.svg").write_text(terminal(Path(temporary)))
        large, small = Path(temporary, "large"), Path(temporary, "small")
        on_virtual_time(run_catalogue(large, lessons=40))
        on_virtual_time(run_catalogue(small, lessons=10))
        (DOCS / "samples" / "report.html").write_text(report_of(large), encoding="utf-8")
        sample = report_of(small, embed=True)
        (DOCS / "samples" / "report-embed.html").write_text(sample, encoding="utf-8")
    take_pictures(DOCS / "samples" / "report.html")


def terminal(folder: Path) -> str:
    """Return a picture of the terminal in the middle of a run."""
    (folder / "videos.csv").write_text(
        "asset_id,to_language_code,video_translate_id\n"
        "course-fails-1,es,\ncourse-missing-2,es,\n"
        + "".join(f"course-{number},es;ja;pt-BR,\n" for number in range(300))
        + "".join(f",,talk-{number}\n" for number in range(400))
    )
    rates = ("mux.write=60/s", "mux.read=none", "heygen=15/s")
    options = [option for rate in rates for option in ("--rate", rate)]
    return picture(folder, ["run", "videos.csv", "--sandbox"], options, at_row="mux", done=450)


async def run_catalogue(folder: Path, *, lessons: int) -> None:
    """Run all lessons but the last tenth, and begin with these."""
    options = SandboxOptions.documented(
        job_seconds=180.0, job_sigma=0.75, job_seconds_max=1800.0, heygen_finish_seconds=240.0,
        faults={"throttle": 0.01},
        caption_bytes=600,
    )  # fmt: skip
    begun = lessons - max(1, lessons // 10)
    async with Sandbox(options) as sandbox:
        rows = read_rows(write_manifest(folder.with_suffix(".csv"), range(begun)))
        choices = {"on_existing": "skip"}
        await run_rows(sandbox, folder, rows, rates=RATES, options=choices, fetch_sources=True)
        stop = ShutdownToken()
        asyncio.get_running_loop().call_later(90.0, stop.request)
        rows = read_rows(write_manifest(folder.with_suffix(".csv"), range(begun, lessons)))
        await run_rows(sandbox, folder, rows, rates=RATES, stop=stop)


def write_manifest(path: Path, lessons: Iterable[int]) -> Path:
    """Write a manifest with eight languages a lesson at Mux, and every fifth one at HeyGen too."""
    with path.open("w", newline="", encoding="utf-8") as file:
        manifest = csv.writer(file)
        columns = ("asset_id", "from_language", "to_language_code", "video_translate_id")
        manifest.writerow([*columns, "language", "title"])
        for number in lessons:
            course, topic = COURSES[number // 10 % 4], TOPICS[number % 10]
            title = f"{course}: {topic}"
            word = ODD.get(number, "lesson")
            tags = LANGUAGES[: 2 if word not in {"lesson", "has-es"} else 8 - number % 3]
            manifest.writerow([f"{word}-{number + 1:03}", "en", ";".join(tags), "", "", title])
            if number % 5 == 0:
                manifest.writerow(["", "", "", f"tour-{number + 1:03}", "Dutch", f"{title} (tour)"])
    return path


def report_of(folder: Path, *, embed: bool = False) -> str:
    """Return the page of a run, as if its folder was the default one."""
    complete = partial(complete_commands, out=DEFAULT_FOLDER, sandbox=True)
    with closing(open_reader(folder)) as ledger:
        pieces = page(
            ledger,
            out=folder,
            embed=embed,
            complete=complete,
            is_rehearsal=True,
            now=lambda: MADE_AT,
        )
        return "".join(pieces).replace(str(folder), str(DEFAULT_FOLDER))


def take_pictures(report: Path) -> None:
    """Open a page in light, in dark and on a phone."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        take_picture(browser, report, "report", height=1400)
        take_picture(browser, report, "report-dark", height=1400, scheme="dark")
        take_picture(browser, report, "report-phone", height=844, width=390)
        browser.close()


def take_picture(
    browser: Browser,
    report: Path,
    name: str,
    *,
    height: int,
    width: int = 1120,
    scheme: str = "light",
) -> None:
    """Save what a window of this size shows of a page."""
    window = new_page(browser, width=width, scheme=scheme)
    window.set_viewport_size({"width": width, "height": height})
    window.goto(report.as_uri())
    window.screenshot(path=DOCS / "images" / f"{name}.png")
    window.context.close()


if __name__ == "__main__":
    main()
