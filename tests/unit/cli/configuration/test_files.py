"""What is wrong with a file is told by line, and a file in the working folder is not trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batchcap.cli.app import app, main
from batchcap.cli.configuration.configuration import load
from batchcap.cli.configuration.environment import Environment
from batchcap.cli.configuration.files import MAX_SIZE
from batchcap.domain.errors import UsageError
from tests.unit.cli.configuration.conftest import Folders

CANARY = "hunter2-canary"

WRONG = {
    "raet = 'x'": "1: unknown key 'raet'; did you mean rate?",
    "\nmax-job = 'x'": "2: unknown key 'max-job'; did you mean max-jobs?",
    "[run]\nrate = 'x'": "1: unknown key 'run'",
    "connections = '64'": "1: connections takes a whole number",
    "connections = 6.5": "1: connections takes a whole number",
    "connections = true": "1: connections takes a whole number",
    "headroom = '5'": "1: headroom takes a number",
    "json = 1": "1: json takes true or false",
    "rate = [1]": "1: rate takes a text or a list of texts",
    "job-timeout = []": "1: job-timeout takes a text",
    "out = 3": "1: out takes a path",
    "max-jobs = 'mux=1'\nmax_jobs = 'mux=2'": "2: max-jobs is there twice",
    f"HEYGEN_API_KEY = '{CANARY}'": "1: unknown key 'HEYGEN_API_KEY'; it belongs into the table "
    "[secrets]",
    "MUX_BASE_URL = 'https://x'": "1: unknown key 'MUX_BASE_URL'; it belongs into the table [urls]",
    f"[secrets]\nHEYGEN_APIKEY = '{CANARY}'": "2: unknown secret 'HEYGEN_APIKEY'; did you mean "
    "HEYGEN_API_KEY?",
    f"[secrets]\nHEYGEN_API_KEY = ['{CANARY}']": "2: HEYGEN_API_KEY takes {",
    "[secrets]\nHEYGEN_API_KEY = ''": "2: HEYGEN_API_KEY takes {",
    "[secrets]\nHEYGEN_API_KEY = { secret_command = 'pass' }": "2: HEYGEN_API_KEY takes {",
    "[secrets]\nHEYGEN_API_KEY = { secret_command = [] }": "2: HEYGEN_API_KEY takes {",
    "[secrets]\nHEYGEN_API_KEY = { secret_command = ['x'], file = 'y' }": "2: HEYGEN_API_KEY takes",
    "secrets = 3": "1: secrets must be a table",
    "[urls]\nMUX_BASE = 'https://x'": "2: unknown URL 'MUX_BASE'; did you mean MUX_BASE_URL?",
    "[urls]\nMUX_BASE_URL = 3": "2: MUX_BASE_URL takes a URL",
    "profiles = 3": "1: profiles must be a table",
    "[profiles]\nslow = 3": "2: slow must be a table",
    "[profiles.slow]\nraet = 'x'": "2: unknown key 'raet'; did you mean rate?",
    "[accounts.acme]\nprovider = 'mux'": "1: accounts are not supported yet",
    "accounts = 3": "1: accounts must be a table",
}


@pytest.mark.parametrize("text", WRONG, ids=ascii)
@pytest.mark.parametrize("place", ["here", "own", "chosen"])
def test_wrong_line_is_named_with_what_was_meant(folders: Folders, text: str, place: str) -> None:
    path, chosen = Path("batchcap.toml"), None
    if place == "own":
        path = folders.own(text)
    else:
        folders.here(text)
        chosen = path if place == "chosen" else None
    with pytest.raises(UsageError) as error:
        load(app, {}, chosen, "")
    assert error.value.message.startswith(f"{path}:{WRONG[text]}")
    assert CANARY not in error.value.message + error.value.hint
    assert "\n" not in error.value.message


def test_every_wrong_line_is_named(folders: Folders) -> None:
    folders.here("raet = 1\njson = 1\n[profiles.p]\nquiet = 1\n")
    with pytest.raises(UsageError) as error:
        load(app, {}, None, "")
    lines = [line.split(":")[1] for line in error.value.message.splitlines()]
    assert lines == ["1", "2", "4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('rate = ["heygen=7x/s"]', "batchcap.toml:1: --rate: invalid rate '7x/s'"),
        ("\nsettle = 'soon'", "batchcap.toml:2: --settle: invalid duration 'soon'"),
        ("connections = 0", "batchcap.toml:1: --connections: 0 must be at least 1"),
        ("on-existing = 'kip'", 'Invalid value "kip" for --on-existing from batchcap.toml:1'),
    ],
)
def test_wrong_value_is_reported_with_its_line(
    folders: Folders, text: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folders.here(text)
    folders.here("video_translate_id\none\n", "m.csv")
    assert main(["run", "m.csv", "--sandbox"]) == 2
    assert message in capfd.readouterr().err


def test_wrong_value_of_a_flag_is_not_the_files(
    folders: Folders, capfd: pytest.CaptureFixture[str]
) -> None:
    folders.here("settle = 'soon'")
    assert main(["run", "m.csv", "--settle", "later"]) == 2
    assert capfd.readouterr().err.startswith("error: --settle: invalid duration 'later'")


def test_misspelled_variable_is_a_warning(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BATCHCAP_CONECTIONS", "3")
    monkeypatch.setenv("BATCHCAP_IMAGE_OF_OURS", "3")
    monkeypatch.setenv("BATCHCAP_EXIT_STATUS", "3")
    assert main(["config"]) == 0
    meant = "BATCHCAP_CONECTIONS is not a variable of batchcap; did you mean BATCHCAP_CONNECTIONS?"
    assert capfd.readouterr().err == f"warning: {meant}\n"


RAN = "ran-by-the-folder"
HOSTILE = {
    "on-end": f"on-end = 'touch {RAN}'",
    "on_end": f"on_end = 'touch {RAN}'",
    "proxy": "proxy = 'http://192.0.2.1:8080'",
    "ca": "ca = 'evil.pem'",
    "web-token": "web-token = 'known'",
    "yes": "yes = true",
    "cancel": "cancel = true",
    "delete-tracks": "delete-tracks = true",
    "secret_command": f"[secrets]\nHEYGEN_API_KEY = {{ secret_command = ['touch', '{RAN}'] }}",
    "file": "[secrets]\nHEYGEN_API_KEY = { file = '/etc/passwd' }",
    "a URL": "[urls]\nHEYGEN_API_BASE = 'https://evil.example.com'",
    "in a profile": f"[profiles.p]\non-end = 'touch {RAN}'",
    "in a profile's secrets": "[profiles.p.secrets]\nMUX_TOKEN_ID = { secret_command = ['touch'] }",
    "out": "out = '..'\nname = '.bashrc'",
    "out_": "out = '/'",
    "out through a link": "out = 'link'",
    "demo-out": "demo-out = '../x'",
    "log-file": "log-file = '../log'",
    "trace": "trace = '/tmp/trace.har'",
    "report-out": "report-out = '../x.html'",
    "manifest-out": "manifest-out = 'link/x.csv'",
    "sandbox-state": "sandbox-state = '../x'",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("command", [["run", "m.csv"], ["status"], ["config"]], ids=str)
def test_working_folders_file_runs_nothing_and_leads_nowhere(
    folders: Folders, name: str, command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    folders.here("video_translate_id\none\n", "m.csv")
    Path("link").symlink_to(folders.user)
    folders.here(HOSTILE[name])
    assert main(command) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: batchcap.toml:")
    assert "lies in the working folder" in error or "leads out of the folder" in error
    assert f"--config batchcap.toml, or move these lines to {folders.user}" in error
    assert sorted(path.name for path in folders.working.iterdir()) == [
        *("batchcap.toml", "link", "m.csv")
    ]


def test_hostile_file_is_not_hidden_by_a_variable_or_a_flag(folders: Folders) -> None:
    folders.here(HOSTILE["proxy"])
    with pytest.raises(UsageError, match="proxy is not taken"):
        load(app, {"BATCHCAP_PROXY": "http://127.0.0.1:1"}, None, "")


@pytest.mark.parametrize("trusted", ["own", "--config", "variable"])
def test_trusted_file_may_set_everything(folders: Folders, trusted: str) -> None:
    text = """\
