"""CPU of whole items: batchcap beside the baseline and what others would write.

Loopback, no limits, and every job has completed when it is first polled, so that the
client is all that is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from statistics import median

from benchmarks import bars, machine, table
from benchmarks.bars import Bar
from benchmarks.competitors import (
    BASELINE,
    BATCHCAP,
    BATCHCAP_ASYNCIO,
    GATHER,
    REQUESTS,
    available,
)
from benchmarks.measurement import own_peak
from benchmarks.options import add_workload, workspace
from benchmarks.reporting import Report
from benchmarks.result import Result
from benchmarks.runner import Comparison
from benchmarks.server import running_server
from benchmarks.workload import Workload

COMPETITORS = (BATCHCAP, BATCHCAP_ASYNCIO, BASELINE, GATHER, REQUESTS)
BASELINE_LIMITS = {"mux": 1.75, "heygen": 1.5}
"""The most CPU an item may take, as a multiple of the baseline's."""

_TITLES = {"mux": "Mux (create, poll, download)", "heygen": "HeyGen v3 (status, link, download)"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cpu`."""
    add_workload(parser, items=3_000, rounds=5)
    names = [competitor.name for competitor in COMPETITORS]
    parser.add_argument("--competitors", nargs="+", choices=names, default=names, metavar="NAME")


def measure(options: argparse.Namespace) -> Report:
    """Measure both providers."""
    chosen = available(item for item in COMPETITORS if item.name in options.competitors)
    parts, records, failed = [], {}, False
    with workspace(options.disk) as space, running_server(options.caption_bytes) as server:
        parts.append(machine.describe(space.folder))
        for provider in options.provider:
            workload = Workload(provider, options.items, options.caption_bytes)
            results = Comparison(workload, options.rounds, server, space).run(chosen)
            held = list(judge(results, provider))
            parts += [_title(workload, options.rounds), as_table(results)]
            parts += [bars.markdown(held)] if held else []
            records[provider] = [result.as_json() for result in results]
            failed |= any(bar.missed for bar in held) or any(item.failure for item in results)
    return Report("cpu", "\n\n".join(parts), records, failed)


def judge(results: Sequence[Result], provider: str) -> Iterable[Bar]:
    """Hold batchcap's marginal CPU to that of gather and of the baseline."""
    by_name = {result.competitor.name: result for result in results if result.failure is None}
    ours = by_name.get(BATCHCAP.name)
    gather, baseline = by_name.get(GATHER.name), by_name.get(BASELINE.name)
    if ours and gather:
        value = median(ours.marginal_cpu()) / median(gather.marginal_cpu())
        at_best = median(ours.marginal_cpu()) / max(gather.marginal_cpu())
        yield Bar("CPU an item, × gather", value, 1.0, goal=0.8, at_best=at_best)
    if ours and baseline:
        value = median(ours.marginal_cpu()) / median(baseline.marginal_cpu())
        yield Bar("CPU an item, × baseline", value, BASELINE_LIMITS[provider], goal=1.25)


def as_table(results: Sequence[Result]) -> str:
    """A row for each competitor that did its work; "× NAME" compares CPU with the first one's."""
    done = [result for result in results if result.failure is None]
    if not done:
        return "No competitor did its work."
    first = done[0].competitor.name
    head = ["", "items", "CPU us/item", "least–most", f"× {first}", "start-up ms"]
    head += ["items/s", "wall s", "peak MB", "API req/item", "server busy"]
    return table.markdown(head, [_row(result, done[0], own_peak()) for result in done])


def _row(result: Result, first: Result, floor: int) -> list[str]:
    cpu = [seconds * 1e6 for seconds in result.marginal_cpu()]
    ratio = median(cpu) / 1e6 / median(first.marginal_cpu())
    peak = result.peak()
    return [
        result.competitor.name,
        f"{result.items:,}",
        f"{median(cpu):,.0f}",
        f"{min(cpu):,.0f}–{max(cpu):,.0f}",
        f"{ratio:.2f}",
        f"{median(sample.cpu for sample in result.starts) * 1e3:,.0f}",
        f"{result.rate():,.0f}",
        f"{median(result.wall()):,.2f}",
        f"{peak / 1e6:,.0f}" if peak > floor else f"≤ {floor / 1e6:,.0f}",
        f"{result.api_requests():.3f}",
        f"{result.server_load():.0%}",
    ]


def _title(workload: Workload, rounds: int) -> str:
    return (
        f"**{_TITLES[workload.provider]}: {workload.items:,} captions of "
        f"{workload.caption_bytes:,} bytes, {rounds} rounds**"
    )
