"""A million rows: how soon the first request leaves, and what so large a ledger costs.

Each round asks five things of batchcap, with random ids of 32 characters:

first request      from the start of the command until the server has heard of it; then killed
working            for some seconds, beside a run of ten thousand rows: memory, and the CPU of
                   each callback of the loop (asyncio's, which can be looked into)
the same command   where every row has ended (the ledger is finished through SQL)
status, --help     on that ledger, and on none

The best round counts against a bar: what else happens on a machine only adds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import disk_usage, rmtree
from statistics import median
from typing import Any

from benchmarks import machine, table
from benchmarks.measuring import Sample, measured
from benchmarks.options import add_places, workplace
from benchmarks.serving import ROOT, Server, running
from benchmarks.texts import SMALLEST
from benchmarks.workload import NotDoneError

_FEW = 10_000
_LOOK = 0.02
"""Seconds between two looks at the server."""
_LONGEST = 300
"""Seconds after which a first request is not waited for any more."""
_FILE = 6_000
"""Bytes that a finished row takes: a page and an inode, its share of ledger and report."""

_FINISH = f"""
BEGIN;
DROP INDEX pending;
UPDATE rows SET state = 'done', started_at = 1.79e9 + number, finished_at = 1.79e9 + number + 9,
       bytes = {SMALLEST}, sha256 = lower(hex(randomblob(32))), cues = 12,
       job_id = 'rjob_' || source_id;
DELETE FROM creates;
INSERT INTO creates SELECT number, 1, started_at, job_id, 'completed', 1 FROM rows;
CREATE INDEX pending ON rows (provider) WHERE state IS NULL;
DELETE FROM memory WHERE key = 'run.open';
COMMIT;
"""


@dataclass
class Figure:
    """One thing that is measured: a value a round, in `unit`; `bar` is the most it may be."""

    what: str
    unit: str
    bar: float | None
    rounds: list[float] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether the best round is within the bar."""
        return self.bar is None or min(self.rounds) <= self.bar


