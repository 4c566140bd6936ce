"""`batchcap login` in a terminal, against a sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from batchcap.cli.app import main
from tests.system.conftest import Shell, request_log


def test_login_tries_keys_by_gets_and_stores_nothing(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    mux = shell.run("login", "mux")
    assert mux.returncode == 0, mux.stderr
    assert mux.stdout.splitlines()[0] == "mux: the key is accepted"
    shell.environment["HEYGEN_API_KEY"] = "wrong-heygen-key-of-the-user"
    heygen = shell.run("login", "heygen", "--json")
    assert heygen.returncode == 3
    assert json.loads(heygen.stdout)["accepted"] is False
    assert heygen.stderr.startswith("error: heygen: the key is not accepted: 401")
    assert "hint: Check HEYGEN_API_KEY" in heygen.stderr
    assert "wrong-heygen-key" not in heygen.stdout + heygen.stderr
    log = request_log(sandbox)
    assert log["creates"] == log["translations"] == []
    assert log["routes"] == {
        "mux.assets": {"200": 1},
        "mux.jobs": {"200": 1},
        "heygen.v3.list": {"401": 1},
    }
    assert list(shell.folder.iterdir()) == []


def test_login_with_sandbox_needs_no_key(shell: Shell) -> None:
    result = shell.run("login", "mux", "--sandbox")
    assert result.returncode == 0, result.stderr
    assert list(shell.folder.iterdir()) == []


def test_login_unknown_provider_lists_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["login", "vimeo"]) == 2
    assert "mux, heygen" in capsys.readouterr().err
