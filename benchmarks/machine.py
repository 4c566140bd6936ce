"""Describes where, when and on which revision something was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import revisions


def describe(folder: Path | None = None) -> str:
    """Date, revision, processor, load, system, Python and, if given, `folder`'s file system."""
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"revision {revisions.current()}",
        f"{os.cpu_count()} cores of {_processor()}",
        f"load {os.getloadavg()[0]:.1f} at the start",
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}",
    ]
    return ", ".join([*parts, f"files on {file_system(folder)}"] if folder else parts)


def file_system(folder: Path) -> str:
    """The type of a folder's file system, "unknown" if `df` does not know it."""
    command = ["df", "--output=fstype", str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.rpartition("Type")[2].strip() or "unknown"


def _processor() -> str:
    """The processor's model, or its architecture if the system does not name the model."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
