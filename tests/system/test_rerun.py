"""A run repeated with the same manifest, and an import that did not finish."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from tests.system.conftest import UNLIMITED, Shell, request_log

ROWS = "video_translate_id\none\ntwo\n"


def inode(shell: Shell) -> int:
    return (shell.folder / "captions/results.jsonl").stat().st_ino


def test_run_unchanged_manifest_is_skipped_and_results_kept(shell: Shell) -> None:
    name = shell.manifest(ROWS)
    first = shell.run("run", name, "--sandbox")
    assert "2 new captions in the ledger\n" in first.stderr
    written = inode(shell)
    again = shell.run("run", name, "--sandbox")
    assert again.returncode == 0
    assert "0 new captions in the ledger; skipped 1 unchanged manifest\n" in again.stderr
    assert again.stdout.startswith("2 of 2 captions")
    assert inode(shell) == written


def test_run_changed_manifest_or_options_is_read_again(shell: Shell) -> None:
    name = shell.manifest(ROWS)
    assert shell.run("run", name, "--sandbox").returncode == 0
    other = shell.run("run", name, "--sandbox", "--skip-invalid")
    assert "0 new captions in the ledger, 2 already there\n" in other.stderr
    shell.manifest(ROWS + "three\n")
    more = shell.run("run", name, "--sandbox")
    assert "1 new caption in the ledger, 2 already there\n" in more.stderr
    assert len(shell.results()) == 3
    moved = shell.run("run", name, "--sandbox", "--name", "{source_id}.vtt")
    assert moved.returncode == 2
    assert moved.stderr.count("with another path") == 1
    assert "(its paths are like 'heygen/one.vtt'): it is done; leave --name" in moved.stderr
    assert "hint: Correct that first; --skip-invalid skips single rows only." in moved.stderr
    skipping = shell.run("run", name, "--sandbox", "--name", "{source_id}.vtt", "--skip-invalid")
    assert skipping.returncode == 2
    assert len(shell.results()) == 3
    back = shell.run("run", name, "--sandbox")
    assert "skipped 1 unchanged manifest\n" in back.stderr


def test_run_corrected_manifest_tries_a_failed_row_again(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    name = shell.manifest("asset_id,to_language_code,from_language\nfilm-1,es,fr\nfilm-2,es,\n")
    first = shell.run("run", name, *UNLIMITED)
    assert first.returncode == 1
    assert [result["state"] for result in shell.results()] == ["failed", "done"]
    assert shell.results()[0]["error"]["code"] == "track_not_found"
    shell.manifest("asset_id,to_language_code,from_language\nfilm-1,es,en\nfilm-2,es,\n")
    again = shell.run("run", name, *UNLIMITED)
    assert again.returncode == 0, again.stderr
    assert "0 new captions in the ledger, 1 already there, 1 corrected and pending" in again.stderr
    assert [result["state"] for result in shell.results()] == ["done", "done"]
    assert len(request_log(sandbox)["creates"]) == 2


def test_run_corrected_id_of_a_failed_row_with_a_key_replaces_it(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    name = shell.manifest("key,asset_id,to_language_code\nfirst,missing-1,es\n")
    assert shell.run("run", name, *UNLIMITED).returncode == 1
    shell.manifest("key,asset_id,to_language_code\nfirst,film-1,es\n")
    again = shell.run("run", name, *UNLIMITED)
    assert again.returncode == 0, again.stderr
    (result,) = shell.results()
    assert (result["key"], result["source_id"], result["state"]) == ("first", "film-1", "done")


def test_run_corrected_id_without_a_key_names_the_old_row_and_how_to_remove_it(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    name = shell.manifest("asset_id,to_language_code\nmissing-1,es\nfilm-2,es\n")
    first = shell.run("run", name, "-o", "films", *UNLIMITED)
    assert first.returncode == 1
    assert "any more" not in first.stderr
    shell.manifest("asset_id,to_language_code\nfilm-1,es\nfilm-2,es\n")
    again = shell.run("run", name, "-o", "films", *UNLIMITED)
    note = (
        "1 row is not in its manifest any more (mux:missing-1:es); to remove what was not paid "
        "for: batchcap forget -o films --unlisted\n"
    )
    assert f"note: {note}" in again.stderr
    assert shell.run("status", "-o", "films").stdout.endswith(note)
    assert shell.run("forget", "-o", "films", "--unlisted").returncode == 0
    assert "any more" not in shell.run("status", "-o", "films").stdout
    assert [result["state"] for result in shell.results("films")] == ["done", "done"]


def test_run_option_for_failed_rows_alone_tries_them_again(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    name = shell.manifest("asset_id,to_language_code\ntwotracks-1,es\nfilm-2,es\n")
    first = shell.run("run", name, "--from", "fr", *UNLIMITED)
    assert first.returncode == 1
    again = shell.run("run", name, "--from", "en", *UNLIMITED)
    assert again.returncode == 0, again.stderr
    assert "2 corrected and pending" in again.stderr
    assert len(request_log(sandbox)["creates"]) == 2


def test_run_other_parameters_for_a_done_row_are_refused_with_a_way_out(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    name = shell.manifest("asset_id,to_language_code\nfilm-1,es\n")
    assert shell.run("run", name, *UNLIMITED).returncode == 0
    again = shell.run("run", name, "--from", "en", *UNLIMITED)
    assert again.returncode == 2
    assert (
        f"the same task as {name}:2, with other parameters (from_language): it is done; "
        in again.stderr
    )
    assert "--out" in again.stderr
    assert len(request_log(sandbox)["creates"]) == 1


def test_resume_refused_captions_are_fetched_again_without_a_new_job(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    name = shell.manifest("asset_id,to_language_code\nfilm-1,es\nsilent-1,es\n")
    refused = shell.run("run", name, "--max-caption", "20", *UNLIMITED)
    assert refused.returncode == 1, refused.stderr
    for result in shell.results():
        assert result["error"]["code"] == "bad_caption"
        refused_file = shell.folder / result["error"]["message"].partition(" kept as ")[2]
        assert refused_file.read_text().startswith("WEBVTT")
    again = shell.run("resume", "--retry-failed", "--only", "bad_caption", *UNLIMITED)
    assert again.returncode == 0, again.stderr
    assert "2 of 2 captions" in again.stdout
    assert "; 1 without a cue" in again.stdout
    assert [result["cues"] == 0 for result in shell.results()] == [False, True]
    assert "done, without a cue: 1\n" in shell.run("status").stdout
    assert json.loads(shell.run("status", "--json").stdout)["without_cues"] == 1
    assert len(request_log(sandbox)["creates"]) == 2
    assert list((shell.folder / "captions/.batchcap/refused").iterdir()) == []


def test_run_standard_input_is_always_read(shell: Shell) -> None:
    for already_there in ("", ", 2 already there"):
        result = shell.run("run", "-", "--sandbox", input=ROWS)
        assert f"captions in the ledger{already_there}\n" in result.stderr


def test_run_skipped_invalid_rows_stay_in_results(shell: Shell) -> None:
    name = shell.manifest(ROWS + "v\a,\n")
    first = shell.run("run", name, "--sandbox", "--skip-invalid", "--json")
    again = shell.run("run", name, "--sandbox", "--skip-invalid", "--json")
    assert "skipped 1 unchanged manifest" in again.stderr
    assert [json.loads(result.stdout)["invalid"] for result in (first, again)] == [1, 1]
    refused = shell.run("run", name, "--sandbox")
    assert refused.returncode == 2
    assert f"{name}:4: " in refused.stderr


def test_results_after_a_kill_are_written_by_the_next_run(shell: Shell) -> None:
    name = shell.manifest(ROWS)
    assert shell.run("run", name, "--sandbox").returncode == 0
    shell.manifest("video_translate_id\nthree\n", "n.csv")
    shell.environment["BATCHCAP_CRASH_AT"] = "1"
    killed = shell.run("run", "n.csv", "--sandbox")
    assert killed.returncode == -signal.SIGKILL
    del shell.environment["BATCHCAP_CRASH_AT"]
    assert len(shell.results()) == 2
    assert shell.run("run", name, "--sandbox").returncode == 0
    assert [result["state"] for result in shell.results()] == ["done"] * 3


def test_import_killed_leaves_no_rows(
    shell: Shell,
) -> None:
    name = shell.manifest("video_translate_id\n" + "".join(f"{n:032x}\n" for n in range(200_000)))
    draft = shell.folder / "captions/.batchcap/ledger.sqlite.new"
    process = shell.start("run", name, "--sandbox")
    wait_for_size(draft, 1_000_000)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    status = shell.run("status")
    assert status.returncode == 2
    assert "is being made from its manifest" in status.stderr
    shell.manifest(ROWS)
    result = shell.run("run", name, "--sandbox", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["total"] == 2
    assert not draft.exists()


def test_import_interrupted_leaves_nothing(shell: Shell) -> None:
    name = shell.manifest("video_translate_id\n" + "".join(f"{n:032x}\n" for n in range(200_000)))
    process = shell.start("run", name, "--sandbox")
    wait_for_size(shell.folder / "captions/.batchcap/ledger.sqlite.new", 1_000_000)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert "stopped: nothing is lost" in stderr
    assert not (shell.folder / "captions").exists()


def wait_for_size(file: Path, size: int) -> None:
    """Wait until a file has at least this many bytes."""
    deadline = time.monotonic() + 60
    while not (file.exists() and file.stat().st_size >= size) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert file.exists()
