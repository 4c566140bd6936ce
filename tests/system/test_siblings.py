"""Rows that Mux would refuse of each other, through the installed command."""

from __future__ import annotations

import pytest

from tests.system.conftest import Shell

HEADER = "asset_id,to_language_code,upload_to_mux,replace_existing_tracks,from_language\n"


@pytest.mark.parametrize(
    "rows",
    [
        "film,pt-BR;pt-PT,,,\n",
        "film,pt-BR,,,\nfilm,pt-PT,,,\n",
        "film,pt-PT,,replace_all,\nfilm,pt-BR,,,\n",
        "film,es,,,\nfilm,es-419,,,\n",
        "film,zh-Hans,,,\nfilm,zh-Hant,,,\n",
        "film,zh-TW,,,zh\n",
    ],
)
def test_run_regional_siblings_with_upload_exit_2_before_the_start(shell: Shell, rows: str) -> None:
    run = shell.run("run", shell.manifest(HEADER + rows), "--sandbox")
    assert run.returncode == 2
    assert "cannot both be tracks of one asset" in run.stderr
    assert "upload_to_mux=false" in run.stderr
    assert "m.csv:" in run.stderr
    assert not (shell.folder / "captions").exists()


def test_run_regional_siblings_of_which_one_uploads_are_both_made(shell: Shell) -> None:
    rows = "film,pt-BR,,,\nfilm,pt-PT,false,,\n"
    run = shell.run("run", shell.manifest(HEADER + rows), "--sandbox")
    assert run.returncode == 0, run.stderr
    assert [result["state"] for result in shell.results()] == ["done", "done"]


def test_run_sibling_of_a_caption_in_the_ledger_exit_2_and_keeps_it(shell: Shell) -> None:
    assert shell.run("run", shell.manifest(HEADER + "film,pt-BR,,,\n"), "--sandbox").returncode == 0
    more = shell.manifest(HEADER + "film,pt-PT,,replace_all,\n", "more.csv")
    run = shell.run("run", more, "--sandbox")
    assert run.returncode == 2
    assert "pt-BR and pt-PT" in run.stderr or "pt-PT and pt-BR" in run.stderr
    assert [result["key"] for result in shell.results()] == ["mux:film:pt-BR"]


def test_resume_of_a_failed_sibling_is_refused_and_leaves_it_failed(shell: Shell) -> None:
    """It failed before the other one was imported, and would replace that one's track."""
    first = shell.manifest(HEADER + "film,pt-PT,,replace_all,fr\n")
    assert shell.run("run", first, "--sandbox").returncode == 1
    assert shell.results()[0]["error"]["code"] == "track_not_found"
    second = shell.manifest(HEADER + "film,pt-BR,,,\n", "n.csv")
    assert shell.run("run", second, "--sandbox").returncode == 1
    again = shell.run("resume", "--retry-failed", "--sandbox")
    assert again.returncode == 2
    assert "cannot both be tracks of one asset" in again.stderr
    assert "upload_to_mux=false" in again.stderr
    assert shell.run("resume", "--sandbox").returncode == 1
    assert [result["state"] for result in shell.results()] == ["failed", "done"]
