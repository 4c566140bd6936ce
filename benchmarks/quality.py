"""The quality check of one caption of 20 kB, in this process: parsing, findings, and both.

check     whether the file is WebVTT, as every run does it
cues      reading its cues
findings  what is wrong with them, by Netflix's limits and beside the source
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

from batchcap.captions.quality import Checks, findings, findings_in
from batchcap.captions.webvtt import check, cues
from batchcap.sandbox.caption_text import make_webvtt
from benchmarks import machine, table
from benchmarks.bars import Bar, markdown
from benchmarks.options import workspace
from benchmarks.reporting import Report

_LANGUAGES = ("es", "fr", "de", "ar", "hi", "ja", "zh")
_FIGURES = ("check", "cues", "findings", "quality")
_LIMIT, _GOAL = 2.0, 1.0  # milliseconds


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `quality`."""
    parser.add_argument("--rounds", type=int, default=200, help="(%(default)s)")
    parser.add_argument("--caption-bytes", type=int, default=20_000, help="(%(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """Measure all languages."""
    figures = {name: _figures(name, options) for name in _LANGUAGES}
    with workspace(options.disk) as space:
        about = machine.describe(space.folder)
    head = ["ms", "bytes", "cues", "found", *(f"{name}" for name in _FIGURES)]
    rows = [
        [
            name,
            *(f"{each[count]:,.0f}" for count in ("bytes", "count", "found")),
            *(f"{each[figure]:.2f}" for figure in _FIGURES),
        ]
        for name, each in figures.items()
    ]
    typical = median(each["quality"] for each in figures.values())
    bars = [Bar("a caption, median of the languages", typical, _LIMIT, _GOAL, unit=" ms")]
    title = f"**The quality check, medians of {options.rounds} rounds**"
    text = f"{about}\n\n{title}\n\n{table.markdown(head, rows)}\n\n{markdown(bars)}"
    return Report("quality", text, figures, any(bar.missed for bar in bars))


def _figures(language: str, options: argparse.Namespace) -> dict[str, float]:
    """Return the milliseconds of each step for the captions of a language."""
    data = make_webvtt("film", language, options.caption_bytes)
    source = list(cues(make_webvtt("film", "en", options.caption_bytes)))
    checks = Checks(language=language, duration=source[-1].end, source=source)
    read = list(cues(data))
    return {
        "bytes": float(len(data)),
        "count": float(len(read)),
        "found": float(len(findings(read, checks))),
        "check": _milliseconds(lambda: check(data), options.rounds),
        "cues": _milliseconds(lambda: list(cues(data)), options.rounds),
        "findings": _milliseconds(lambda: findings(read, checks), options.rounds),
        "quality": _milliseconds(lambda: findings_in(data, checks), options.rounds),
    }


def _milliseconds(work: Callable[[], object], rounds: int) -> float:
    """Return the median CPU time of some work."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return median(times) * 1000
