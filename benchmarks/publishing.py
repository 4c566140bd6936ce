"""What a comparison leaves: the table on the screen, JSON and a plot in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import plot, table
from benchmarks.rounds import Result


def publish(
    results: Sequence[Result], title: str, machine: str, target: Path, *, markdown: bool
) -> None:
    """Print the table; write `target`.json and `target`.svg."""
    print(f"\n{'**' if markdown else ''}{title}{'**' if markdown else ''}")
    print(f"{machine}\n")
    done = [one for one in results if one.failure is None]
    if done:
        shown = table.of(results)
        print(table.markdown(shown) if markdown else table.plain(shown))
        print()
        for one in done:
            print(f"{'- ' if markdown else '  '}{one.contender.name}: {one.contender.what}")
    target.parent.mkdir(parents=True, exist_ok=True)
    record = {"title": title, "machine": machine, "results": [as_json(one) for one in results]}
    target.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    if done:
        target.with_suffix(".svg").write_text(bars(done, title, machine))


def bars(done: Sequence[Result], title: str, machine: str) -> str:
    """CPU an item, with the spread, and what the first one's share of it is."""
    first = median(done[0].cpu())
    shown = []
    for one in done:
        cpu = [seconds * 1e6 for seconds in one.cpu()]
        note = f"({median(cpu) / first / 1e6:.2f}×, {_rate(one):,.0f}/s)"
        shown.append(plot.Bar(one.contender.name, median(cpu), min(cpu), max(cpu), note))
    return plot.bars(title, machine, "CPU microseconds an item, start-up included", shown)


def as_json(result: Result) -> dict[str, Any]:
    """Every figure of every round: seconds and bytes, raw."""
    return {
        "name": result.contender.name,
        "what": result.contender.what,
        "items": result.items,
        "cpu_seconds": [one.cpu for one in result.samples],
        "wall_seconds": [one.wall for one in result.samples],
        "peak_bytes": [one.peak for one in result.samples],
        "start_cpu_seconds": [one.cpu for one in result.starts],
        "requests": [dict(one.requests) for one in result.served],
        "server_cpu_seconds": [one.cpu for one in result.served],
        "failure": result.failure,
    }


def _rate(result: Result) -> float:
    return result.items / median(one.wall for one in result.samples)
