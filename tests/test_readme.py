"""What README shows is what the program does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from batchcap.cli.app import COMMANDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^ *```sh\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
SHOWN = re.compile(rf"\b(batchcap (?:{'|'.join(COMMANDS)})\b[^\n&]*)")
EXAMPLES = sorted(
    {
        match.group(1).split("#")[0].strip()
        for source in [*BLOCKS, *re.findall(r"`(batchcap [^`]*)`", README)]
        for match in SHOWN.finditer(source)
    }
)


def helped(verb: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "batchcap", verb, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "PATH": "/usr/bin:/bin"},
    )
    return ran.stdout


def test_there_are_commands_to_check() -> None:
    assert len(EXAMPLES) > 5


@pytest.mark.parametrize("command", EXAMPLES)
def test_every_option_that_is_shown_exists(command: str) -> None:
    words = command.split()
    text = helped(words[1])
    for option in re.findall(r"--[a-z-]+", command):
        assert option in text, f"{command}: {option}"


def test_the_ci_runs_the_test_command_that_is_shown() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    shown = re.search(r"<!-- test command -->\n```sh\n(.*)\n```", README)
    assert shown is not None
    assert shown.group(1).endswith("nox")
    assert "<!-- test command -->" in script


def test_every_error_code_is_explained() -> None:
    source = "".join(path.read_text() for path in (ROOT / "batchcap").rglob("*.py"))
    codes = set(re.findall(r"(?:RowError|Failure)\(\s*\"([a-z_]+)\"", source))
    assert codes
    for code in codes:
        assert f"`{code}`" in README, code


def test_every_test_that_is_promised_exists() -> None:
    guarantees = (ROOT / "docs" / "guarantees.md").read_text()
    for path, name in re.findall(r"`(tests/[a-z_/]+\.py)(?:::([a-z_0-9]+))?`", guarantees):
        assert (ROOT / path).exists(), path
        assert name in (ROOT / path).read_text(), name
