"""`python -m benchmarks`: the main job, measured from outside.

The installed command runs a manifest against a sandbox in a process of its own.
CPU and memory are the operating system's own figures for the finished command.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LIFTED = ["--rate", "mux.write=none", "--rate", "mux.read=none", "--rate", "heygen=none"]


@dataclass(frozen=True)
class Round:
    """One run of the command: seconds, bytes, counts."""

    wall: float
    cpu: float
    peak: int
    summary: Mapping[str, object]


def main() -> int:
    """Run all rounds and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000, help="captions in the manifest")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--provider", choices=["mixed", "mux", "heygen"], default="mixed")
    parser.add_argument("--caption-bytes", type=int, default=20_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batchcap-bench-") as folder:
        manifest = Path(folder) / "manifest.csv"
        write_manifest(manifest, given.tasks, given.provider)
        rounds = []
        for number in range(given.rounds):
            with sandbox(given.caption_bytes) as environment:
                rounds.append(measure(manifest, Path(folder) / f"out-{number}", environment))
            check(rounds[-1], given.tasks, Path(folder) / f"out-{number}")
    print_table(rounds, given.tasks)
    return 0


def write_manifest(path: Path, tasks: int, provider: str) -> None:
    """Ids that the sandbox knows; Mux rows carry their track, as the floor assumes."""
    lines = ["asset_id,track_id,to_language_code,video_translate_id"]
    for number in range(tasks):
        if provider == "heygen" or (provider == "mixed" and number % 2):
            lines.append(f",,,bench-tr-{number:07}")
        else:
            lines.append(f"bench-asset-{number:07},bench-asset-{number:07}-en,es,")
    path.write_text("\n".join(lines) + "\n")


@contextmanager
def sandbox(caption_bytes: int) -> Iterator[Mapping[str, str]]:
    """A sandbox in its own process; yields the environment that points at it."""
    command = [sys.executable, "-m", "batchcap", "sandbox", "--json", "--until-stdin-closes"]
    command += ["--set", f"caption_bytes={caption_bytes}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(timeout=30)


def measure(manifest: Path, out: Path, environment: Mapping[str, str]) -> Round:
    """One run of the command as a whole process."""
    command = [sys.executable, "-m", "batchcap", "run", str(manifest), "-o", str(out)]
    command += ["--json", "--no-progress", *LIFTED]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **environment})
    assert process.stdout
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"batchcap ended with {process.returncode}")
    return Round(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, json.loads(printed))


def check(one: Round, tasks: int, out: Path) -> None:
    """The work was really done: every caption is a file."""
    files = sum(1 for path in out.rglob("*.vtt"))
    if one.summary["done"] != tasks or files != tasks:
        raise SystemExit(f"{one.summary['done']} done and {files} files of {tasks}")


def print_table(rounds: list[Round], tasks: int) -> None:
    """Medians, with the least and the most."""
    first = rounds[0].summary
    requests = first["requests"]
    assert isinstance(requests, dict)
    api = sum(count for bucket, count in requests.items() if bucket != "downloads")
    rows = {
        "items/s": [tasks / one.wall for one in rounds],
        "CPU us/item": [one.cpu / tasks * 1e6 for one in rounds],
        "peak memory MB": [one.peak / 1e6 for one in rounds],
        "wall s": [one.wall for one in rounds],
    }
    print(f"{tasks:,} captions, {len(rounds)} rounds, {os.cpu_count()} cores")
    print(f"{'':18}{'median':>10}{'least':>10}{'most':>10}")
    for name, values in rows.items():
        shown = (statistics.median(values), min(values), max(values))
        print(f"{name:18}" + "".join(f"{value:10,.1f}" for value in shown))
    print(f"API requests a caption: {api / tasks:.3f} {requests}")
    print(f"429s seen: {sum(int(str(one.summary['throttled'])) for one in rounds)}")


if __name__ == "__main__":
    sys.exit(main())
