"""Whole items as users meet them: over TLS, with a round trip of 100 ms.

Limits are lifted, and every job has completed when it is first polled: in practice the
provider's quota decides, and this table shows what is left when it does not. Wall time
counts here, start-up included. `curl --parallel` downloads the same files from links that
it is given: it creates no jobs and asks no API.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import median

from benchmarks import machine, table
from benchmarks.competitors import BATCHCAP, CURL, GATHER, REQUESTS, available
from benchmarks.options import add_workload, workspace
from benchmarks.reporting import Report
from benchmarks.result import Result
from benchmarks.runner import Comparison
from benchmarks.server import running_server
from benchmarks.workload import Workload

COMPETITORS = (BATCHCAP, GATHER, REQUESTS, CURL)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `network`."""
    add_workload(parser, items=2_000, rounds=3)
    parser.add_argument("--round-trip", type=float, default=0.1, help="seconds (%(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """Measure both providers."""
    chosen = available(COMPETITORS)
    parts, records, failed = [], {}, False
    with (
        workspace(options.disk) as space,
        running_server(
            options.caption_bytes,
            ca_file=space.folder / "ca.pem",
            round_trip=options.round_trip,
        ) as server,
    ):
        parts.append(machine.describe(space.folder))
        for provider in options.provider:
            workload = Workload(provider, options.items, options.caption_bytes)
            comparison = Comparison(workload, options.rounds, server, space, start_up=False)
            results = comparison.run(chosen)
            parts += [_title(workload, options), as_table(results)]
            records[provider] = [result.as_json() for result in results]
            failed |= any(result.failure for result in results)
    return Report("network", "\n\n".join(parts), records, failed)


def as_table(results: Sequence[Result]) -> str:
    """A row for each competitor that did its work."""
    head = ["", "items", "items/s", "wall s", "least–most", "CPU us/item", "API req/item"]
    rows = [_row(result) for result in results if result.failure is None]
    return table.markdown([*head, "server busy"], rows)


def _row(result: Result) -> list[str]:
    wall = result.wall()
    return [
        result.competitor.name,
        f"{result.items:,}",
        f"{result.rate():,.0f}",
        f"{median(wall):,.2f}",
        f"{min(wall):,.2f}–{max(wall):,.2f}",
        f"{median(result.cpu()) * 1e6:,.0f}",
        f"{result.api_requests():.3f}",
        f"{result.server_load():.0%}",
    ]


def _title(workload: Workload, options: argparse.Namespace) -> str:
    name = {"mux": "Mux", "heygen": "HeyGen v3"}[workload.provider]
    return (
        f"**{name}: {workload.items:,} captions of {workload.caption_bytes:,} bytes, TLS, "
        f"{options.round_trip * 1e3:g} ms, {options.rounds} rounds**"
    )
