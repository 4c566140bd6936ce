"""The key in `batchcap.toml` and the variable of every option.

One rule: the key is the option's name, and the variable is `BATCHCAP_` and the name, for all
commands that have the option. An option that means something else in one command has that
command's name before its own: `report-out`, `BATCHCAP_REPORT_OUT`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from cyclopts import App
from cyclopts.argument import Argument

from batchcap.domain.errors import UsageError

PREFIX = "BATCHCAP_"

Kind = Literal["flag", "whole number", "number", "list", "path", "text"]

_OWN_NAMES = {
    "check": {"--language", "--only"},
    "convert": {"--to"},
    "demo": {"--out"},
    "forget": {"--state"},
    "listen": {"--listen"},
    "manifest": {"--out", "--format"},
    "report": {"--out", "--format", "--quality"},
    "sandbox": {"--state"},
}
"""Options that mean something else than those of other commands with the same name."""

_SAME = {("report", "--dir"): "out"}
"""Options that mean the same as those of other commands with another name."""

_WORDS = {"1": True, "true": True, "yes": True, "on": True}
_WORDS |= {"0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Option:
    """An option of one or several commands; `default` is a text for people."""

    key: str
    kind: Kind
    default: str = ""
    help: str = ""

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.key.upper().replace("-", "_")

    def texts(self, value: object) -> list[str]:
        """Return a value of a file as the command line would have it.

        Raises:
            ValueError: The value is of another kind; the message has what the option takes.
        """
        if self.kind == "list":
            values = value if isinstance(value, list) else [value]
            if all(isinstance(item, str) for item in values):
                return list(values)
            raise ValueError(f"{self.key} takes a text or a list of texts")
        if self.kind == "flag":
            if isinstance(value, bool):
                return [str(value).lower()]
            raise ValueError(f"{self.key} takes true or false")
        if isinstance(value, self._types()) and not isinstance(value, bool):
            return [value.isoformat() if isinstance(value, date) else str(value)]
        raise ValueError(f"{self.key} takes a {self.kind}")

    def _types(self) -> tuple[type, ...]:
        match self.kind:
            case "whole number":
                return (int,)
            case "number":
                return (int, float)
            case "path":
                return (str,)
        return (str, int, float, date)  # such as 90 for a duration

    def texts_of_variable(self, text: str) -> list[str]:
        """Return the text of the variable as the command line would have it.

        A list is split into words as a shell does.

        Raises:
            UsageError: It cannot be split, or a flag is neither on nor off.
        """
        if self.kind == "list":
            try:
                return shlex.split(text)
            except ValueError as error:
                raise UsageError(f"{self.variable}: {error}") from None
        if self.kind != "flag":
            return [text]
        if (state := _WORDS.get(text.strip().lower())) is None:
            raise UsageError(f"{self.variable}: invalid value {text[:40]!r}", hint="Either 1 or 0.")
        return [str(state).lower()]


def option_of(commands: Sequence[str], argument: Argument) -> Option | None:
    """Return the option that an argument of a command is; None if it is none."""
    name = argument.name
    if not commands or not name.startswith("--") or not argument.show:
        return None
    key = name.removeprefix("--")
    if name in _OWN_NAMES.get(commands[0], ()):
        key = f"{commands[0]}-{key}"
    key = _SAME.get((commands[0], name), key)
    parameter = argument.parameter
    return Option(key, _kind(argument.hint), _default(argument), parameter.help or "")


def all_options(app: App) -> dict[str, Option]:
    """Return the options of all commands by key. Imports every command."""
    options: dict[str, Option] = {}
    for commands, command in every_command(app):
        for argument in command.assemble_argument_collection():
            if option := option_of(commands, argument):
                options.setdefault(option.key, option)
    return dict(sorted(options.items()))


def every_command(app: App, parents: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Yield the words and the app of every command. Imports all of them."""
    for name in app:
        if name.startswith("-"):  # --help and --version
            continue
        command, path = app[name], (*parents, name)
        if command.default_command is not None:
            yield path, command
        else:
            yield from every_command(command, path)


def _kind(hint: Any) -> Kind:
    types = {*get_args(hint)} - {type(None)} if get_origin(hint) is not list else {hint}
    hint = next(iter(types)) if len(types) == 1 else hint
    if get_origin(hint) is list:
        return "list"
    kinds: dict[Any, Kind] = {bool: "flag", int: "whole number", float: "number", Path: "path"}
    return kinds.get(hint, "text")


def _default(argument: Argument) -> str:
    default = argument.field_info.default
    if default is argument.field_info.empty or default in (None, "", [], False):
        return ""
    return str(default)
