"""Runs on the sandbox, and the pages that `batchcap report` makes of them."""

from __future__ import annotations

import asyncio
import csv
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from playwright.sync_api import Page

from batchcap.cli.app import main
from batchcap.domain.models import InvalidRow
from batchcap.domain.shutdown import ShutdownToken
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import documented_rates
from batchcap.reports.results import write_results
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.storage.ledger import open_ledger
from tests.harness.clock import now, on_virtual_time
from tests.harness.rows import read_rows
from tests.harness.runs import run_rows

LANGUAGES = ("de", "es", "fr", "ja", "pt-BR")
FAILING = (
    "id-missing-1",
    "id-notrack-1",
    "id-fails-1",
    "id-cancelled-1",
    "id-html-1",
    "id-nofile-2",
)


class OpenPage(Protocol):
    """Opens a file in the browser."""

    def __call__(self, path: Path, *, width: int = 1280, scheme: str = "light") -> Page: ...


def make_run(folder: Path) -> None:
    """Run at the documented rates, on virtual time; the last manifest is stopped in its middle."""
    with ThreadPoolExecutor(1) as thread:  # Playwright's loop may be at work in this one
        thread.submit(on_virtual_time, _make_run(folder)).result()


async def _make_run(folder: Path) -> None:
    options = SandboxOptions.documented(
        job_seconds=40.0, job_sigma=0.8, job_seconds_max=600.0, heygen_finish_seconds=90.0
    )
    async with Sandbox(options) as sandbox:
        rates = documented_rates(PROVIDERS.values())
        rows = read_rows(_write_manifest(folder.parent / "videos.csv", first=1, count=24))
        await run_rows(
            sandbox, folder, rows, rates=rates, options={"on_existing": "skip"}, fetch_sources=True
        )
        stop = ShutdownToken()
        asyncio.get_running_loop().call_later(20.0, stop.request)
        rows = read_rows(_write_manifest(folder.parent / "later.csv", first=101, count=6))
        await run_rows(sandbox, folder, rows, rates=rates, stop=stop)
    with closing(open_ledger(folder, create=False, now=now)) as ledger:
        invalid = InvalidRow(line=9, origin="third.csv:9", message="to_language_code: 'x y'")
        ledger.import_rows([("third.csv", [invalid])], skip_invalid=True)
        write_results(ledger, folder)


def _write_manifest(path: Path, *, first: int, count: int) -> Path:
    """Write a manifest of `count` videos, and of rows that fail with the first ones."""
    header = ["asset_id", "from_language", "to_language_code", "video_translate_id", "language"]
    lines: list[list[str]] = []
    for number in range(first, first + count):
        languages = LANGUAGES if number % 3 else LANGUAGES[:2]
        lines.append(
            [f"lecture-{number:03}", "en", ";".join(languages), "", "", f"Lecture {number}"]
        )
        lines.append(["", "", "", f"tour-{number:03}", "Italian", f"Tour {number}"])
    if first == 1:
        lines += [[source, "en", "es;de", "", "", f"Odd {source}"] for source in FAILING]
        lines.append(["film-has-es", "en", "es", "", "", "Has a track"])
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([[*header, "title"], *lines])
    return path


def make_page(folder: Path, target: Path, *options: str) -> Path:
    """Write the page of a run by the command."""
    arguments = ["report", "--format", "html", "--dir", str(folder), "-o", str(target), *options]
    assert main(arguments) == 0
    return target


def results_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
