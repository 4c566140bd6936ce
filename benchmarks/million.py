"""A manifest of a million rows: how soon work begins, and what so large a ledger costs.

Each round measures, with random ids of 32 characters:

first request       from the start of the command until the server has received a request;
                    then the run is killed
memory              of some seconds of work, beside the same of ten thousand rows
the same command    when every row is done (the ledger is completed through SQL)
status, --help      with that ledger, and with none
"""

from __future__ import annotations

import argparse
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from statistics import median

from benchmarks import machine, table
from benchmarks.bars import Bar
from benchmarks.caption_text import MIN_SIZE
from benchmarks.measurement import RunningCommand, Sample
from benchmarks.options import workspace
from benchmarks.reporting import Report
from benchmarks.revisions import ROOT
from benchmarks.server import Server, running_server
from benchmarks.workload import NotDoneError

_FEW_ROWS = 10_000
_CHECK_INTERVAL = 0.02  # seconds between two looks at the server
_MAX_SECONDS = 300  # after which a run is stopped that has not sent a request

_COMPLETE_ALL_ROWS = f"""
BEGIN;
DROP INDEX pending;
UPDATE rows SET state = 'done', started_at = 1.79e9 + number, finished_at = 1.79e9 + number + 9,
       bytes = {MIN_SIZE}, sha256 = lower(hex(randomblob(32))), cues = 12,
       job_id = 'rjob_' || source_id;
DELETE FROM creates;
INSERT INTO creates SELECT number, 1, started_at, job_id, 'completed', 1 FROM rows;
CREATE INDEX pending ON rows (provider) WHERE state IS NULL;
DELETE FROM memory WHERE key = 'run.open';
COMMIT;
"""


@dataclass
class Figure:
    """One thing that is measured: a value a round; `limit` is the most its median may be."""

    what: str
    unit: str
    limit: float | None = None
    rounds: list[float] = field(default_factory=list)

    def bar(self) -> Bar | None:
        """The bar that the figure is held to, if there is one."""
        if self.limit is None:
            return None
        return Bar(self.what, median(self.rounds), self.limit, unit=f" {self.unit}")


@dataclass(frozen=True)
class Figures:
    """All that is measured."""

    first_request: Figure = field(default_factory=lambda: Figure("first request", "s", 20.0))
    first_cpu: Figure = field(default_factory=lambda: Figure("first request, CPU", "s"))
    peak: Figure = field(default_factory=lambda: Figure("peak memory", "MB"))
    growth: Figure = field(default_factory=lambda: Figure(f"above {_FEW_ROWS:,} rows", "MB", 64.0))
    again: Figure = field(default_factory=lambda: Figure("same command, all done", "s", 5.0))
    status: Figure = field(default_factory=lambda: Figure("status", "s"))
    usage: Figure = field(default_factory=lambda: Figure("--help", "s", 0.3))

    def all(self) -> list[Figure]:
        """In the order of the table."""
        return list(vars(self).values())


