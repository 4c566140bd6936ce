"""Every source of a secret, and that none of them shows it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from batchcap.cli.app import app, main
from batchcap.cli.configuration import secret_sources
from batchcap.cli.configuration.configuration import load
from batchcap.cli.configuration.environment import Environment
from batchcap.cli.configuration.secret_sources import secret_from_command, secret_from_file
from batchcap.domain.errors import FatalError, UsageError
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import read_secrets, secret_names
from tests.unit.cli.configuration.conftest import Folders

SECRET = "hunter2-correct-horse"
NAMES = secret_names(PROVIDERS.values())
SOURCES = ["variable", "file variable", "plain", "file", "command", "profile"]


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def set_secret(folders: Folders, name: str, source: str) -> dict[str, str]:
    """Set a secret in one way; returns the variables."""
    (folders.user / "secret").write_text(f"{SECRET}\n")
    values = {
        "plain": repr(SECRET),
        "file": "{ file = 'secret' }",
        "command": f"{{ secret_command = {sh(f'echo {SECRET}')!r} }}",
    }
    if source in values:
        folders.own(f"[secrets]\n{name} = {values[source]}\n")
    elif source == "profile":
        folders.own(f"[profiles.p.secrets]\n{name} = {values['file']}\n")
    variables = {"variable": {name: SECRET}}
    variables["file variable"] = {f"{name}_FILE": str(folders.user / "secret")}
    return {"PATH": os.environ["PATH"], **variables.get(source, {})}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", NAMES)
def test_secret_comes_from_every_source(folders: Folders, name: str, source: str) -> None:
    variables = set_secret(folders, name, source)
    environment = Environment(load(app, variables, None, "p" if source == "profile" else ""))
    assert read_secrets(PROVIDERS.values(), environment) == {name: SECRET}
    assert name in set(environment)
    assert SECRET not in repr(environment)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("arguments", [["config"], ["config", "--json"], ["config", "--all"]])
def test_config_shows_a_secret_as_set(
    folders: Folders,
    source: str,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in set_secret(folders, "HEYGEN_API_KEY", source).items():
        monkeypatch.setenv(name, value)
    assert main([*arguments, *(["--profile", "p"] if source == "profile" else [])]) == 0
    out, err = capfd.readouterr()
    assert "set" in out
    assert SECRET not in out + err
    assert ("the file holds a secret, HEYGEN_API_KEY" in err) is (source == "plain")


def test_variable_and_its_file_are_not_both_set(folders: Folders) -> None:
    variables = {"HEYGEN_API_KEY": SECRET, "HEYGEN_API_KEY_FILE": "/etc/passwd"}
    environment = Environment(load(app, variables, None, ""))
    with pytest.raises(UsageError, match="HEYGEN_API_KEY and HEYGEN_API_KEY_FILE are both set"):
        environment.get("HEYGEN_API_KEY")


def test_variable_holds_before_the_files(folders: Folders) -> None:
    folders.own(f"[secrets]\nHEYGEN_API_KEY = {{ secret_command = {sh('touch ran')!r} }}\n")
    for variables in ({"HEYGEN_API_KEY": "x"}, {"HEYGEN_API_KEY_FILE": "key"}):
        folders.here("x\n", "key")
        environment = Environment(load(app, variables, None, ""))
        assert environment["HEYGEN_API_KEY"] == "x"
    assert not Path("ran").exists()


def test_command_runs_once_and_only_if_its_secret_is_needed(folders: Folders) -> None:
    folders.own(
        f"[secrets]\nHEYGEN_API_KEY = {{ secret_command = {sh('echo >> ran; echo key')!r} }}\n"
    )
    environment = Environment(load(app, dict(os.environ), None, ""))
    assert "PATH" in environment
    assert main(["config"]) == 0
    assert not Path("ran").exists()
    assert environment["HEYGEN_API_KEY"] == environment["HEYGEN_API_KEY"] == "key"
    assert Path("ran").read_text() == "\n"


def test_command_gets_no_other_secret_and_no_input() -> None:
    variables = {"PATH": os.environ["PATH"], "A": "b"}
    script = 'read line || echo "$A"'
    assert secret_from_command("here", sh(script), variables) == "b"


def test_command_is_run_without_the_secrets_of_the_environment(folders: Folders) -> None:
    folders.own(f"[secrets]\nHEYGEN_API_KEY = {{ secret_command = {sh('env | grep MUX')!r} }}\n")
    variables = {"PATH": os.environ["PATH"], "MUX_TOKEN_ID": SECRET, "MUX_BASE_URL": "https://x"}
    environment = Environment(load(app, variables, None, ""))
    assert environment["HEYGEN_API_KEY"] == "MUX_BASE_URL=https://x"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (f"echo {SECRET}; echo locked >&2; exit 3", "sh exited with status 3: locked"),
        (f"echo {SECRET}; echo it is {SECRET} >&2; exit 1", r"status 1: it is \*\*\*$"),
        (f"echo {SECRET}; kill -9 $$", "sh was ended by signal 9$"),
        ("true", "the output of sh is empty"),
        (r"printf '\377\376'", "the output of sh is not text"),
        ("yes | head -c 70000", "the output of sh is larger than 64 KiB"),
    ],
)
def test_command_that_fails_shows_its_errors_only(script: str, message: str) -> None:
    with pytest.raises(FatalError, match=message) as error:
        secret_from_command("f.toml:3: KEY", sh(script), os.environ)
    assert error.value.message.startswith("f.toml:3: KEY: ")
    assert SECRET not in error.value.message


def test_command_that_takes_too_long_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(FatalError, match="sleep took longer than 0 s, and was ended"):
        secret_from_command("here", ["sleep", "60"], os.environ, time_limit=0.05)
    assert time.monotonic() - began < 20
    assert secret_sources.TIME_LIMIT == 60


@pytest.mark.parametrize("program", ["/nonexistent/pass", "nul\0"])
def test_command_that_cannot_be_started_is_named(program: str) -> None:
    with pytest.raises(FatalError, match=r"^here: "):
        secret_from_command("here", [program], os.environ)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b" \n", "is empty"), (b"\xff\xfe", "is not text"), (b"x" * 70_000, "is larger than 64 KiB")],
)
def test_file_without_a_secret_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(FatalError, match=message):
        secret_from_file("KEY_FILE", path)


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FatalError, match=f"KEY_FILE: cannot read {path}: "):
            secret_from_file("KEY_FILE", path)


def test_doctor_reports_a_secret_that_cannot_be_fetched(
    folders: Folders, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEYGEN_API_KEY_FILE", "absent")
    monkeypatch.setenv("XDG_STATE_HOME", str(folders.user))
    assert main(["doctor"]) == 1
    shown = capfd.readouterr().out.splitlines()
    problems = [line for line in shown if line.startswith("problem")]
    assert len(problems) == 1
    assert "HEYGEN_API_KEY_FILE: cannot read absent" in problems[0]


def test_run_without_its_secret_stops_and_can_be_resumed(
    folders: Folders, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders.here("video_translate_id\none\n", "m.csv")
    monkeypatch.setenv("HEYGEN_API_KEY_FILE", "absent")
    assert main(["run", "m.csv"]) == 3
    assert "HEYGEN_API_KEY_FILE: cannot read absent" in capfd.readouterr().err
    assert not Path("captions").exists()


SHOWN = """\
proxy = "http://me:hunter2-correct-horse@proxy.example.com:8080"
on-end = "notify hunter2-correct-horse"
web-token = "hunter2-correct-horse"
rate = ["heygen=2/s", "mux.read=3/s"]
connections = 7
"""


def test_config_shows_values_and_their_places(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    own = folders.own(SHOWN)
    folders.here("[profiles.p]\nconnections = 9\n")
    monkeypatch.setenv("BATCHCAP_SETTLE", "5s")
    monkeypatch.setenv("HEYGEN_API_BASE", "https://heygen.example.com")
    assert main(["config", "--profile", "p", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["files"] == ["batchcap.toml", str(own)]
    assert document["profile"] == "p"
    assert document["options"] == {
        "connections": {"value": "9", "source": "batchcap.toml:2"},
        "on-end": {"value": "set", "source": f"{own}:2"},
        "proxy": {"value": "http://***@proxy.example.com:8080", "source": f"{own}:1"},
        "rate": {"value": ["heygen=2/s", "mux.read=3/s"], "source": f"{own}:4"},
        "settle": {"value": "5s", "source": "BATCHCAP_SETTLE"},
        "web-token": {"value": "set", "source": f"{own}:3"},
    }
    assert document["urls"]["HEYGEN_API_BASE"]["source"] == "HEYGEN_API_BASE"
    assert document["urls"]["MUX_BASE_URL"] == {"value": "https://api.mux.com", "source": "default"}

    assert main(["config", "--profile", "p", "--all"]) == 0
    out, err = capfd.readouterr()
    assert f"rate               heygen=2/s  mux.read=3/s  ({own}:4)" in out
    assert "downloads          32  (default)" in out
    assert "profile: p" in out
    assert SECRET not in out
    assert {line.split("secret, ")[1].split(";")[0] for line in err.splitlines()} == {
        *("proxy", "web-token")
    }
