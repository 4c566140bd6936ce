"""The download leg: files alone, beside programs that do nothing else.

batchcap's part is a whole run all the same: HeyGen rows whose list names every
caption with its link, so that a hundred files cost one request. It checks each
caption and syncs it to the disk; the others do neither.
"""

from __future__ import annotations

import argparse

from benchmarks import contenders, machine
from benchmarks.options import add_common, add_revision, workplace
from benchmarks.publishing import publish
from benchmarks.revisions import unpacked
from benchmarks.rounds import Course, run
from benchmarks.screening import present
from benchmarks.workload import Workload


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of `download`."""
    add_common(parser, items=10_000)
    add_revision(parser)
    names = ["batchcap", *(one.name for one in contenders.DOWNLOADING)]
    parser.add_argument(
        "--contenders", nargs="+", choices=names, metavar="NAME", help=", ".join(names)
    )


def main(given: argparse.Namespace) -> int:
    """Compare; 1 where a contender did not do its work."""
    work = Workload("heygen", given.items, given.caption_bytes)
    with workplace(given.disk) as place:
        tree = unpacked(given.revision, place.folder / "tree")
        known = [contenders.batchcap(tree, loop=given.loop), *contenders.DOWNLOADING]
        racing = present(contenders.chosen(given.contenders, known))
        about = machine.described(place.folder)
        course = Course(work, given.rounds, place.folder, place.keep, listed=True)
        results = run(course, racing)
        title = (
            f"Files alone: {work.items:,} of {work.caption_bytes:,} bytes, "
            f"{given.rounds} rounds, {given.loop}"
        )
        target = given.out / f"download-{machine.file_system(place.folder)}"
        publish(results, title, about, target, markdown=given.markdown)
    return int(any(one.failure for one in results))
