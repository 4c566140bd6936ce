"""A new user's walk: a workbook with mistakes, plan, a pilot, the whole, more rows, one back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import openpyxl

from tests.system.conftest import Shell

HEADER = ("Asset ID", "to_language_code", "from_language", "title")
VIDEOS = [(f"film-{number}", "es;ja", "en", f"Film {number}") for number in range(1, 11)]


def write_workbook(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write a workbook with one sheet."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in (HEADER, *rows):
        sheet.append(list(row))
    book.save(path)


def states(shell: Shell) -> list[str]:
    return sorted(result["state"] for result in shell.results())


def test_new_user_gets_from_a_workbook_with_mistakes_to_all_captions(shell: Shell) -> None:
    workbook = shell.folder / "videos.xlsx"
    mistakes = [
        ("film-11", "Spanish", "en", "a language by its name"),
        ("film 12", "es", "en", "a space in an id"),
        ("film-13", "en", "en", "from English into English"),
    ]
    write_workbook(workbook, [*VIDEOS, *mistakes])
    columns = ["--column", "Asset ID=asset_id"]

    # The header is nearly right, and plan says what was meant.
    refused = shell.run("plan", "videos.xlsx", "--sandbox")
    assert refused.returncode == 2
    assert "'Asset ID' is probably asset_id" in refused.stderr

    # Then the three rows are wrong, each by its line, and nothing is left behind.
    refused = shell.run("plan", "videos.xlsx", "--sandbox", "--json", *columns)
    assert refused.returncode == 2
    problems = json.loads(refused.stdout)["problems"]
    assert [problem["where"] for problem in problems] == [
        f"videos.xlsx:{line}" for line in (12, 13, 14)
    ]
    assert not (shell.folder / "captions").exists()

    write_workbook(workbook, VIDEOS)
    planned = shell.run("plan", "videos.xlsx", "--sandbox", "--json", *columns)
    assert planned.returncode == 0, planned.stderr
    plan = json.loads(planned.stdout)
    assert (plan["tasks"], plan["done_already"], plan["problems"]) == (20, 0, [])
    assert not (shell.folder / "captions").exists()

    # A pilot of five, and then the whole.
    arguments = ["run", "videos.xlsx", "--sandbox", *columns]
    pilot = shell.run(*arguments, "--limit", "5")
    assert pilot.returncode == 0, pilot.stderr
    assert states(shell) == ["done"] * 5 + ["pending"] * 15
    whole = shell.run(*arguments)
    assert whole.returncode == 0, whole.stderr
    assert states(shell) == ["done"] * 20

    # A second manifest has one video too many, which does not exist; its row is taken back.
    shell.manifest("asset_id,to_language_code,from_language\nfilm-20,es,en\nfilm-missing,es,en\n")
    second = shell.run("run", "m.csv", "--sandbox")
    assert second.returncode == 1
    assert states(shell) == ["done"] * 21 + ["failed"]
    forgotten = shell.run("forget", "--manifest", "m.csv", "--state", "failed", "--sandbox")
    assert forgotten.returncode == 0, forgotten.stderr
    assert "removed 1 row\n" in forgotten.stdout
    assert states(shell) == ["done"] * 21
    assert len(list((shell.folder / "captions").rglob("*.vtt"))) == 21
    assert shell.run("resume", "--sandbox", "-q").returncode == 0
