"""What README shows is what the command does."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import pytest

from batchcap.cli.app import COMMANDS, MANIFEST_COMMANDS, main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^ *```sh\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
NAMES = [*COMMANDS, *(f"manifest {provider}" for provider in MANIFEST_COMMANDS)]
SHOWN = re.compile(rf"\b(batchcap (?:{'|'.join(NAMES)})\b[^\n&]*)")
EXAMPLES = sorted(
    {
        match.group(1).split("#")[0].strip()
        for source in [*BLOCKS, *re.findall(r"`(batchcap [^`]*)`", README)]
        for match in SHOWN.finditer(source)
    }
)


@cache
def help_of(command: str) -> str:
    """Return the help of a command."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output):
        patch.setenv("COLUMNS", "200")
        assert main([*command.split(), "--help"]) == 0
    return output.getvalue()


def test_readme_shows_commands() -> None:
    assert len(EXAMPLES) > 5


@pytest.mark.parametrize("example", EXAMPLES)
def test_readme_example_has_only_options_that_exist(example: str) -> None:
    shown = example.removeprefix("batchcap ")
    text = help_of(next(name for name in NAMES if shown.startswith(name)))
    for option in re.findall(r"--[a-z-]+", example):
        assert option in text, f"{example}: {option}"


def test_ci_runs_the_test_command_of_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    shown = re.search(r"<!-- test command -->\n```sh\n(.*)\n```", README)
    assert shown is not None
    assert shown.group(1).endswith("nox")
    assert "<!-- test command -->" in script


def test_readme_explains_every_error_code() -> None:
    source = "".join(path.read_text() for path in (ROOT / "batchcap").rglob("*.py"))
    codes = set(re.findall(r"(?:RowError|Failure)\(\s*\"([a-z_]+)\"", source))
    assert codes
    for code in codes:
        assert f"`{code}`" in README, code


def test_guarantees_name_tests_that_exist() -> None:
    guarantees = (ROOT / "docs" / "guarantees.md").read_text()
    for path, name in re.findall(r"`(tests/[a-z_/]+\.py)(?:::([a-z_0-9]+))?`", guarantees):
        assert (ROOT / path).exists(), path
        assert name in (ROOT / path).read_text(), name
    for path, names in re.findall(r"`(tests/[a-z_/]+\.py)` \(([^)]*)\)", guarantees):
        for name in re.findall(r"`(\w+)`", names):
            assert name in (ROOT / path).read_text(), name
