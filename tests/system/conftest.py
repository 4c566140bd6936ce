"""The command in a subprocess, on the real clock, and a sandbox for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "batchcap"]
UNLIMITED = [f"--rate={bucket}=none" for bucket in ("mux.write", "mux.read", "heygen")]


class Shell:
    """Runs batchcap in a folder, with an environment that may point to a sandbox."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MUX_", "HEYGEN_")) and name not in {"COLUMNS", "LINES"}
        }

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command and wait for its end; the output is text."""
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            **options,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, and return at once."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def manifest(self, text: str, name: str = "m.csv") -> str:
        """Write a manifest; returns its name."""
        (self.folder / name).write_text(text)
        return name

    def results(self, out: str = "captions") -> list[dict[str, Any]]:
        """Return the lines of results.jsonl."""
        lines = (self.folder / out / "results.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in an empty folder, without credentials."""
    return Shell(tmp_path)


@contextmanager
def sandbox_process(*options: str) -> Iterator[dict[str, str]]:
    """Run a sandbox of its own; yields the environment that points to it."""
    process = subprocess.Popen(
        [*COMMAND, "sandbox", "--json", "--until-stdin-closes", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


@pytest.fixture
def sandbox(shell: Shell) -> Iterator[Mapping[str, str]]:
    """A sandbox to which the shell's environment points."""
    with sandbox_process("--set", "job_seconds=1") as environment:
        shell.environment.update(environment)
        yield environment


def request_log(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what the sandbox has received."""
    with urllib.request.urlopen(control_url(environment, "request-log")) as response:
        log: dict[str, Any] = json.load(response)
    return log


def set_options(environment: Mapping[str, str], **options: Any) -> None:
    """Change options of the sandbox while it runs."""
    url = control_url(environment, "options")
    request = urllib.request.Request(url, data=json.dumps(options).encode(), method="POST")
    urllib.request.urlopen(request).close()


def control_url(environment: Mapping[str, str], name: str) -> str:
    """Return the URL of one of the sandbox's own pages."""
    return environment["MUX_BASE_URL"].removesuffix("/mux") + f"/sandbox/{name}"


def command_line(pid: int) -> str:
    """Return the command of a process as every user of the machine can see it."""
    shown = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    return subprocess.run(shown, capture_output=True, text=True, check=True).stdout


def peak_memory(pid: int) -> int:
    """Return the peak memory of a process in bytes, 0 if it has ended or there is no /proc.

    Not `ru_maxrss`, which includes the process that forked it.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match.group(1)) * 1024 if match else 0
