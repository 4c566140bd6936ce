"""The download leg of others: programs that are given every link at the start.

Each function writes its program's input and returns the command.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.texts import FILES
from benchmarks.workload import Workload

Build = Callable[[Workload, str, Path, Path], Sequence[str]]
"""From workload, origin, output folder and the contender's own folder to its command."""


def curl_parallel(workload: Workload, origin: str, out: Path, folder: Path) -> Sequence[str]:
    """One curl, 64 transfers at once on kept-alive connections."""
    config = folder / "curl.config"
    with config.open("w") as file:
        for link, path in _links(workload, origin, out):
            file.write(f'url = "{link}"\noutput = "{path}"\n')
    return ["curl", "-sS", "--fail", "--parallel", "--parallel-max", "64", "-K", str(config)]


def aria2c(workload: Workload, origin: str, out: Path, folder: Path) -> Sequence[str]:
    """64 downloads at once, as people call it; other flags were no faster."""
    links = folder / "aria2c.txt"
    with links.open("w") as file:
        for link, path in _links(workload, origin, out):
            file.write(f"{link}\n dir={path.parent}\n out={path.name}\n")
    return ["aria2c", "--no-conf", "-j64", "-i", str(links)]


def xargs_curl(workload: Workload, origin: str, out: Path, folder: Path) -> Sequence[str]:
    """A curl for each file, 64 at once."""
    links = folder / "links.txt"
    with links.open("w") as file:
        for link, path in _links(workload, origin, out):
            file.write(f"-o {path} {link}\n")
    return ["xargs", "-a", str(links), "-P64", "-L1", "curl", "-sS", "--fail"]


def scripted(name: str) -> Build:
    """A Python script of this folder: each line of its input is a link and a path."""

    def build(workload: Workload, origin: str, out: Path, folder: Path) -> Sequence[str]:
        links = folder / f"{name}.txt"
        with links.open("w") as file:
            for link, path in _links(workload, origin, out):
                file.write(f"{link} {path}\n")
        return [sys.executable, "-m", f"benchmarks.contenders.{name}", str(links)]

    return build


def _links(workload: Workload, origin: str, out: Path) -> Iterator[tuple[str, Path]]:
    (out / workload.provider).mkdir(parents=True)
    for name in workload.names():
        yield f"{origin}{FILES}/{name}.vtt", out / workload.provider / f"{name}.vtt"
