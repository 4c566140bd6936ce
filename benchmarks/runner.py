"""Runs competitors in turns, and checks each one's work.

Each round starts with another competitor, so that none always runs after the same
neighbour. A competitor that did not do its work is reported and excluded.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.competitors import Assignment, Competitor
from benchmarks.measurement import RunningCommand, Sample
from benchmarks.options import Workspace
from benchmarks.result import Result
from benchmarks.server import Counts, Server
from benchmarks.workload import NotDoneError, Workload


@dataclass(frozen=True)
class Comparison:
    """The work of every competitor, and how often it is done.

    With `start_up`, each competitor also runs a single item a round, so that the cost of
    starting can be subtracted.
    """

    workload: Workload
    rounds: int
    server: Server
    workspace: Workspace
    start_up: bool = True

    def run(self, competitors: Sequence[Competitor]) -> list[Result]:
        """Run all rounds; a competitor that fails has a `failure` and no further rounds."""
        results = [Result(competitor, self._items(competitor)) for competitor in competitors]
        for number in range(self.rounds):
            turn = number % len(results)
            for result in [*results[turn:], *results[:turn]]:
                if result.failure is None:
                    self._run_round(result, number)
        return results

    def _items(self, competitor: Competitor) -> int:
        return min(self.workload.items, competitor.max_items or self.workload.items)

    def _run_round(self, result: Result, number: int) -> None:
        name = f"{self.workload.provider}-{number}-{result.competitor.name.replace('/', '-')}"
        try:
            if self.start_up:
                sample, _ = self._run_once(result.competitor, 1, f"{name}-start")
                result.starts.append(sample)
            sample, served = self._run_once(result.competitor, result.items, name)
            result.samples.append(sample)
            result.served.append(served)
            print(f"{name}: {sample.wall:.2f} s, {sample.cpu:.2f} s of CPU", file=sys.stderr)
        except NotDoneError as error:
            result.failure = str(error)
            print(f"error: {result.competitor.name}: {error}", file=sys.stderr)

    def _run_once(self, competitor: Competitor, items: int, name: str) -> tuple[Sample, Counts]:
        """Run, measure and check once. Raises `NotDoneError`."""
        folder = self.workspace.folder / name
        folder.mkdir(parents=True)
        workload = replace(self.workload, items=items)
        manifest = folder / "manifest.csv"
        workload.write_manifest(manifest)
        assignment = Assignment(workload, manifest, folder / "out", folder, self.server)
        command = competitor.command(assignment)
        environment = {**self.server.environment, **competitor.environment}
        before = self.server.counts()
        try:
            sample = RunningCommand(command, environment, folder / "log", competitor.cwd).wait()
            served = self.server.counts().since(before)
            workload.check(assignment.out)
        finally:
            if not self.workspace.keep:
                shutil.rmtree(folder, ignore_errors=True)
        return sample, served
