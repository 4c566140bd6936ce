"""Flag, variable, profile, file, default; the nearer file first."""

from __future__ import annotations

import itertools
import tempfile
from contextlib import chdir
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.cli.app import app
from batchcap.cli.configuration.configuration import Configuration, load
from batchcap.cli.configuration.options import all_options, every_command, option_of
from batchcap.cli.on_end import ON_END_VARIABLES
from batchcap.cli.options import OutputOptions, RunOptions
from batchcap.domain.errors import UsageError
from tests.unit.cli.configuration.conftest import Folders

SOURCES = ["flag", "variable", "near profile", "far profile", "near file", "far file"]
"""From the strongest to the weakest."""
VALUES = {source: number for number, source in enumerate(SOURCES, 1)}

KEYS = ("connections", "rate", "job_timeout", "verbose", "out")
subsets = st.sets(st.sampled_from(SOURCES))


def run_options(
    configuration: Configuration, *arguments: str
) -> tuple[RunOptions, OutputOptions, Path]:
    """Return the options of a run with these flags."""
    app.config = (configuration.apply,)
    try:
        _, bound, _ = app.parse_args(
            ["run", "m.csv", *arguments], exit_on_error=False, print_error=False
        )
    finally:
        app.config = ()
    bound.apply_defaults()
    values = bound.arguments
    return values["run_options"], values["output_options"], values["out"]


def toml(lines: dict[str, str], table: str) -> str:
    text = f"[{table}]\n" if table else ""
    return text + "".join(f"{key} = {value}\n" for key, value in lines.items())


def lines_for(source: str, chosen: dict[str, set[str]]) -> dict[str, str]:
    """What a file sets, if it is the source: numbers, lists and flags."""
    number = VALUES[source]
    values = {
        "connections": str(number),
        "rate": f'["heygen={number}/s", "mux.read={number}/s"]',
        "job_timeout": f'"{number}m"',
        "verbose": "true" if number % 2 else "false",
        "out": f'"out{number}"',
    }
    return {key: value for key, value in values.items() if source in chosen[key]}


def expected(chosen: set[str]) -> int | None:
    return min((VALUES[source] for source in chosen), default=None)