on-end = 'true'
proxy = 'http://127.0.0.1:1'
[secrets]
HEYGEN_API_KEY = { secret_command = ['echo', 'key'] }
[urls]
HEYGEN_API_BASE = 'https://heygen.example.com'
"""
    folders.own(text) if trusted == "own" else folders.here(text)
    chosen = Path("batchcap.toml") if trusted == "--config" else None
    variables = {"PATH": os.environ["PATH"]}
    variables |= {"BATCHCAP_CONFIG": "batchcap.toml"} if trusted == "variable" else {}
    environment = Environment(load(app, variables, chosen, ""))
    assert environment["HEYGEN_API_KEY"] == "key"
    assert environment["HEYGEN_API_BASE"] == "https://heygen.example.com"
    assert "MUX_BASE_URL" not in environment
    assert {"HEYGEN_API_KEY", "HEYGEN_API_BASE"} <= set(environment)


def test_link_in_the_working_folder_to_the_users_file_is_not_trusted(folders: Folders) -> None:
    own = folders.own("on-end = 'true'\n")
    Path("batchcap.toml").symlink_to(own)
    with pytest.raises(UsageError, match="on-end is not taken"):
        load(app, {}, None, "")


def test_users_folder_as_the_working_folder_is_trusted(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders.own("on-end = 'true'\nconnections = 3\n")
    monkeypatch.chdir(folders.user)
    assert len(load(app, {}, None, "").files) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rate = x", "is not TOML: .*line 1"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"a = " + b"[" * 100_000, "is not TOML"),
        (b"#" * (MAX_SIZE + 1), "is larger than 256 KiB"),
    ],
)
def test_file_that_is_no_configuration_is_refused(
    folders: Folders, content: bytes, message: str
) -> None:
    Path("batchcap.toml").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load(app, {}, None, "")


def test_file_that_is_not_a_file_is_refused(folders: Folders) -> None:
    os.mkfifo("batchcap.toml")
    with pytest.raises(UsageError, match="it is not a file"):
        load(app, {}, None, "")
    Path("batchcap.toml").unlink()
    Path("batchcap.toml").symlink_to("absent")
    with pytest.raises(UsageError, match="it does not exist"):
        load(app, {}, None, "")
    with pytest.raises(UsageError, match=r"cannot read the configuration other\.toml"):
        load(app, {}, Path("other.toml"), "")


def test_keys_are_printed_without_control_characters(
    folders: Folders, capfd: pytest.CaptureFixture[str]
) -> None:
    folders.here('"\\u001b]0;owned" = 1\n["profiles"."\\u202e"]\n"\\u009b2J" = 1\n')
    assert main(["config"]) == 2
    assert all(line.isprintable() for line in capfd.readouterr().err.splitlines())


NEEDY = """\
only = 'rejected'
web-token = 'token-of-the-user-0123456789'
web = '127.0.0.1:0'
metrics = '127.0.0.1:0'
on-end = 'true'
public-url = 'https://hooks.example.com'
delimiter = ';'
embed = true
never-translate = "names.txt"
"""


def test_options_that_need_another_one_wait_for_it_in_a_file(
    folders: Folders, capfd: pytest.CaptureFixture[str]
) -> None:
    folders.here("video_translate_id\none\n", "m.csv")
    assert main(["run", "m.csv", "--sandbox", "-q"]) == 0
    folders.own(NEEDY)
    for command in (["verify"], ["report", "-o", "r.md"], ["report", "-o", "r.csv"]):
        assert main(command) == 0, capfd.readouterr().err
    assert main(["verify", "--web", "127.0.0.1:0"]) == 2
    assert main(["report", "-o", "r.md", "--delimiter", ";"]) == 2
    assert ";" in Path("r.csv").read_text().splitlines()[0]
