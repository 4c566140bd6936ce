"""What all commands are told alike, and the folder in which they work."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import file_system
from benchmarks.revisions import WORKING_TREE
from benchmarks.texts import SMALLEST

PROVIDERS = ("mux", "heygen")
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Workplace:
    """Where the files of all rounds go; `keep` says whether they stay until the end."""

    folder: Path
    keep: bool


def add_common(parser: argparse.ArgumentParser, *, items: int, rounds: int = 3) -> None:
    """Options of every command."""
    parser.add_argument("--items", type=_count, default=items, help="captions a run (%(default)s)")
    parser.add_argument("--rounds", type=_count, default=rounds, help="(%(default)s)")
    parser.add_argument("--caption-bytes", type=_size, default=20_000, help="(%(default)s)")
    add_places(parser)


def add_revision(parser: argparse.ArgumentParser) -> None:
    """Which batchcap."""
    parser.add_argument(
        "--revision", default=WORKING_TREE, help="batchcap as of this commit; .: the working tree"
    )


def add_places(parser: argparse.ArgumentParser) -> None:
    """Where files and results go, and the loop."""
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    parser.add_argument(
        "--disk",
        type=Path,
        default=_MEMORY if _MEMORY.is_dir() else Path(tempfile.gettempdir()),
        help="folder for the files; on a tmpfs fsync costs nothing (%(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("benchmark-results"), help="JSON and SVG (%(default)s)"
    )
    parser.add_argument("--markdown", action="store_true", help="tables for a README")


def add_providers(parser: argparse.ArgumentParser) -> None:
    """One provider, or both."""
    parser.add_argument("--provider", nargs="+", choices=PROVIDERS, default=list(PROVIDERS))


@contextmanager
def workplace(disk: Path) -> Iterator[Workplace]:
    """A fresh folder below `disk`, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="batchcap-bench-", dir=disk))
    try:
        yield Workplace(folder, keep=file_system(folder) != "tmpfs")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _count(word: str) -> int:
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _size(word: str) -> int:
    number = int(word)
    if number < SMALLEST:
        raise argparse.ArgumentTypeError(f"at least {SMALLEST}")
    return number
