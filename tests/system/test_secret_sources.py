"""Keys from files, commands and a configuration file work for a run, and show up nowhere."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from batchcap.cli.app import main
from tests.system.conftest import UNLIMITED, Shell, request_log, sandbox_process
from tests.system.test_secrets import HEADER, files

TOKEN, SECRET, KEY = "tid-from-a-file-of-ours", "tsec-from-a-command", "hkey-in-clear-text"
FIELDS = {"mux_token_id": TOKEN, "mux_token_secret": SECRET, "heygen_api_key": KEY}
ROWS = ["film-1,,en,es,", "film-fails-1,,en,es,", ",,,,tr-1", ",,,,missing-1"]
CONFIG = f"""\
on-end = "sh -c 'env > environment'"
rate = {json.dumps([rate.removeprefix("--rate=") for rate in UNLIMITED])}
[secrets]
MUX_TOKEN_SECRET = {{ secret_command = ["sh", "-c", "echo from the command >&2; cat ../t"] }}
HEYGEN_API_KEY = "{KEY}"
"""


def test_keys_of_every_source_work_and_are_nowhere_to_be_seen(
    shell: Shell, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shell.folder = shell.folder / "work"
    shell.folder.mkdir()
    (shell.folder / "../t").write_text(SECRET)
    (shell.folder / "../id").write_text(f"{TOKEN}\n")
    (shell.folder / "../batchcap.toml").write_text(CONFIG)
    name = shell.manifest(HEADER + "\n".join(ROWS) + "\n")
    fields = [f"--set={field}={json.dumps(value)}" for field, value in FIELDS.items()]
    with sandbox_process("--set=job_seconds=0.2", *fields) as environment:
        urls = {name: value for name, value in environment.items() if value.startswith("http")}
        shell.environment |= {**urls, "MUX_TOKEN_ID_FILE": "../id"}
        seen = ["-v", "--log-file", "log", "--trace", "trace.har", "--config", "../batchcap.toml"]
        run = shell.run("run", name, *seen)
        assert run.returncode == 1, run.stderr[-3000:]
        log = request_log(environment)
    assert [result["state"] for result in shell.results()] == ["done", "failed", "done", "failed"]
    assert log["leaks"] == []
    assert "HEYGEN_API_KEY" in run.stderr.splitlines()[0]  # the warning
    assert "--config ../batchcap.toml" in run.stderr  # in the command to type
    pair = base64.b64encode(f"{TOKEN}:{SECRET}".encode())
    places = {"output": (run.stdout + run.stderr).encode(), **files(shell.folder)}
    assert {"environment", "log", "trace.har"} <= {Path(place).name for place in places}
    for place, content in places.items():
        for secret in (TOKEN.encode(), SECRET.encode(), KEY.encode(), pair):
            assert secret not in content, place
        assert b"from the command" not in content, place
    assert b"MUX_TOKEN_ID_FILE" not in places[str(shell.folder / "environment")]


def test_sandbox_run_is_not_led_by_the_configuration_of_the_sandbox_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.csv").write_text("video_translate_id\none\n")
    Path("batchcap.toml").write_text("sandbox = true\nport = 1\njson = false\n")
    monkeypatch.setenv("BATCHCAP_LIMITS", "nonsense")
    assert main(["run", "m.csv", "-q"]) == 0
    results = Path("captions/results.jsonl").read_text()
    assert json.loads(results)["state"] == "done"
