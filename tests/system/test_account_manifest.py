"""`batchcap manifest`, through the installed command."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping

import pytest

from tests.system.conftest import UNLIMITED, Shell, request_log, set_options

QUICK = ["--rate", "mux.read=none"]


def test_manifest_mux_is_run_as_it_is(shell: Shell, sandbox: Mapping[str, str]) -> None:
    set_options(sandbox, mux_account=5, job_seconds=0.1)
    written = shell.run("manifest", "mux", "--from", "en", "--to", "es,ja", "-o", "v.csv", *QUICK)
    assert written.returncode == 0, written.stderr
    assert written.stderr == "5 assets listed, 5 rows with 10 captions in v.csv\n"
    assert written.stdout == ""
    process = shell.run("run", "v.csv", "-q", *UNLIMITED)
    assert process.returncode == 0, process.stderr
    assert {result["state"] for result in shell.results()} == {"done"}
    again = shell.run("manifest", "mux", "--to", "es,ja,fr", *QUICK)
    assert again.returncode == 0, again.stderr
    assert "left out: 10 captions that exist\n" in again.stderr
    assert [line.split(",")[3] for line in again.stdout.splitlines()[1:]] == ["fr"] * 5
    first = again.stdout.splitlines()[1].partition(",")[0]
    shell.manifest(f"asset_id,to_language_code\n{first},fr\n", "one.csv")
    pending = shell.run("run", "one.csv", "--filter", "language=none", "-q", *UNLIMITED)
    assert pending.returncode == 0, pending.stderr
    missing = shell.run("manifest", "mux", "--to", "es,fr", "--missing-in", "captions", *QUICK)
    assert missing.returncode == 0, missing.stderr
    assert "left out: 1 captions that the ledger has\n" in missing.stderr


def test_manifest_heygen_is_jsonl_on_request(shell: Shell, sandbox: Mapping[str, str]) -> None:
    set_options(sandbox, heygen_account=3)
    written = shell.run("manifest", "heygen", "--format", "jsonl", "-q")
    assert written.returncode == 0, written.stderr
    assert written.stderr == ""
    rows = [json.loads(line) for line in written.stdout.splitlines()]
    assert len(rows) == 3
    assert rows[0].keys() >= {"video_translate_id", "language", "title", "state", "has_caption"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_manifest_killed_continues_where_it_stopped(
    shell: Shell, sandbox: Mapping[str, str], number: signal.Signals
) -> None:
    set_options(sandbox, mux_account=10_000)
    arguments = ["manifest", "mux", "--to", "es", "-o", "v.csv"]
    first = shell.start(*arguments, "--rate", "mux.read=20/s")
    state = shell.folder / "v.csv.part.json"
    while not state.exists():
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(number)
    _, errors = first.communicate(timeout=60)
    assert first.returncode == (-number if number == signal.SIGKILL else 130)
    assert "Traceback" not in errors
    saved = json.loads(state.read_text())["author"]["listed"]
    assert 0 < saved < 10_000
    before = request_log(sandbox)["routes"]["mux.assets"]["200"]
    again = shell.run(*arguments, *QUICK)
    assert again.returncode == 0, again.stderr
    assert f"continuing after {saved:,} assets\n" in again.stderr
    assert "10,000 assets listed, 10,000 rows with 10,000 captions in v.csv\n" in again.stderr
    after = request_log(sandbox)["routes"]["mux.assets"]["200"]
    assert after - before == 100 - saved // 100
    lines = (shell.folder / "v.csv").read_text().splitlines()
    assert len({line.split(",")[0] for line in lines[1:]}) == len(lines) - 1 == 10_000
    assert not list(shell.folder.glob("v.csv.*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "pt-BR,pt-PT"], "pt-BR and pt-PT cannot both be tracks of one asset"),
        (["--to", "Spanish"], "--to: 'Spanish' is not a language tag (write es)"),
        (["--to", "es", "--from", "es"], "es is the source language too"),
        (["--to", "es", "-o", "v.txt"], "-o v.txt: the name does not say which format"),
        (["--to", "es", "--created-after", "soon"], "--created-after: invalid date 'soon'"),
        (["--to", "es", "--missing-in", "none"], "there is no ledger in none"),
        ([], "--to"),
    ],
)
def test_manifest_wrong_options_exit_2(shell: Shell, arguments: list[str], message: str) -> None:
    refused = shell.run("manifest", "mux", "--sandbox", *arguments)
    assert refused.returncode == 2, refused.stderr
    assert message in refused.stderr


def test_manifest_without_credentials_exits_3_and_leaves_nothing(shell: Shell) -> None:
    refused = shell.run("manifest", "heygen", "-o", "v.csv")
    assert refused.returncode == 3
    assert "heygen rows need HEYGEN_API_KEY in the environment" in refused.stderr
    assert "then: the same command again" in refused.stderr
    assert list(shell.folder.iterdir()) == []
