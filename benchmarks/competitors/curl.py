"""`curl --parallel`: files alone, from links that are known at the start.

It creates no job, asks no API and reads no manifest, so it does less than every other
competitor. It shows how fast this server and this machine can deliver the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.server.routes import FILES
from benchmarks.workload import Workload


def command(workload: Workload, origin: str, out: Path, folder: Path) -> Sequence[str]:
    """Write curl's input to `folder`; return the command: 64 transfers on kept connections."""
    (out / workload.provider).mkdir(parents=True)
    config = folder / "curl.config"
    with config.open("w") as file:
        for name in workload.names():
            path = out / workload.provider / f"{name}.vtt"
            file.write(f'url = "{origin}{FILES}/{name}.vtt"\noutput = "{path}"\n')
    return ["curl", "-sS", "--fail", "--parallel", "--parallel-max", "64", "-K", str(config)]
