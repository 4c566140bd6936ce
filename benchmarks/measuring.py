"""What a command cost: the operating system's own figures for the finished process.

CPU is user and system time of the process and all that it waited for. The peak of
memory is that of the largest single process, and cannot be told below this
process's own, which Linux hands down over fork and exec.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workload import NotDoneError


@dataclass(frozen=True)
class Sample:
    """One finished command: seconds, bytes."""

    wall: float
    cpu: float
    peak: int


def measured(
    command: Sequence[str], environment: Mapping[str, str], talk: Path, cwd: Path | None = None
) -> Sample:
    """Run a command to its end, in `cwd`; what it says goes to the file `talk`.

    Raises `NotDoneError` where it fails.
    """
    with talk.open("wb") as file:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **environment},
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = talk.read_text(errors="replace")[-2000:]
        raise NotDoneError(f"{command[0]} ended with {process.returncode}:\n{said}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def own_peak() -> int:
    """Bytes below which no peak can be told."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
