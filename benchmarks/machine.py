"""Where and when something was measured; a figure without it says nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path


def described(folder: Path) -> str:
    """Date, processor, cores, load, system, Python, file system of `folder`, in one line."""
    now = datetime.now(UTC)
    return ", ".join(
        [
            f"{now:%Y-%m-%d %H:%M} UTC",
            f"{os.cpu_count()} cores of {_processor()}",
            f"load {os.getloadavg()[0]:.1f} at the start",
            f"{platform.system()} {platform.release()}",
            f"Python {platform.python_version()}",
            f"files on {file_system(folder)}",
        ]
    )


def file_system(folder: Path) -> str:
    """The type of the file system that a folder is on, where `df` tells it."""
    command = ["df", "--output=fstype", str(folder)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.rpartition("Type")[2].strip() or "unknown"


def _processor() -> str:
    """The model's name, where the system tells it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
