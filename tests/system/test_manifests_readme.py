"""What manifests/README.md shows is what the command does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from batchcap.manifest.columns import Schema
from tests.harness.rows import COLUMNS
from tests.system.conftest import Shell

MANIFESTS = Path(__file__).parents[2] / "manifests"
README = (MANIFESTS / "README.md").read_text()


def block(language: str) -> str:
    """Return the only block of code in a language."""
    (code,) = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return str(code)


@pytest.mark.parametrize("command", block("sh").splitlines())
def test_shown_command_ends_with_every_caption(shell: Shell, command: str) -> None:
    (shell.folder / "manifests").symlink_to(MANIFESTS)
    shell.environment["PATH"] = f"{Path(sys.executable).parent}:{shell.environment['PATH']}"
    process = subprocess.run(
        command.split("#")[0],
        shell=True,
        cwd=shell.folder,
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    out = "rehearsal" if "rehearsal" in command else "batchcap-demo"
    assert {result["state"] for result in shell.results(out)} == {"done"}


def test_shown_problems_are_those_of_the_shown_manifest(shell: Shell) -> None:
    result = shell.run("run", shell.manifest(block("csv"), "mine.csv"))
    assert result.returncode == 2
    assert block("text") in result.stderr


def test_column_table_has_every_column_and_no_other() -> None:
    table = README.partition("## Columns")[2].partition("##")[0]
    listed = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    synonyms = {"video_translation_id"}
    assert listed | synonyms == Schema(COLUMNS).columns
    assert all(f"`{name}`" in table for name in synonyms)


def test_file_table_has_every_manifest() -> None:
    listed = set(re.findall(r"^\| \[`([\w.]+)`\]", README, re.MULTILINE))
    assert listed == {
        path.name for path in MANIFESTS.iterdir() if path.suffix in {".csv", ".json", ".jsonl"}
    }
