"""The installed command in a subprocess, on the real clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "batchcap"]


class Shell:
    """Runs batchcap in a folder, with the environment of a sandbox where there is one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MUX_", "HEYGEN_"))
        }

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run to the end; the output is text."""
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
        """Start and return at once."""
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
        """The lines of results.jsonl."""
        lines = (self.folder / out / "results.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in an empty folder, without credentials."""
    return Shell(tmp_path)


@pytest.fixture
def sandbox(shell: Shell) -> Iterator[Mapping[str, str]]:
    """A sandbox process of its own; the shell's environment points at it."""
    process = subprocess.Popen(
        [*COMMAND, "sandbox", "--json", "--until-stdin-closes", "--set", "job_seconds=1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        environment = json.loads(process.stdout.readline())
        shell.environment.update(environment)
        yield environment
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()