@dataclass(frozen=True)
class Bench:
    """Runs batchcap in `folder` against a server; works for `seconds` to measure memory."""

    folder: Path
    server: Server
    seconds: float

    def measure_round(self, figures: Figures) -> None:
        """Add one value to each figure."""
        first = self._first_request()
        figures.first_request.rounds.append(first.wall)
        figures.first_cpu.rounds.append(first.cpu)
        if not (self.folder / "done").exists():
            self._complete()
        figures.again.rounds.append(self._run(self._run_words("million.csv", "done")).wall)
        status = self._run(["status", "-o", str(self.folder / "done")])
        figures.status.rounds.append(status.wall)
        figures.usage.rounds.append(self._run(["--help"]).wall)
        few, many = self._work("few.csv"), self._work("million.csv")
        figures.peak.rounds.append(many.peak / 1e6)
        figures.growth.rounds.append((many.peak - few.peak) / 1e6)

    def _first_request(self) -> Sample:
        """Start, and kill when the server has received a request; leaves the folder `begun`."""
        rmtree(self.folder / "begun", ignore_errors=True)
        command = self._start_and_wait_for_request("million.csv", "begun")
        return command.stop(signal.SIGKILL)

    def _complete(self) -> None:
        """Make `done` from `begun`: a ledger whose rows are all done, and its results.jsonl."""
        (self.folder / "begun").rename(self.folder / "done")
        with closing(sqlite3.connect(self.folder / "done/.batchcap/ledger.sqlite")) as ledger:
            ledger.executescript(_COMPLETE_ALL_ROWS)
        self._run(self._run_words("million.csv", "done"))

    def _work(self, manifest: str) -> Sample:
        """Work on a new ledger until the end, or for some seconds from the first request on."""
        rmtree(self.folder / "worked", ignore_errors=True)
        command = self._start_and_wait_for_request(manifest, "worked")
        deadline = command.seconds + self.seconds
        while command.seconds < deadline and not command.has_ended():
            time.sleep(_CHECK_INTERVAL)
        return command.stop(signal.SIGINT)

    def _start_and_wait_for_request(self, manifest: str, out: str) -> RunningCommand:
        """Start a run; return when the server has received a request of it.

        Raises:
            NotDoneError: The run ended without a request, or took too long.
        """
        before = self._received()
        command = self._start(self._run_words(manifest, out))
        while self._received() == before:
            if command.has_ended():
                command.wait()
                raise NotDoneError("batchcap ended without a request")
            if command.seconds > _MAX_SECONDS:
                command.stop(signal.SIGKILL)
                raise NotDoneError(f"no request within {_MAX_SECONDS} s")
            time.sleep(_CHECK_INTERVAL)
        return command

    def _run(self, arguments: Sequence[str]) -> Sample:
        return self._start(arguments).wait()

    def _start(self, arguments: Sequence[str]) -> RunningCommand:
        environment = {**self.server.environment, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "batchcap", *arguments]
        return RunningCommand(command, environment, self.folder / "log", ROOT)

    def _run_words(self, manifest: str, out: str) -> list[str]:
        arguments = ["run", str(self.folder / manifest), "-o", str(self.folder / out), "--json"]
        return [*arguments, "--rate", "mux.write=none", "--rate", "mux.read=none"]

    def _received(self) -> int:
        return sum(self.server.counts().requests.values())


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `million`."""
    parser.add_argument("--rows", type=int, default=1_000_000, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of work a round (%(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """Measure all rounds."""
    figures = Figures()
    with workspace(options.disk) as space, running_server(MIN_SIZE) as server:
        about = machine.describe(space.folder)
        _write_manifest(space.folder / "million.csv", options.rows)
        _write_manifest(space.folder / "few.csv", _FEW_ROWS)
        bench = Bench(space.folder, server, options.seconds)
        for number in range(options.rounds):
            bench.measure_round(figures)
            print(f"million: round {number + 1} is done", file=sys.stderr)
    title = f"**A manifest of {options.rows:,} rows, {options.rounds} rounds**"
    record = [vars(figure) for figure in figures.all()]
    failed = any(bar.missed for figure in figures.all() if (bar := figure.bar()))
    return Report("million", f"{about}\n\n{title}\n\n{as_table(figures)}", record, failed)


def as_table(figures: Figures) -> str:
    """A row for each figure."""
    rows = [_row(figure) for figure in figures.all()]
    return table.markdown(["", "median", "least–most", "at most", ""], rows)


def _row(figure: Figure) -> list[str]:
    least, middle, most = (pick(figure.rounds) for pick in (min, median, max))
    cells = [figure.what, f"{middle:,.2f} {figure.unit}", f"{least:,.2f}–{most:,.2f}"]
    bar = figure.bar()
    return [*cells, f"{bar.limit:g} {figure.unit}", bar.verdict] if bar else [*cells, "", ""]


def _write_manifest(path: Path, rows: int) -> None:
    source = random.Random(rows)
    with path.open("w") as file:
        file.write("asset_id,track_id,to_language_code\n")
        for _ in range(rows):
            file.write(f"{source.getrandbits(128):032x},{source.getrandbits(128):032x},es\n")
