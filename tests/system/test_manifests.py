"""Manifests from the field, through the command."""

from __future__ import annotations

from pathlib import Path

import openpyxl

from tests.system.conftest import Shell

CASES = Path(__file__).parents[1] / "cases" / "manifests"


def test_run_of_a_list_of_ids_takes_provider_and_languages(shell: Shell) -> None:
    result = shell.run(
        "run", str(CASES / "d06-only-ids.txt"), "--provider=mux", "--to=tok;iw;he", "--sandbox"
    )
    assert result.returncode == 0, result.stderr
    assert [row["language"] for row in shell.results()] == ["tok", "iw"] * 2


def test_run_of_odd_manifests_saves_their_captions_and_prints_notes(shell: Shell) -> None:
    names = ["c11-hundred-long-comma-rows.csv", "c33-blank-first-lines.csv", "d09-url-id.csv"]
    odd = shell.manifest("asset_id,to_language_code\na1,jp\n")
    result = shell.run("run", *(str(CASES / name) for name in names), odd, "--sandbox")
    assert result.returncode == 0, result.stderr
    notes = [line for line in result.stderr.splitlines() if line.startswith("note: ")]
    assert notes == [
        f"note: {CASES / 'd09-url-id.csv'}:2: video_translate_id: the ids are taken from URLs",
        "note: m.csv:2: to_language_code: 'jp' is not in the registry of languages; "
        "it is passed on as it is; is it 'ja'?",
    ]
    assert len(shell.results()) == 3


def test_run_of_wrong_manifests_reports_each_once_and_starts_nothing(shell: Shell) -> None:
    names = ["c20-concatenated.csv", "d03.csv.gz", "d24-lang-in-mux.csv", "c38-utf16-nobom.csv"]
    result = shell.run("run", *(str(CASES / name) for name in names), "--sandbox")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    for name in names[:3]:
        assert result.stderr.count(f"{name}:") == 1
    assert f"{names[3]}:1: a NUL byte (in UTF-16 text? then --encoding utf-16" in result.stderr
    assert not (shell.folder / "captions").exists()


def test_run_of_a_workbook_with_mistakes_says_what_to_do_until_it_runs(shell: Shell) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in (
        ("Asset ID", "to_language_code", "Title"),
        ("asset-1", "es", 'A/B: "x"?'),
        (1234567890123456, "es", "Rounded"),
        ("asset-2", "es", "Two"),
    ):
        sheet.append(row)
    book.save(shell.folder / "m.xlsx")
    command = ["run", "m.xlsx", "--sandbox", "--name={Title}.{language}.vtt"]
    header = shell.run(*command, "--skip-invalid")
    assert header.returncode == 2
    assert "m.xlsx:1: 'Asset ID' is probably asset_id; rename it, or use --column" in header.stderr
    assert "; the header is 'Asset ID,to_language_code,Title'" in header.stderr
    assert "or continue without" not in header.stderr
    command.append("--column=Asset ID=asset_id")
    rows = shell.run(*command)
    assert rows.returncode == 2
    assert "m.xlsx:3: asset_id: '1.23456789012346E+15' is a number that" in rows.stderr
    assert "or continue without these rows: --skip-invalid" in rows.stderr
    done = shell.run(*command, "--skip-invalid")
    assert done.returncode == 1
    assert "note: m.xlsx: kept as your own columns: Title\n" in done.stderr
    assert (shell.folder / "captions/A_B_ _x__.es.vtt").is_file()
    [invalid] = [row for row in shell.results() if row["state"] == "invalid"]
    assert (invalid["file"], invalid["line"]) == ("m.xlsx", 3)
    assert (invalid["provider"], invalid["language"]) == ("mux", "es")
    assert invalid["meta"] == {"Title": "Rounded"}
    report = shell.run("report", "--format=csv")
    assert "m.xlsx,3" in report.stdout
