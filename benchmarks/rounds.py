"""Rounds: every contender once a round, in turns, and each one's work checked.

Each round starts with another contender, so that nobody always runs after the same
neighbour. A contender that did not do its work is told and leaves the comparison.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from benchmarks.contenders import Assignment, Contender
from benchmarks.measuring import Sample, measured
from benchmarks.serving import Counts, Server, running
from benchmarks.workload import NotDoneError, Workload


@dataclass(frozen=True)
class Course:
    """What every contender has to do, how often, and where the files go.

    `listed`: the HeyGen list names all items with their links (the download leg).
    `keep`: files stay until the end, since deleting many poisons the next run on
    ext4; off on a tmpfs, where they would use up the memory.
    """

    workload: Workload
    rounds: int
    folder: Path
    keep: bool
    listed: bool = False
    in_flight: int | None = None
    start_up: bool = True
    """Also run one item a round, to tell start-up from work."""


@dataclass
class Result:
    """One contender's rounds. `starts` are its runs of a single item."""

    contender: Contender
    items: int
    samples: list[Sample] = field(default_factory=list)
    starts: list[Sample] = field(default_factory=list)
    served: list[Counts] = field(default_factory=list)
    failure: str | None = None

    def cpu(self) -> list[float]:
        """CPU seconds an item, start-up included, of each round."""
        return [one.cpu / self.items for one in self.samples]

    def marginal(self) -> float | None:
        """CPU seconds of one more item; None where start-up was not measured."""
        if not self.starts or self.items < 2:
            return None
        start = median(one.cpu for one in self.starts)
        return (median(one.cpu for one in self.samples) - start) / (self.items - 1)

    def requests(self) -> float:
        """API requests an item."""
        api = [sum(one.requests.values()) - one.requests.get("file", 0) for one in self.served]
        return median(api) / self.items

    def server_share(self) -> float:
        """CPU seconds of the server for each second of the run: 1 would be its limit."""
        pairs = zip(self.served, self.samples, strict=True)
        return median(served.cpu / sample.wall for served, sample in pairs)


def run(course: Course, contenders: Sequence[Contender]) -> list[Result]:
    """Run all rounds. A contender that fails has `failure` and no further rounds."""
    results = [Result(one, _items(course, one)) for one in contenders]
    listed = course.workload.items if course.listed else 0
    with running(course.workload.caption_bytes, listed=listed) as server:
        for number in range(course.rounds):
            turn = number % len(results)
            for result in [*results[turn:], *results[:turn]]:
                if result.failure is None:
                    _round(course, server, result, number)
    return results


def _items(course: Course, contender: Contender) -> int:
    return min(course.workload.items, contender.most or course.workload.items)


def _round(course: Course, server: Server, result: Result, number: int) -> None:
    folder = course.folder / f"{course.workload.provider}-{number}-{result.contender.name}"
    try:
        if course.start_up:
            sample, _ = _attempt(course, server, result.contender, 1, folder / "start")
            result.starts.append(sample)
        sample, served = _attempt(course, server, result.contender, result.items, folder / "all")
        result.samples.append(sample)
        result.served.append(served)
    except NotDoneError as error:
        result.failure = str(error)
        print(f"error: {result.contender.name}: {error}", file=sys.stderr)
    finally:
        if not course.keep:
            shutil.rmtree(folder, ignore_errors=True)


def _attempt(
    course: Course, server: Server, contender: Contender, items: int, folder: Path
) -> tuple[Sample, Counts]:
    """One run, measured and checked. Raises `NotDoneError`."""
    folder.mkdir(parents=True)
    workload = replace(course.workload, items=items)
    manifest = folder / "manifest.csv"
    workload.write_manifest(manifest)
    work = Assignment(workload, manifest, folder / "out", folder, server, course.in_flight)
    command = contender.command(work)
    environment = {**server.environment, **contender.environment}
    before = server.counts()
    sample = measured(command, environment, folder / "talk", contender.cwd)
    served = server.counts().since(before)
    workload.check(work.out)
    return sample, served
