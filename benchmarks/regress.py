"""Whether one revision costs more than another: both run in turns, in one sitting.

The server, the measuring and the bars are this tree's for both. Exit status 1 if CPU,
memory or requests of the second are above the threshold.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import median

from benchmarks import bars, machine
from benchmarks.bars import Bar
from benchmarks.competitors import batchcap
from benchmarks.cpu import as_table
from benchmarks.options import add_workload, workspace
from benchmarks.reporting import Report
from benchmarks.result import Result
from benchmarks.revisions import unpack
from benchmarks.runner import Comparison
from benchmarks.server import running_server
from benchmarks.workload import Workload


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `regress`."""
    parser.add_argument("before", metavar="REV_A")
    parser.add_argument("after", metavar="REV_B", help='a revision, or "." for the working tree')
    parser.add_argument("--threshold", type=float, default=1.10, help="(%(default)s)")
    add_workload(parser, items=3_000, rounds=5)


def measure(options: argparse.Namespace) -> Report:
    """Compare the revisions.

    Raises:
        LookupError: A revision is not known.
    """
    parts, records, failed = [], {}, False
    with workspace(options.disk) as space:
        parts.append(machine.describe(space.folder))
        revisions = {f"A {options.before}": options.before, f"B {options.after}": options.after}
        competitors = [
            batchcap(name, tree=unpack(revision, space.folder / f"tree-{name[0]}"))
            for name, revision in revisions.items()
        ]
        with running_server(options.caption_bytes) as server:
            for provider in options.provider:
                workload = Workload(provider, options.items, options.caption_bytes)
                results = Comparison(workload, options.rounds, server, space).run(competitors)
                held = judge(results[0], results[1], options.threshold)
                parts += [f"**{provider}**", as_table(results), bars.markdown(held)]
                records[provider] = [result.as_json() for result in results]
                failed |= any(bar.missed for bar in held) or any(item.failure for item in results)
    return Report("regress", "\n\n".join(parts), records, failed)


def judge(before: Result, after: Result, threshold: float) -> list[Bar]:
    """The second revision's figures by the first's; none if one did not do its work."""
    if before.failure or after.failure:
        return []
    cpu = growth(
        [sample.cpu for sample in before.samples], [sample.cpu for sample in after.samples]
    )
    peak = growth(
        [sample.peak for sample in before.samples], [sample.peak for sample in after.samples]
    )
    requests = after.api_requests() / (before.api_requests() or 1.0)
    return [
        Bar("CPU an item", cpu, threshold),
        Bar("peak memory", peak, threshold),
        Bar("API requests an item", requests, threshold),
    ]


def growth(before: Sequence[float], after: Sequence[float]) -> float:
    """The lesser of two ratios: the median of the rounds' own, and that of the best rounds.

    Other work on the machine only adds, and seldom to every round. A revision that
    really costs more does so by both ratios.
    """
    rounds = [b / a for a, b in zip(before, after, strict=True)]
    return min(median(rounds), min(after) / min(before))
