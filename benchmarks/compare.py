"""Whole items: from the manifest to checked files, beside what others would write."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import contenders, machine
from benchmarks.contenders import Contender
from benchmarks.options import add_common, add_providers, add_revision, workplace
from benchmarks.publishing import publish
from benchmarks.revisions import unpacked
from benchmarks.rounds import Course, run
from benchmarks.screening import present
from benchmarks.serving import ROOT
from benchmarks.workload import Workload


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of `compare`."""
    add_common(parser, items=10_000)
    add_providers(parser)
    add_revision(parser)
    names = [one.name for one in _known(ROOT, "uvloop")]
    parser.add_argument(
        "--contenders", nargs="+", choices=names, metavar="NAME", help=", ".join(names)
    )


def main(given: argparse.Namespace) -> int:
    """Compare; 1 where a contender did not do its work."""
    failed = False
    with workplace(given.disk) as place:
        racing = present(_chosen(given, unpacked(given.revision, place.folder / "tree")))
        for provider in given.provider:
            work = Workload(provider, given.items, given.caption_bytes)
            about = machine.described(place.folder)
            course = Course(work, given.rounds, place.folder, place.keep)
            results = run(course, racing)
            failed |= any(one.failure for one in results)
            publish(
                results,
                _title(work, given),
                about,
                given.out / f"compare-{provider}",
                markdown=given.markdown,
            )
    return int(failed)


def _chosen(given: argparse.Namespace, tree: Path) -> Sequence[Contender]:
    """Those that were named; else all but those that do more than people would."""
    known = _known(tree, given.loop)
    names = given.contenders or [one.name for one in known if one not in contenders.CHECKING]
    return contenders.chosen(names, known)


def _known(tree: Path, loop: str) -> Sequence[Contender]:
    ours = (contenders.batchcap(tree, loop=loop), contenders.yardstick(loop))
    return (*ours, *contenders.COMPARED, *contenders.CHECKING)


def _title(work: Workload, given: argparse.Namespace) -> str:
    names = {"mux": "Mux (create, status, link, file)", "heygen": "HeyGen v3 (status, link, file)"}
    return (
        f"{names[work.provider]}: {work.items:,} captions of {work.caption_bytes:,} bytes, "
        f"{given.rounds} rounds, {given.loop}"
    )
