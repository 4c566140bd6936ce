"""Manifests from the field, through the command."""

from __future__ import annotations

from pathlib import Path

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
