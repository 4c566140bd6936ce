"""How the figures grow: with the items, with the requests in flight, with the files' size.

One of the three varies, the others stay; batchcap beside the yardstick.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks import contenders, machine, plot, table
from benchmarks.measuring import own_peak
from benchmarks.options import PROVIDERS, Workplace, add_places, add_revision, workplace
from benchmarks.publishing import as_json
from benchmarks.revisions import unpacked
from benchmarks.rounds import Course, Result, run
from benchmarks.workload import Workload

_BYTES = 20_000
_SMALL = 2_000
_BUDGET = 400_000_000
"""Bytes of all files of one run where the size varies."""


@dataclass(frozen=True)
class Point:
    """One run of a sweep: where it lies on the axis, and what is to do."""

    sweep: str
    at: int
    items: int
    caption_bytes: int = _BYTES
    in_flight: int | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of `scale`."""
    parser.add_argument("--provider", choices=PROVIDERS, default="heygen")
    parser.add_argument("--rounds", type=int, default=1, help="(%(default)s)")
    parser.add_argument(
        "--items",
        type=int,
        nargs="*",
        default=[1_000, 10_000, 100_000, 1_000_000],
        help=f"captions of {_SMALL} bytes; 1e6 want 6 GB",
    )
    parser.add_argument("--in-flight", type=int, nargs="*", default=[8, 32, 64, 256, 1024])
    parser.add_argument("--sizes", type=int, nargs="*", default=[2_000, 20_000, 200_000, 2_000_000])
    parser.add_argument("--at-items", type=int, default=10_000, help="where the items do not vary")
    add_revision(parser)
    add_places(parser)


def points(given: argparse.Namespace) -> Iterator[Point]:
    """All runs, sweep by sweep."""
    for items in given.items:
        yield Point("items", items, items, _SMALL)
    for in_flight in given.in_flight:
        yield Point("in flight", in_flight, given.at_items, in_flight=in_flight)
    for size in given.sizes:
        yield Point("bytes", size, max(1, min(given.at_items, _BUDGET // size)), size)


def main(given: argparse.Namespace) -> int:
    """Run all sweeps; 1 where somebody did not do the work."""
    measured: list[tuple[Point, list[Result]]] = []
    with workplace(given.disk) as place:
        about = machine.described(place.folder)
        tree = unpacked(given.revision, place.folder / "tree")
        racing = [contenders.batchcap(tree, loop=given.loop), contenders.yardstick(given.loop)]
        for number, point in enumerate(points(given)):
            course = _course(given, place, point, number)
            measured.append((point, run(course, racing)))
    shown = _table([pair for pair in measured if not _failed(pair[1])])
    print(f"\nScaling, {given.provider}, {given.rounds} rounds, {given.loop}\n{about}\n")
    print(table.markdown(shown) if given.markdown else table.plain(shown))
    _write(given, measured, about)
    return int(any(_failed(results) for _, results in measured))


def _course(given: argparse.Namespace, place: Workplace, point: Point, number: int) -> Course:
    work = Workload(given.provider, point.items, point.caption_bytes)
    return Course(
        work, given.rounds, place.folder / str(number), place.keep, in_flight=point.in_flight
    )


def _failed(results: Sequence[Result]) -> bool:
    return any(one.failure for one in results)


def _table(measured: Sequence[tuple[Point, list[Result]]]) -> table.Table:
    head = ("", "at", "items", "batchcap us/item", "marginal", "yardstick us/item", "marginal")
    rows: list[Sequence[str]] = [
        [point.sweep, f"{point.at:,}", *_cells(results)] for point, results in measured
    ]
    return (
        *head,
        "ratio",
        "batchcap items/s",
        "yardstick items/s",
        "batchcap MB",
        "yardstick MB",
    ), rows


def _cells(results: Sequence[Result]) -> Iterator[str]:
    ours, theirs = results
    yield f"{ours.items:,}"
    for one in results:
        yield f"{median(one.cpu()) * 1e6:,.0f}"
        yield f"{(one.marginal() or 0.0) * 1e6:,.0f}"
    yield f"{median(ours.cpu()) / median(theirs.cpu()):.2f}"
    for one in results:
        yield f"{one.items / median(sample.wall for sample in one.samples):,.0f}"
    for one in results:
        yield table.megabytes(median(sample.peak for sample in one.samples), own_peak())


def _write(
    given: argparse.Namespace, measured: Sequence[tuple[Point, list[Result]]], about: str
) -> None:
    given.out.mkdir(parents=True, exist_ok=True)
    record = [
        {"sweep": point.sweep, "at": point.at, "results": [as_json(one) for one in results]}
        for point, results in measured
    ]
    said: dict[str, Any] = {"title": "scale", "machine": about, "points": record}
    (given.out / "scale.json").write_text(json.dumps(said, indent=1) + "\n")
    done = [pair for pair in measured if not _failed(pair[1])]
    panels = [_panel(sweep, done) for sweep in dict.fromkeys(point.sweep for point, _ in done)]
    if panels:
        title = f"Scaling, {given.provider}: CPU an item"
        unit = "CPU microseconds an item, start-up left out"
        (given.out / "scale.svg").write_text(plot.lines(title, about, unit, panels))


def _panel(sweep: str, done: Sequence[tuple[Point, list[Result]]]) -> plot.Panel:
    lines: dict[str, list[tuple[float, float]]] = {}
    for point, results in done:
        for one in results if point.sweep == sweep else ():
            height = (one.marginal() or median(one.cpu())) * 1e6
            lines.setdefault(one.contender.name, []).append((point.at, height))
    titles = {"items": "items", "in flight": "requests in flight", "bytes": "bytes of a file"}
    return plot.Panel(f"by {titles[sweep]}", titles[sweep], lines)