@dataclass(frozen=True)
class Place:
    """Where batchcap works, and on what."""

    folder: Path
    server: Server
    rows: int
    seconds: float

    @property
    def manifest(self) -> Path:
        """All rows."""
        return self.folder / "million.csv"

    @property
    def few(self) -> Path:
        """Ten thousand of them, to compare with."""
        return self.folder / "few.csv"

    def command(self, manifest: Path, out: str) -> list[str]:
        """What is typed, behind `batchcap`."""
        words = ["run", str(manifest), "-o", str(self.folder / out), "--json"]
        return [*words, "--rate", "mux.write=none", "--rate", "mux.read=none"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of `million`."""
    parser.add_argument("--rows", type=int, default=1_000_000, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of work a round (%(default)s)")
    parser.add_argument(
        "--complete", action="store_true", help="also run all rows to their end; some GB"
    )
    add_places(parser)


def main(given: argparse.Namespace) -> int:
    """Measure; 1 where a bar is not kept, 2 where there is no room for `--complete`."""
    with workplace(given.disk) as found:
        if given.complete and (want := _wanting(found.folder, given.rows)):
            print(f"error: {want}", file=sys.stderr)
            return 2
        about = machine.described(found.folder)
        with running(SMALLEST) as server:
            place = Place(found.folder, server, given.rows, given.seconds)
            _write(place.manifest, given.rows)
            _write(place.few, _FEW)
            figures = _figures(place, given.rounds)
            if given.complete:
                figures += _completed(place)
    _publish(figures, f"A manifest of {given.rows:,} rows", about, given)
    return int(not all(one.kept for one in figures))


def _write(manifest: Path, rows: int) -> None:
    chance = random.Random(rows)
    with manifest.open("w") as file:
        file.write("asset_id,track_id,to_language_code\n")
        for _ in range(rows):
            file.write(f"{chance.getrandbits(128):032x},{chance.getrandbits(128):032x},es\n")


def _figures(place: Place, rounds: int) -> list[Figure]:
    """All rounds; the finished ledger is made in the first."""
    wall, cpu = Figure("first request", "s", 10.0), Figure("first request, CPU", "s", None)
    peak, memory = Figure("memory, peak", "MB", None), Figure(f"beside {_FEW:,} rows", "MB", 64.0)
    longest = Figure("longest callback, CPU", "ms", 50.0)
    p99 = Figure("callbacks, CPU, p99", "ms", 5.0)
    again = Figure("same command, all done", "s", 5.0)
    status, usage = Figure("status", "s", None), Figure("--help", "s", 0.3)
    for number in range(rounds):
        first = _first_request(place)
        wall.rounds.append(first.wall)
        cpu.rounds.append(first.cpu)
        if not number:
            _finish(place)
        for figure, words in (
            (again, place.command(place.manifest, "done")),
            (status, ["status", "-o", str(place.folder / "done")]),
            (usage, ["--help"]),
        ):
            figure.rounds.append(_run(place, words).wall)
        few, _ = _worked(place, place.few)
        many, callbacks = _worked(place, place.manifest)
        peak.rounds.append(many.peak / 1e6)
        memory.rounds.append((many.peak - few.peak) / 1e6)
        longest.rounds.append(callbacks["longest"] * 1e3)
        p99.rounds.append(callbacks["p99"] * 1e3)
    return [wall, cpu, peak, memory, longest, p99, again, status, usage]


def _run(place: Place, words: Sequence[str]) -> Sample:
    """One command of batchcap to its end. Raises `NotDoneError`."""
    command = [sys.executable, "-m", "batchcap", *words]
    return measured(command, _environment(place), place.folder / "talk", ROOT)


def _environment(place: Place) -> Mapping[str, str]:
    return {**place.server.environment, "PYTHONPATH": str(ROOT)}


def _first_request(place: Place) -> Sample:
    """Start, and kill when the server has heard of it; what is imported stays in `begun`."""
    rmtree(place.folder / "begun", ignore_errors=True)
    command = [sys.executable, "-m", "batchcap", *place.command(place.manifest, "begun")]
    before = _heard(place)
    return _ended(place, command, lambda: _heard(place) > before, signal.SIGKILL)


def _heard(place: Place) -> int:
    return sum(place.server.counts().requests.values())


def _worked(place: Place, manifest: Path) -> tuple[Sample, Mapping[str, float]]:
    """Work on a fresh ledger until the end, or for some seconds from the first request on."""
    out, told = place.folder / "worked", place.folder / "callbacks.json"
    rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.million", str(told)]
    before, began = _heard(place), [0.0]

    def enough() -> bool:
        if not began[0] and _heard(place) > before:
            began[0] = time.monotonic()
        return bool(began[0]) and time.monotonic() > began[0] + place.seconds

    words = place.command(manifest, out.name)
    sample = _ended(place, [*command, *words], enough, signal.SIGINT)
    return sample, json.loads(told.read_text())


def _ended(place: Place, command: Sequence[str], enough: Callable[[], bool], by: int) -> Sample:
    """A command that is sent a signal as soon as there is `enough`; its wall time until then.

    Raises `NotDoneError` where it ends by itself before anything was heard of it.
    """
    talk = place.folder / "talk"
    environment = {**os.environ, **_environment(place), "BATCHCAP_LOOP": "asyncio"}
    with talk.open("wb") as file:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT, env=environment)
        while not (done := enough()) and os.waitid(os.P_PID, process.pid, _GONE) is None:
            time.sleep(_LOOK)
            if time.perf_counter() > began + _LONGEST:
                break
        wall = time.perf_counter() - began
        os.kill(process.pid, by)  # that of subprocess would wait for one that has ended
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if not done and process.returncode:
        raise NotDoneError(f"batchcap ended with {process.returncode}:\n{talk.read_text()[-2000:]}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


_GONE = os.WEXITED | os.WNOHANG | os.WNOWAIT


def _finish(place: Place) -> None:
    """Make of what was begun a ledger in which every row has ended, and its results.jsonl."""
    (place.folder / "begun").rename(place.folder / "done")
    with closing(sqlite3.connect(place.folder / "done/.batchcap/ledger.sqlite")) as connection:
        connection.executescript(_FINISH)
    _run(place, place.command(place.manifest, "done"))


def _completed(place: Place) -> list[Figure]:
    """All rows to their end. Raises `NotDoneError` where a file is missing."""
    for other in ("begun", "done", "worked"):
        rmtree(place.folder / other, ignore_errors=True)
    sample = _run(place, place.command(place.manifest, "whole"))
    with os.scandir(place.folder / "whole/mux") as files:
        found = sum(1 for _ in files)
    if found != place.rows:
        raise NotDoneError(f"{found:,} files instead of {place.rows:,}")
    return [
        Figure("to the end", "s", None, [sample.wall]),
        Figure("to the end, CPU", "s", None, [sample.cpu]),
        Figure("to the end, peak memory", "MB", None, [sample.peak / 1e6]),
    ]


def _wanting(folder: Path, rows: int) -> str:
    """What there is too little of for all the files; "" where there is enough."""
    free, wanted = disk_usage(folder).free, rows * _FILE
    meminfo = Path("/proc/meminfo")
    if machine.file_system(folder) == "tmpfs" and meminfo.exists():
        said = dict(line.split(":") for line in meminfo.read_text().splitlines())
        free = min(free, int(said["MemAvailable"].split()[0]) * 1024)
    if free < wanted:
        return f"{rows:,} files want {wanted / 1e9:.1f} GB in {folder}, {free / 1e9:.1f} are free"
    inodes = os.statvfs(folder).f_favail
    return f"{rows:,} files, and {folder} can take {inodes:,}" if inodes < rows else ""


def _publish(figures: Sequence[Figure], title: str, about: str, given: argparse.Namespace) -> None:
    rows = [_row(one) for one in figures]
    shown: table.Table = ("", "best", "median", "most", "bar", ""), rows
    print(f"\n{title}, {given.rounds} rounds\n{about}\n")
    print(table.markdown(shown) if given.markdown else table.plain(shown))
    given.out.mkdir(parents=True, exist_ok=True)
    record = [
        {"what": one.what, "unit": one.unit, "bar": one.bar, "rounds": one.rounds}
        for one in figures
    ]
    said = {"title": title, "machine": about, "figures": record}
    (given.out / "million.json").write_text(json.dumps(said, indent=1) + "\n")


def _row(one: Figure) -> Sequence[str]:
    values = [f"{of(one.rounds):,.2f} {one.unit}" for of in (min, median, max)]
    if one.bar is None:
        return (one.what, *values, "-", "")
    return (one.what, *values, f"{one.bar:g} {one.unit}", "kept" if one.kept else "not kept")


@contextmanager
def _watched(target: Path) -> Iterator[None]:
    """Measure the CPU of every callback of asyncio's loop; their figures go to a file."""
    times = array("d")
    run: Any = asyncio.Handle._run

    def measured_run(self: asyncio.Handle) -> None:
        began = time.thread_time()
        run(self)
        times.append(time.thread_time() - began)

    asyncio.Handle._run = measured_run  # type: ignore[method-assign]
    try:
        yield
    finally:
        found = sorted(times) or [0.0]
        p99 = found[len(found) * 99 // 100]
        said = {"callbacks": len(times), "longest": found[-1], "p99": p99}
        target.write_text(json.dumps(said))


if __name__ == "__main__":
    from batchcap.cli import main as batchcap

    with _watched(Path(sys.argv[1])):
        status = batchcap(sys.argv[2:])
    sys.exit(status)
