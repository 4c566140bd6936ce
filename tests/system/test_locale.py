"""Names and reports in any script, whatever the locale and PYTHONIOENCODING."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from tests.system.conftest import COMMAND, Shell

ENVIRONMENTS = [
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "latin-1:strict",
    },
]
NAME = "\u65e5\u672c/\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u00fc \U0001f3ac.vtt"
TITLE = "\u041c\u0438\u0440 \u00e9 \U0001f600"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_run_and_report_in_another_locale_keep_every_script(
    environment: dict[str, str], shell: Shell
) -> None:
    name = "vid\u00e9os-\u65e5.csv"
    content = f"asset_id,to_language_code,name,title\na1,es,{NAME},{TITLE}\n"
    (shell.folder / name).write_text(content, encoding="utf-8")
    shell.environment |= environment
    process = shell.run("run", name, "--sandbox", "-v", "--log-file", "\u65e5.log")
    assert (process.returncode, "Traceback" in process.stderr) == (0, False), process.stderr
    assert (shell.folder / "captions" / NAME).is_file()
    [result] = shell.results()
    assert (result["path"], result["meta"]) == (NAME, {"title": TITLE})
    assert json.loads(shell.run("report").stdout)["rows"][0]["path"] == NAME
    [_, cells] = csv.reader(io.StringIO(shell.run("report", "--format", "csv").stdout))
    assert NAME in cells
    assert TITLE in cells
    (shell.folder / "captions" / NAME).unlink()
    verified = shell.run("verify")
    assert verified.returncode == 1
    assert NAME in verified.stdout


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_run_of_a_wrong_manifest_in_another_locale_prints_its_text(
    environment: dict[str, str], shell: Shell
) -> None:
    content = "asset_id,to_language_code\na1,\u65e5\u672c\u8a9e\u3058\u3083\u306a\u3044\n"
    (shell.folder / "\u00fc.csv").write_text(content, encoding="utf-8")
    shell.environment |= environment
    result = shell.run("run", "\u00fc.csv", "--sandbox")
    cell = "\u65e5\u672c\u8a9e\u3058\u3083\u306a\u3044"
    assert result.returncode == 2
    assert f"\u00fc.csv:2: to_language_code: '{cell}'" in result.stderr


@pytest.mark.parametrize(
    ("flag", "environment"),
    [
        *((flag, {}) for flag in ("--name", "--to", "--from", "--encoding", "--provider")),
        ("--name", ENVIRONMENTS[1]),
    ],
)
def test_option_that_is_not_utf8_is_a_usage_error(
    flag: str, environment: dict[str, str], shell: Shell
) -> None:
    shell.manifest("asset_id\na1\n")
    arguments = [*COMMAND, "run", "m.csv", "--sandbox", flag]
    result = subprocess.run(
        [*map(os.fsencode, arguments), b"\xe9"],
        cwd=shell.folder,
        env=shell.environment | environment,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {flag}: ".encode())
    assert b"not UTF-8" in result.stderr


def test_run_from_a_closed_standard_input_is_a_usage_error(shell: Shell) -> None:
    arguments = " ".join([sys.executable, "-m", "batchcap", "run", "-", "--sandbox", "<&-"])
    result = subprocess.run(
        arguments, cwd=shell.folder, env=shell.environment, shell=True, capture_output=True
    )
    assert result.returncode == 2
    assert b"standard input is closed" in result.stderr


def test_results_of_a_title_with_line_breaks_of_unicode_are_one_line(shell: Shell) -> None:
    title = "a\u2028b\u2029c\u0085d"
    content = json.dumps({"asset_id": "a1", "to_language_code": "es", "title": title})
    name = shell.manifest(content + "\n", "m.jsonl")
    assert shell.run("run", name, "--sandbox").returncode == 0
    text = (shell.folder / "captions" / "results.jsonl").read_text(encoding="utf-8")
    [line] = text.splitlines()
    assert json.loads(line)["meta"]["title"] == title
    assert "a\\u2028b\\u2029c\\u0085d" in line
    assert len(shell.run("report").stdout.splitlines()) == 1
