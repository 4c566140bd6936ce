"""Requests and makespan at the documented limits, on virtual time; every figure is exact.

Mux allows 1 POST and 5 other requests a second, HeyGen 5 requests a second. The jobs'
durations are lognormal with a median of 180 s, at most 1,800 s. All work against the same
provider in memory, which counts the requests and refuses those above the limit.
batchcap's part is its real engine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import msgspec

from batchcap.simulation import Result, Scenario, rehearse
from benchmarks import bars, machine, table
from benchmarks.bars import Bar
from benchmarks.competitors.polling_scripts import attempt, plain_script, poll_each_job
from benchmarks.reporting import Report

_FOREIGN, _OWN = "HeyGen v3, foreign account", "HeyGen v3, own account"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `simulate`."""
    parser.add_argument(
        "--rows", type=int, default=10_000, help="the bars are those of %(default)s"
    )
    parser.add_argument("--only", action="store_true", help="batchcap alone")


def measure(options: argparse.Namespace) -> Report:
    """Run all scenarios."""
    about = machine.describe()
    results: dict[str, Result] = {}
    for name, run in _runs(options.rows, options.only):
        started = time.process_time()
        results[name] = run()
        print(f"{name}: {time.process_time() - started:.1f} s of CPU", file=sys.stderr)
    held = judge(results)
    title = f"**{options.rows:,} captions at the documented limits, on virtual time**"
    text = "\n\n".join([about, title, as_table(results), bars.markdown(held)])
    record = {name: _as_json(result) for name, result in results.items()}
    return Report("simulate", text, record, any(bar.missed for bar in held))


def judge(results: Mapping[str, Result]) -> list[Bar]:
    """Hold batchcap to the limits of its polling."""
    mux, foreign, own = (results[name] for name in ("Mux, batchcap", _FOREIGN, _OWN))
    return [
        Bar("Mux: makespan, × bound", mux.makespan / mux.lower_bound, 1.02),
        Bar("Mux: requests a caption", mux.requests_per_caption(), 2.1),
        Bar("Mux: wait, p99", mux.wait(0.99), 60.0, unit=" s"),
        Bar("Mux: refused with 429", mux.throttled, 0),
        Bar("HeyGen: requests a caption", foreign.requests_per_caption(), 1.03),
        Bar("HeyGen from the list: requests a caption", own.requests_per_caption(), 0.05),
    ]


def as_table(results: Mapping[str, Result]) -> str:
    """A row for each run."""
    head = ["", "makespan s", "× bound", "requests a caption", "429"]
    head += ["worst second, write/read", "wait p50 s", "p99 s"]
    return table.markdown(head, [[name, *_cells(result)] for name, result in results.items()])


def _runs(rows: int, only: bool) -> Iterable[tuple[str, Callable[[], Result]]]:
    """A name and a function for each run. An account that is foreign is 1,000 times as large."""
    mux = Scenario(rows=rows)
    yield "Mux, batchcap", partial(rehearse, mux)
    if not only:
        yield "Mux, each job every 5 s, paced", partial(attempt, mux, poll_each_job)
        yield "Mux, plain script, 64 workers", partial(attempt, mux, plain_script)
    heygen = Scenario(provider="heygen", rows=rows)
    yield _FOREIGN, partial(rehearse, msgspec.structs.replace(heygen, account=1000 * rows))
    yield _OWN, partial(rehearse, msgspec.structs.replace(heygen, account=rows * 6 // 5))


def _cells(result: Result) -> Iterable[str]:
    yield f"{result.makespan:,.0f}"
    yield f"{result.makespan / result.lower_bound:.3f}"
    yield f"{result.requests_per_caption():.3f}"
    yield f"{result.throttled:,}"
    yield "/".join(str(count) for count in result.worst_second.values())
    for share in (0.5, 0.99):
        yield f"{result.wait(share):,.0f}"


def _as_json(result: Result) -> dict[str, Any]:
    """All but the single waits."""
    waits = {f"wait_p{share * 100:g}": result.wait(share) for share in (0.5, 0.99, 1.0)}
    return {**msgspec.structs.asdict(result), "waits": waits}