@given(st.fixed_dictionaries(dict.fromkeys(KEYS, subsets)))
def test_options_hold_by_the_order_of_their_sources(chosen: dict[str, set[str]]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        chdir(folder),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("XDG_CONFIG_HOME", folder)
        own = Path(folder, "batchcap/batchcap.toml")
        own.parent.mkdir()
        for path, where in ((Path("batchcap.toml"), "near"), (own, "far")):
            path.write_text(
                toml(lines_for(f"{where} file", chosen), "")
                + toml(lines_for(f"{where} profile", chosen), "profiles.p")
            )
        environment = {}
        number = VALUES["variable"]
        for key, text in {
            "connections": str(number),
            "rate": f"heygen={number}/s 'mux.read={number}/s'",
            "job_timeout": f"{number}m",
            "verbose": "no",
            "out": f"out{number}",
        }.items():
            if "variable" in chosen[key]:
                environment[f"BATCHCAP_{key.upper()}"] = text
        flags = {
            "connections": ["--connections=1"],
            "rate": ["--rate=heygen=1/s", "--rate", "mux.read=1/s"],
            "job_timeout": ["--job-timeout", "1m"],
            "verbose": ["-v"],
            "out": ["-o", "out1"],
        }
        given_flags = [flags[key] for key in flags if "flag" in chosen[key]]
        configuration = load(app, environment, None, "p")
        run, output, out = run_options(configuration, *itertools.chain(*given_flags))

    assert run.connections == (expected(chosen["connections"]) or 64)
    rate = expected(chosen["rate"])
    assert run.rate == ([f"heygen={rate}/s", f"mux.read={rate}/s"] if rate else [])
    timeout = expected(chosen["job_timeout"])
    assert run.job_timeout == (f"{timeout}m" if timeout else "2h")
    assert output.verbose is bool((expected(chosen["verbose"]) or 0) % 2)
    number_of_out = expected(chosen["out"])
    assert out == Path(f"out{number_of_out}" if number_of_out else "captions")


def test_flag_turns_off_what_a_file_turns_on(folders: Folders) -> None:
    folders.here("json = true\nquiet = true\n")
    _, output, _ = run_options(load(app, {}, None, ""), "--json=false")
    assert (output.json, output.quiet) == (False, True)


def test_empty_list_and_empty_variable(folders: Folders) -> None:
    folders.own('rate = ["heygen=1/s"]\nconnections = 3\n')
    folders.here("rate = []\n")
    run, _, _ = run_options(load(app, {"BATCHCAP_CONNECTIONS": ""}, None, ""))
    assert run.rate == []  # the nearer file decides
    assert run.connections == 3  # an empty variable is not set


def test_chosen_file_is_read_in_place_of_the_working_folders(folders: Folders) -> None:
    folders.own("connections = 3\ndownloads = 3\n")
    folders.here("connections = 4\nsettle = '4s'\n")
    other = folders.here("connections = 5\n", "other.toml")
    for environment, chosen in (({}, other), ({"BATCHCAP_CONFIG": "other.toml"}, None)):
        run, _, _ = run_options(load(app, environment, chosen, ""))
        assert (run.connections, run.downloads, run.settle) == (5, 3, "60s")


def test_profile_can_come_from_its_variable(folders: Folders) -> None:
    folders.here("[profiles.slow]\nconnections = 2\n[profiles.fast]\nconnections = 200\n")
    for environment, profile in (({"BATCHCAP_PROFILE": "slow"}, ""), ({}, "slow")):
        assert run_options(load(app, environment, None, profile))[0].connections == 2
    both = load(app, {"BATCHCAP_PROFILE": "slow"}, None, "fast")
    assert run_options(both)[0].connections == 200
    with pytest.raises(UsageError, match="no profile 'slo'") as error:
        load(app, {}, None, "slo")
    assert error.value.hint == "Did you mean slow?"


@pytest.mark.parametrize("value", ["1", "true", "YES", "on", "0", "false", "No", "off"])
def test_flag_variable_takes_the_usual_words(folders: Folders, value: str) -> None:
    _, output, _ = run_options(load(app, {"BATCHCAP_QUIET": value}, None, ""))
    assert output.quiet is (value.lower() in {"1", "true", "yes", "on"})


def test_flag_variable_with_another_word_is_an_error(folders: Folders) -> None:
    with pytest.raises(UsageError, match="BATCHCAP_QUIET: invalid value 'maybe'"):
        run_options(load(app, {"BATCHCAP_QUIET": "maybe"}, None, ""))


def test_every_option_of_every_command_has_its_key_and_its_variable() -> None:
    commands = 0
    for path, command in every_command(app):
        arguments = command.assemble_argument_collection()
        shown = [a for a in arguments if a.show and a.name.startswith("--")]
        options = {a.name: option_of(path, a) for a in shown}
        assert None not in options.values()
        environment = {o.variable: "1" for o in options.values() if o}
        Configuration(environment).apply(app, path, arguments)
        for argument in shown:
            assert [token.value for token in argument.tokens] in (["1"], ["true"]), argument.name
        commands += 1
    assert commands > 14


def test_option_with_one_key_is_of_one_kind() -> None:
    kinds: dict[str, set[object]] = {}
    for path, command in every_command(app):
        for argument in command.assemble_argument_collection():
            if option := option_of(path, argument):
                assert option.variable not in ON_END_VARIABLES
                kinds.setdefault(option.key, set()).add((option.kind, str(argument.hint)))
    assert {key for key, kind in kinds.items() if len(kind) > 1} == set()
    assert kinds.keys() == all_options(app).keys()
