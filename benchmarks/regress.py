"""Whether a revision is slower than another: both run in turns, in one sitting.

Server and measuring are this tree's for both.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks import contenders, machine
from benchmarks.options import add_common, add_providers, workplace
from benchmarks.publishing import publish
from benchmarks.revisions import unpacked
from benchmarks.rounds import Course, Result, run
from benchmarks.workload import Workload


@dataclass(frozen=True)
class Verdict:
    """One figure of two revisions: the second by the first."""

    what: str
    ratio: float
    threshold: float

    @property
    def worse(self) -> bool:
        """Whether the second revision is dearer than is allowed."""
        return self.ratio > self.threshold

    def __str__(self) -> str:
        word = "worse" if self.worse else "fine"
        return f"{self.what}: {self.ratio:.3f} times ({word}, at most {self.threshold:g})"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of `regress`."""
    parser.add_argument("before", metavar="REV_A")
    parser.add_argument("after", metavar="REV_B", help='a revision, or "." for the working tree')
    parser.add_argument("--threshold", type=float, default=1.10, help="(%(default)s)")
    add_common(parser, items=5_000, rounds=5)
    add_providers(parser)


def main(given: argparse.Namespace) -> int:
    """Compare; 1 where the second revision is worse, or did not do its work."""
    bad = False
    with workplace(given.disk) as place:
        about = machine.described(place.folder)
        revisions = (given.before, given.after)
        trees = [unpacked(one, place.folder / f"tree-{n}") for n, one in enumerate(revisions)]
        racing = [
            contenders.batchcap(tree, loop=given.loop, name=f"{letter} {revision}")
            for letter, revision, tree in zip("AB", revisions, trees, strict=True)
        ]
        for provider in given.provider:
            work = Workload(provider, given.items, given.caption_bytes)
            results = run(Course(work, given.rounds, place.folder, place.keep), racing)
            title = f"{given.before} and {given.after}, {provider}, {given.items:,} captions"
            publish(
                results, title, about, given.out / f"regress-{provider}", markdown=given.markdown
            )
            bad |= _judge(results, given.threshold)
    return int(bad)


def judged(before: Result, after: Result, threshold: float) -> list[Verdict]:
    """What grew: CPU and memory by `growth`, requests by count."""
    cpu = growth([one.cpu for one in before.samples], [one.cpu for one in after.samples])
    peak = growth([one.peak for one in before.samples], [one.peak for one in after.samples])
    requests = after.requests() / before.requests() if before.requests() else 1.0
    return [
        Verdict("CPU an item", cpu, threshold),
        Verdict("peak memory", peak, threshold),
        Verdict("API requests an item", requests, threshold),
    ]


def growth(before: Sequence[float], after: Sequence[float]) -> float:
    """The lesser of two ratios: the median of the rounds' own, and that of the best rounds.

    What else happens on a machine only adds, and seldom to every round: a revision
    that is really dearer is so in both.
    """
    rounds = [b / a for a, b in zip(before, after, strict=True)]
    return min(median(rounds), min(after) / min(before))


def _judge(results: Sequence[Result], threshold: float) -> bool:
    """Print the verdicts; whether there is a bad one."""
    if any(one.failure for one in results):
        return True
    verdicts = judged(results[0], results[1], threshold)
    print("\n" + "\n".join(f"  {one}" for one in verdicts))
    return any(one.worse for one in verdicts)
