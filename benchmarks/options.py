"""Command-line options that several commands share, and the folder they work in."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.caption_text import MIN_SIZE
from benchmarks.machine import file_system

PROVIDERS = ("mux", "heygen")
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Workspace:
    """A folder for the files of all rounds; `keep` says whether they stay until the end."""

    folder: Path
    keep: bool


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command: where files and results go."""
    parser.add_argument(
        "--disk",
        type=Path,
        default=_MEMORY if _MEMORY.is_dir() else Path(tempfile.gettempdir()),
        help="folder for the files; on a tmpfs fsync costs nothing (%(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("benchmark-results"),
        help="folder for every raw figure as JSON (%(default)s)",
    )
    parser.set_defaults(update_readme=False)


def add_update_readme(parser: argparse.ArgumentParser) -> None:
    """Add the option of the commands that have a section in the README."""
    parser.add_argument(
        "--update-readme", action="store_true", help="put the table into benchmarks/README.md"
    )


def add_workload(parser: argparse.ArgumentParser, *, items: int, rounds: int) -> None:
    """Add the options that say what each competitor does, and how often."""
    parser.add_argument("--items", type=_count, default=items, help="captions a run (%(default)s)")
    parser.add_argument("--rounds", type=_count, default=rounds, help="(%(default)s)")
    parser.add_argument("--caption-bytes", type=_size, default=20_000, help="(%(default)s)")
    parser.add_argument("--provider", nargs="+", choices=PROVIDERS, default=list(PROVIDERS))


@contextmanager
def workspace(disk: Path) -> Iterator[Workspace]:
    """Make a new folder below `disk`, and remove it at the end.

    Files are kept until then unless they are on a tmpfs: on ext4, removing many files
    makes the next run's file creation up to 20 times slower.
    """
    folder = Path(tempfile.mkdtemp(prefix="batchcap-bench-", dir=disk))
    try:
        yield Workspace(folder, keep=file_system(folder) != "tmpfs")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _size(text: str) -> int:
    number = int(text)
    if number < MIN_SIZE:
        raise argparse.ArgumentTypeError(f"at least {MIN_SIZE}")
    return number
