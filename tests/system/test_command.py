"""Commands, exit status and output, as a user sees them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from batchcap.cli.app import COMMANDS
from tests.system.conftest import UNLIMITED, Shell, request_log, set_options


def mixed_manifest(count: int) -> str:
    """Return a manifest with two Mux captions and a HeyGen one for each of `count` titles."""
    return "asset_id,to_language_code,from_language,video_translate_id,title\n" + "".join(
        f"asset-{n},es;pt-BR,en,,Film {n}\n,,,tr-{n},Clip {n}\n" for n in range(count)
    )


MIXED, SMALL = mixed_manifest(40), mixed_manifest(4)


def test_run_sandbox_saves_every_caption(shell: Shell) -> None:
    name = shell.manifest(MIXED)
    process = shell.run("run", name, "--sandbox")
    assert process.returncode == 0, process.stderr
    last = process.stdout.splitlines()[-1]
    assert re.fullmatch(r"120 of 120 captions in .*s \(captions/results\.jsonl\)\.", last)
    results = shell.results()
    assert [result["state"] for result in results] == ["done"] * 120
    assert results[0]["meta"] == {"title": "Film 0"}
    for result in results:
        file = shell.folder / "captions" / result["path"]
        assert file.stat().st_size == result["bytes"]
        assert file.read_bytes().startswith(b"WEBVTT")


def test_run_finished_sends_no_request(shell: Shell, sandbox: Mapping[str, str]) -> None:
    name = shell.manifest(SMALL)
    assert shell.run("run", name, "-q", *UNLIMITED).returncode == 0
    before = request_log(sandbox)
    again = shell.run("run", name, "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["done"] == 12
    assert request_log(sandbox)["requests"] == before["requests"]


def test_run_interrupted_three_times_creates_nothing_twice(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    name = shell.manifest(MIXED)
    rates = ["--rate", "mux.write=60/s", "--rate", "mux.read=none"]
    for delay in (0.6, 1.0, 1.5):
        process = shell.start("run", name, *rates)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode in {130, 0}, err
        if process.returncode == 130 and "pending" in out:
            assert "To continue: batchcap resume" in out
    ended = shell.run("run", name, *rates, "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["done"] == 120
    assert len(request_log(sandbox)["creates"]) == 80


def test_run_second_names_the_holder_of_the_ledger(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    name = shell.manifest("video_translate_id\nstuck-1\n")
    first = shell.start("run", name)
    lock = shell.folder / "captions/.batchcap/lock"
    deadline = time.monotonic() + 20
    while not (lock.exists() and lock.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    second = shell.run("resume")
    assert second.returncode == 3
    assert f"process {first.pid}" in second.stderr
    status = shell.run("status")
    assert status.returncode == 0
    assert f"running: process {first.pid}" in status.stdout
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)
    assert first.returncode == 143


def test_run_second_signal_quits_at_once(shell: Shell, sandbox: Mapping[str, str]) -> None:
    set_options(sandbox, answer_seconds=8)
    process = shell.start("run", shell.manifest("video_translate_id\none\n"))
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert time.monotonic() - began < 5


def test_run_wrong_key_stops_only_its_provider(shell: Shell, sandbox: Mapping[str, str]) -> None:
    shell.environment["HEYGEN_API_KEY"] = "not-the-key"
    process = shell.run("run", shell.manifest(SMALL), *UNLIMITED)
    assert process.returncode == 3
    assert "HEYGEN_API_KEY" in process.stderr
    assert "not-the-key" not in process.stderr + process.stdout
    states = {(result["provider"], result["state"]) for result in shell.results()}
    assert states == {("mux", "done"), ("heygen", "pending")}
    shell.environment.update(sandbox)
    assert shell.run("resume", *UNLIMITED).returncode == 0


def test_run_account_without_access_stops_only_its_provider_and_is_resumed(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    set_options(sandbox, heygen_forbidden=True)
    process = shell.run("run", shell.manifest(SMALL), *UNLIMITED)
    assert process.returncode == 3
    assert "heygen refuses access: 403 forbidden: Account suspended" in process.stderr
    states = {(result["provider"], result["state"]) for result in shell.results()}
    assert states == {("mux", "done"), ("heygen", "pending")}
    set_options(sandbox, heygen_forbidden=False)
    assert shell.run("resume", *UNLIMITED).returncode == 0


def test_run_missing_key_is_named_before_any_request(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    del shell.environment["MUX_TOKEN_SECRET"]
    result = shell.run("run", shell.manifest(SMALL))
    assert result.returncode == 3
    assert "MUX_TOKEN_SECRET" in result.stderr
    assert "Traceback" not in result.stderr
    assert request_log(sandbox)["requests"] == {}


def test_run_other_origin_is_refused(shell: Shell, sandbox: Mapping[str, str]) -> None:
    name = shell.manifest("video_translate_id\none\n")
    assert shell.run("run", name, "--sandbox").returncode == 0
    other = shell.run("run", shell.manifest("video_translate_id\ntwo\n", "n.csv"))
    assert other.returncode == 2
    assert "sandbox" in other.stderr
    assert sandbox["HEYGEN_API_BASE"] in other.stderr
    assert shell.run("resume", "--sandbox", "--json").stdout.count('"total":1')


def test_commands_on_a_finished_rehearsal_without_sandbox_are_refused(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    """Nothing is pending in the folder, so that no request would notice where the rows are from."""
    shell.manifest("asset_id,to_language_code,video_translate_id\n,,one\nfails-1,es,\n")
    shell.manifest("asset_id,to_language_code\nfilm-1,es\n", "n.csv")
    assert shell.run("run", "m.csv", "--sandbox", *UNLIMITED).returncode == 1
    before = shell.results()
    for arguments in (
        ["run", "m.csv"],
        ["run", "n.csv"],
        ["resume"],
        ["resume", "--retry-failed"],
        ["verify", "--repair"],
        ["rebuild", "m.csv", "--settle", "0s"],
    ):
        real = shell.run(*arguments)
        assert real.returncode == 2, (arguments, real.stderr)
        assert "this folder holds a rehearsal" in real.stderr
        assert "--out DIR" in real.stderr
    assert shell.results() == before
    assert json.loads(shell.run("status", "--json").stdout)["pending"] == 0
    assert request_log(sandbox)["requests"] == {}


def test_run_sandbox_on_finished_real_rows_is_refused(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    name = shell.manifest("video_translate_id\none\n")
    assert shell.run("run", name).returncode == 0
    rehearsal = shell.run("run", name, "--sandbox")
    assert rehearsal.returncode == 2
    assert "leave out --sandbox" in rehearsal.stderr


def test_verify_and_status_of_a_rehearsal_name_the_sandbox(shell: Shell) -> None:
    name = shell.manifest("video_translate_id\none\n")
    assert shell.run("run", name, "--sandbox").returncode == 0
    verified = shell.run("verify")
    assert verified.stdout == (
        "a rehearsal: its captions are the sandbox's\n1 of 1 files are good.\n"
    )
    assert json.loads(shell.run("verify", "--json").stdout)["sandbox"] is True
    assert "a rehearsal: its captions are the sandbox's" in shell.run("status").stdout
    assert json.loads(shell.run("status", "--json").stdout)["sandbox"] is True


def test_run_json_prints_only_the_summary_on_stdout(shell: Shell) -> None:
    result = shell.run("run", shell.manifest(SMALL), "--sandbox", "--json", "-v")
    assert result.returncode == 0
    (line,) = result.stdout.splitlines()
    summary = json.loads(line)
    assert summary["total"] == summary["done"] == 12
    assert {"failed", "skipped", "invalid", "pending", "elapsed_seconds", "bytes"} <= summary.keys()
    assert set(summary["requests"]) == {"mux.write", "mux.read", "heygen", "downloads"}
    assert summary["requests"]["mux.write"] == 8
    assert summary["units_consumed"] >= 8


def test_resume_retry_failed_puts_failed_rows_back(shell: Shell) -> None:
    name = shell.manifest("video_translate_id\none\nmissing-1\nfailed-1\n")
    process = shell.run("run", name, "--sandbox")
    assert process.returncode == 1
    assert "2 failed" in process.stdout
    assert "--retry-failed" not in process.stdout  # neither can succeed
    assert "--retry-failed --only job_failed" not in process.stderr
    codes = [result["error"] and result["error"]["code"] for result in shell.results()]
    assert codes == [None, "not_found", "job_failed"]
    again = shell.run("resume", "--sandbox", "--retry-failed", "--only", "not_found", "--json")
    assert again.returncode == 1
    assert json.loads(again.stdout)["errors"] == {"not_found": 1, "job_failed": 1}


def test_report_format_is_csv_or_json(shell: Shell) -> None:
    name = shell.manifest("video_translate_id,note\none,=1+1\n")
    assert shell.run("run", name, "--sandbox").returncode == 0
    assert json.loads(shell.run("report").stdout)["totals"]["done"] == 1
    assert shell.run("report", "--format", "csv", "-o", "r.csv").returncode == 0
    assert "'=1+1" in (shell.folder / "r.csv").read_text()


def test_run_dash_reads_standard_input(shell: Shell) -> None:
    result = shell.run("run", "-", "--sandbox", "--json", input="video_translate_id\none\n")
    assert result.returncode == 0
    assert json.loads(result.stdout)["done"] == 1


def test_run_skip_invalid_continues(shell: Shell) -> None:
    name = shell.manifest("asset_id,to_language_code,from_language\na,es,en\nb,,en\n")
    refused = shell.run("run", name, "--sandbox")
    assert refused.returncode == 2
    assert f"{name}:3: to_language_code" in refused.stderr
    assert not list(Path(shell.folder / "captions").glob("mux"))
    result = shell.run("run", name, "--sandbox", "--skip-invalid", "--json")
    assert result.returncode == 1
    summary = json.loads(result.stdout)
    assert (summary["done"], summary["invalid"]) == (1, 1)
    assert shell.results()[1]["line"] == 3


def test_usage_error_exits_2_without_a_traceback(shell: Shell) -> None:
    for arguments in (["run"], ["run", "nothing.csv"], ["resume"], ["status"], ["nonsense"]):
        result = shell.run(*arguments)
        assert result.returncode == 2, (arguments, result.stderr)
        assert result.stderr.startswith("error: ")
        assert "Traceback" not in result.stderr


def test_help_imports_no_command() -> None:
    program = "import sys; from batchcap.cli import main; main(['--help']); print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    modules = set(result.stdout.split())
    assert not modules & {"aiohttp", "batchcap.app.run", "batchcap.cli.run", "batchcap.manifest"}
    for command in COMMANDS:
        assert command in modules


def test_run_robots_v1_is_refused(shell: Shell) -> None:
    result = shell.run("run", shell.manifest(SMALL), "--mux-robots-api", "v1")
    assert result.returncode == 2
    assert "v1" in result.stderr


def test_run_without_any_credential_names_all_and_the_folder(shell: Shell) -> None:
    refused = shell.run("run", shell.manifest(SMALL), "-o", "my films")
    assert refused.returncode == 3
    for name in ("MUX_TOKEN_ID", "MUX_TOKEN_SECRET", "HEYGEN_API_KEY"):
        assert f" {name}=..." in refused.stderr
    assert "then: batchcap resume -o 'my films'. " in refused.stderr


def test_hint_of_a_stopped_lane_names_the_folder(shell: Shell, sandbox: Mapping[str, str]) -> None:
    shell.environment["HEYGEN_API_KEY"] = "not-the-key"
    manifest = shell.manifest("video_translate_id\none\n")
    refused = shell.run("run", manifest, "-o", "films", *UNLIMITED)
    assert refused.returncode == 3
    assert "hint: Check HEYGEN_API_KEY, then: batchcap resume -o films\n" in refused.stderr


def test_audit_of_a_rehearsal_without_credentials_names_the_sandbox(shell: Shell) -> None:
    manifest = shell.manifest("asset_id,to_language_code\nfilm-1,es\n")
    run = shell.run("run", manifest, "-o", "rehearsal", "--sandbox", *UNLIMITED)
    assert run.returncode == 0, run.stderr
    refused = shell.run("audit", "-o", "rehearsal")
    assert refused.returncode == 2
    assert "this folder holds a rehearsal" in refused.stderr
    assert "To continue the rehearsal: --sandbox" in refused.stderr
