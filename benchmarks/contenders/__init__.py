"""Who is measured: an explicit table.

A contender is a command; it gets a manifest (or links), an output folder and the
server's environment, and has to leave exactly the wanted files there.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import programs
from benchmarks.serving import ROOT, Server
from benchmarks.workload import Workload


@dataclass(frozen=True)
class Assignment:
    """One run's work. `folder` is the contender's own, for what it needs beside the manifest."""

    workload: Workload
    manifest: Path
    out: Path
    folder: Path
    server: Server
    in_flight: int | None = None
    """Requests in the air at once; None: what the contender does by itself (64)."""


@dataclass(frozen=True)
class Contender:
    """`command` builds the command and writes its input files; that is not measured.

    `needs` are programs or Python modules; `most` items a run are enough for one that
    is slow, since it starts a process an item. `cwd` is where it runs.
    """

    name: str
    what: str
    command: Callable[[Assignment], Sequence[str]]
    needs: tuple[str, ...] = ()
    most: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = ROOT

    def missing(self) -> list[str]:
        """What it needs and is not installed here."""
        return [one for one in self.needs if not (shutil.which(one) or _module(one))]


def batchcap(tree: Path = ROOT, *, loop: str = "uvloop", name: str = "batchcap") -> Contender:
    """The command of a source tree, on a loop, with every limit lifted."""

    def command(work: Assignment) -> list[str]:
        words = [sys.executable, "-m", "batchcap", "run", str(work.manifest), "-o", str(work.out)]
        words += ["--json", "--no-progress"]
        for bucket in ("mux.write", "mux.read", "heygen"):
            words += ["--rate", f"{bucket}=none"]
        if work.in_flight:
            words += ["--connections", str(work.in_flight), "--downloads", str(work.in_flight)]
        return words

    environment = {"BATCHCAP_LOOP": loop, "PYTHONPATH": str(tree)}
    needs = ("uvloop",) if loop == "uvloop" else ()
    what = f"batchcap run on {loop}: ledger, check, sync"
    return Contender(name, what, command, needs, environment=environment, cwd=tree)


def yardstick(loop: str = "uvloop") -> Contender:
    """The hand-written loop of the same work."""

    def command(work: Assignment) -> list[str]:
        words = [sys.executable, "-m", "benchmarks.yardstick", str(work.manifest), str(work.out)]
        return [*words, "--loop", loop, "--workers", str(work.in_flight or 64)]

    return Contender("yardstick", f"the same work by hand, aiohttp on {loop}", command)


def _script(name: str, *flags: str) -> Callable[[Assignment], Sequence[str]]:
    """A Python script of this folder that takes manifest and output folder."""

    def command(work: Assignment) -> list[str]:
        words = [sys.executable, "-m", f"benchmarks.contenders.{name}"]
        return [*words, str(work.manifest), str(work.out), *flags]

    return command


def _program(build: programs.Build) -> Callable[[Assignment], Sequence[str]]:
    """A program that is given links, where no API is asked."""

    def command(work: Assignment) -> Sequence[str]:
        return build(work.workload, work.server.origin, work.out, work.folder)

    return command


def _shell(work: Assignment) -> list[str]:
    script = Path(__file__).parent / "xargs_curl.sh"
    return ["bash", str(script), work.workload.provider, str(work.manifest), str(work.out)]


COMPARED: tuple[Contender, ...] = (
    Contender(
        "gather",
        "gather + aiohttp + json() + aiofiles, a task an item; no ledger, no check, no sync",
        _script("gather_aiofiles"),
        ("aiofiles",),
    ),
    Contender(
        "requests",
        "requests, 64 threads; no ledger, no check, no sync",
        _script("requests_threads"),
        ("requests",),
        most=3000,
    ),
    Contender(
        "xargs-curl",
        "xargs -P64, a few curl an item; no ledger, no check, no sync",
        _shell,
        ("bash", "xargs", "curl", "sed"),
        most=500,
    ),
)
"""Whole items: from the manifest to the files."""

CHECKING: tuple[Contender, ...] = (
    Contender(
        "gather-check",
        "gather on uvloop, with batchcap's caption check; no ledger, no sync",
        _script("gather_aiofiles", "--loop", "uvloop", "--check"),
        ("aiofiles", "uvloop"),
    ),
    Contender(
        "requests-check",
        "requests, 64 threads, with batchcap's caption check; no ledger, no sync",
        _script("requests_threads", "--check"),
        ("requests",),
        most=3000,
    ),
)
"""The same with more of batchcap's work; run where they are asked for by name."""

DOWNLOADING: tuple[Contender, ...] = (
    Contender(
        "client",
        "batchcap's HTTP client alone: uvloop, 64 workers; no check, no sync",
        _program(programs.scripted("client_download")),
        ("uvloop",),
    ),
    Contender(
        "curl-parallel",
        "curl --parallel, 64 at once; no check, no sync",
        _program(programs.curl_parallel),
        ("curl",),
    ),
    Contender(
        "aiohttp",
        "aiohttp at its best: uvloop, 64 workers, a thread that writes; no check, no sync",
        _program(programs.scripted("aiohttp_download")),
        ("uvloop",),
    ),
    Contender(
        "aria2c",
        "aria2c -j64; no check, no sync",
        _program(programs.aria2c),
        ("aria2c",),
        most=3000,
    ),
    Contender(
        "xargs-curl",
        "xargs -P64 -n1 curl; no check, no sync",
        _program(programs.xargs_curl),
        ("xargs", "curl"),
        most=500,
    ),
)
"""Files alone: from links to the files."""


def chosen(names: Sequence[str] | None, known: Sequence[Contender]) -> list[Contender]:
    """Contenders by name, or all. Raises `LookupError` for a name that is not known."""
    by_name = {one.name: one for one in known}
    unknown = set(names or ()) - by_name.keys()
    if unknown:
        raise LookupError(f"{', '.join(sorted(unknown))}: not among {', '.join(by_name)}")
    return [by_name[name] for name in names] if names else list(known)


def _module(name: str) -> bool:
    return name.isidentifier() and importlib.util.find_spec(name) is not None
