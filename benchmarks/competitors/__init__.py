"""The programs that are compared: an explicit table, one file each.

A competitor is a command. It gets a manifest, an output folder and the server's
environment, and has to leave exactly the wanted files in the folder.

`baseline`          the same work by hand, as durable as batchcap: the one to be compared with
`gather`            what most people write first: gather, aiohttp, `json()`, aiofiles
`requests_threads`  requests in 64 threads
`curl`              `curl --parallel`, for the files alone
`polling_scripts`   two ways of polling, on virtual time (`simulate`)
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.competitors import curl
from benchmarks.revisions import ROOT
from benchmarks.server import Server
from benchmarks.workload import Workload


@dataclass(frozen=True)
class Assignment:
    """One run's work. `folder` is for input files that the competitor needs in addition."""

    workload: Workload
    manifest: Path
    out: Path
    folder: Path
    server: Server


@dataclass(frozen=True)
class Competitor:
    """A command that does the work; `command` builds it and writes its input files.

    `needs` are programs or Python modules. `max_items` bounds a run of a slow competitor.
    `cwd` is the folder that it runs in.
    """

    name: str
    description: str
    command: Callable[[Assignment], Sequence[str]]
    needs: tuple[str, ...] = ()
    max_items: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = ROOT

    def missing(self) -> list[str]:
        """What it needs and is not installed here."""
        return [need for need in self.needs if not (shutil.which(need) or _is_module(need))]


def batchcap(name: str = "batchcap", *, loop: str = "uvloop", tree: Path = ROOT) -> Competitor:
    """`batchcap run` of a source tree with every limit lifted."""

    def command(assignment: Assignment) -> list[str]:
        return [
            *(sys.executable, "-m", "batchcap", "run", str(assignment.manifest)),
            *("-o", str(assignment.out), "--json", "--no-progress"),
            *("--rate", "mux.write=none", "--rate", "mux.read=none", "--rate", "heygen=none"),
        ]

    return Competitor(
        name,
        f"`batchcap run` on {loop}",
        command,
        ("uvloop",) if loop == "uvloop" else (),
        environment={"BATCHCAP_LOOP": loop, "PYTHONPATH": str(tree)},
        cwd=tree,
    )


def _script(name: str) -> Callable[[Assignment], Sequence[str]]:
    """A script of this folder that takes the manifest and the output folder."""

    def command(assignment: Assignment) -> list[str]:
        module = f"benchmarks.competitors.{name}"
        return [sys.executable, "-m", module, str(assignment.manifest), str(assignment.out)]

    return command


def _curl(assignment: Assignment) -> Sequence[str]:
    return curl.command(
        assignment.workload, assignment.server.origin, assignment.out, assignment.folder
    )


BATCHCAP = batchcap()
BATCHCAP_ASYNCIO = batchcap("batchcap-asyncio", loop="asyncio")
BASELINE = Competitor(
    "baseline", "the same work by hand, aiohttp on uvloop", _script("baseline"), ("uvloop",)
)
GATHER = Competitor("gather", "gather + aiohttp + json() + aiofiles", _script("gather"))
REQUESTS = Competitor(
    "requests", "requests, 64 threads", _script("requests_threads"), ("requests",), max_items=1000
)
CURL = Competitor("curl-parallel", "curl --parallel: the files alone", _curl, ("curl",))


def available(competitors: Iterable[Competitor]) -> list[Competitor]:
    """Those whose programs and modules are installed; print the others."""
    installed = []
    for competitor in competitors:
        if missing := competitor.missing():
            print(f"left out: {competitor.name} needs {', '.join(missing)}", file=sys.stderr)
        else:
            installed.append(competitor)
    return installed


def _is_module(name: str) -> bool:
    return name.isidentifier() and importlib.util.find_spec(name) is not None
