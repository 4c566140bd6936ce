"""The same command on both event loops: uvloop, if it is installed, and asyncio."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.system.conftest import Shell

STUCK = "video_translate_id\nstuck-1\nstuck-2\n"


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest, shell: Shell) -> str:
    """The loop that the command has to use."""
    name: str = request.param
    if name == "uvloop" and find_spec("uvloop") is None:
        pytest.skip("uvloop is not installed")
    shell.environment["BATCHCAP_LOOP"] = name
    return name


@pytest.mark.usefixtures("loop", "sandbox")
def test_run_on_each_loop_saves_every_caption(shell: Shell) -> None:
    rows = "".join(f"asset-{n},es,en,\n,,,tr-{n}\n" for n in range(10))
    name = shell.manifest("asset_id,to_language_code,from_language,video_translate_id\n" + rows)
    result = shell.run("run", name, "--json", "--rate", "mux.write=none")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["done"] == 20
    assert len([*shell.folder.rglob("*.vtt")]) == 20


@pytest.mark.usefixtures("sandbox")
def test_run_interrupted_on_each_loop_shuts_down_gracefully(shell: Shell, loop: str) -> None:
    process = shell.start("run", shell.manifest(STUCK), "--log-file", "run.log")
    wait_for(shell.folder / "run.log", '"event":"row_started"')
    if sys.platform == "linux":
        assert ("/uvloop/" in Path(f"/proc/{process.pid}/maps").read_text()) is (loop == "uvloop")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "batchcap resume" in out
    assert "Traceback" not in err


def test_run_unknown_loop_is_a_usage_error(shell: Shell, sandbox: Mapping[str, str]) -> None:
    shell.environment["BATCHCAP_LOOP"] = "trio"
    result = shell.run("run", shell.manifest(STUCK))
    assert result.returncode == 2
    assert "BATCHCAP_LOOP is 'trio'" in result.stderr
    assert "hint: " in result.stderr


def wait_for(path: Path, text: str) -> None:
    """Wait until a file contains a text, for at most 20 s."""
    deadline = time.monotonic() + 20
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline, path
        time.sleep(0.05)
