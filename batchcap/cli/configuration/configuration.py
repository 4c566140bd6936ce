"""What holds: a flag, else a variable, else the profile, else a file, else the default."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from cyclopts import App, Token
from cyclopts.argument import Argument, ArgumentCollection

from batchcap.cli.configuration.files import ConfigFile, read_files
from batchcap.cli.configuration.options import PREFIX, Option, all_options, option_of
from batchcap.cli.configuration.tables import PROFILES, Setting, Table, closest
from batchcap.domain.errors import UsageError

CONFIG_VARIABLE, PROFILE_VARIABLE = f"{PREFIX}CONFIG", f"{PREFIX}PROFILE"

_OTHER_VARIABLES = {CONFIG_VARIABLE, PROFILE_VARIABLE, f"{PREFIX}LOOP", f"{PREFIX}CRASH_AT"}


class Choice(NamedTuple):
    """The value of an option, as the command line would have it, and where it comes from."""

    texts: list[str]
    source: str


@dataclass
class Configuration:
    """The sources of options, secrets and URLs besides the command line.

    `tables` are those that hold, the nearest one first: first the chosen profile of each
    file, then the files.
    """

    environment: Mapping[str, str]
    app: App = field(default_factory=App)
    files: list[ConfigFile] = field(default_factory=list)
    profile: str = ""
    tables: list[Table] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    fetched: dict[str, str] = field(default_factory=dict, repr=False)
    """Secrets that were asked for."""
    _sources: dict[str, str] = field(default_factory=dict)
    """Where the options of this command come from that are not on the command line."""

    @cached_property
    def options(self) -> Mapping[str, Option]:
        """The options of all commands by key. To know them, every command is imported."""
        return all_options(self.app)

    def choice(self, option: Option) -> Choice | None:
        """Return what holds for an option that is not on the command line; None: the default.

        Raises:
            UsageError: The variable has an impossible value.
        """
        if text := self.environment.get(option.variable, ""):
            return Choice(option.texts_of_variable(text), option.variable)
        for table in self.tables:
            if setting := table.options.get(option.key):
                return Choice(option.texts(setting.value), setting.source)
        return None

    def secret(self, name: str) -> Setting | None:
        """Return what the files say of a secret, if its variable is not set."""
        return next((table.secrets[name] for table in self.tables if name in table.secrets), None)

    def url(self, name: str) -> Setting | None:
        """Return what the files say of a base URL, if its variable is not set."""
        return next((table.urls[name] for table in self.tables if name in table.urls), None)

    def apply(self, _: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Set those options of a command that are not on its command line. For cyclopts."""
        for argument in arguments:
            option = option_of(commands, argument)
            if option and not argument.tokens and (choice := self.choice(option)):
                self._set(argument, choice)

    def _set(self, argument: Argument, choice: Choice) -> None:
        self._sources[argument.name] = choice.source
        for index, text in enumerate(choice.texts):
            name = argument.name
            argument.append(Token(keyword=name, value=text, source=choice.source, index=index))

    def is_configured(self, option: str) -> bool:
        """Return whether an option of this command comes from a variable or a file."""
        return option in self._sources

    def located(self, message: str) -> str:
        """Return a message that begins with an option, with the place that set it."""
        match = re.match(r"--[a-z-]+", message)
        source = self._sources.get(match[0]) if match else None
        return f"{source}: {message}" if source else message


_CURRENT: ContextVar[Configuration | None] = ContextVar("configuration", default=None)


@contextmanager
def configured(configuration: Configuration) -> Iterator[None]:
    """Make a configuration hold while the block runs."""
    token = _CURRENT.set(configuration)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current() -> Configuration:
    """Return what holds; without `configured`, the variables of the process alone."""
    return _CURRENT.get() or Configuration(os.environ)


def on_command_line(options: Mapping[str, object]) -> bool:
    """Return whether any of the options, like "--web", is set and by the command line itself.

    An option that needs another one is an error on the command line. In a file or a variable,
    which hold for all commands, it waits for the other.
    """
    sources = current()
    return any(value and not sources.is_configured(name) for name, value in options.items())


def load(
    app: App, environment: Mapping[str, str], config: Path | None, profile: str
) -> Configuration:
    """Read the files and check them whole; `config` and `profile` are those of the command line.

    Raises:
        UsageError: A file or a profile is wrong; the message names the lines.
    """
    if config is None and (name := environment.get(CONFIG_VARIABLE, "")):
        config = Path(name).expanduser()
    profile = profile or environment.get(PROFILE_VARIABLE, "")
    configuration = Configuration(environment, app, read_files(config), profile)
    variables = {name for name in environment if name.startswith(PREFIX)}
    if unknown := variables - _OTHER_VARIABLES:
        configuration.warnings += _misspelled(sorted(unknown), configuration.options)
    contents = _contents(configuration) if configuration.files else []
    if profile:
        configuration.tables += _profile_tables(profile, [profiles for _, profiles in contents])
    configuration.tables += [table for table, _ in contents]
    return configuration


def _contents(configuration: Configuration) -> list[tuple[Table, dict[str, Table]]]:
    """Return what each file sets, and its profiles.

    Raises:
        UsageError: A file is wrong; the message names the lines.
    """
    from batchcap.cli.configuration.reader import FileReader  # it knows the providers

    readers = [FileReader(file, configuration.options) for file in configuration.files]
    contents = [reader.read() for reader in readers]
    configuration.warnings += [warning for reader in readers for warning in reader.warnings]
    return contents


def _profile_tables(name: str, profiles: list[dict[str, Table]]) -> list[Table]:
    """Return what the profile sets in each file that has it.

    Raises:
        UsageError: No file has it.
    """
    tables = [by_name[name] for by_name in profiles if name in by_name]
    if tables:
        return tables
    known = list(dict.fromkeys(other for by_name in profiles for other in by_name))
    close = closest(name, known)
    hint = f"There are: {', '.join(known)}" if known else f"[{PROFILES}.NAME] in a file makes one."
    raise UsageError(
        f"there is no profile {name[:80]!r}", hint=f"Did you mean {close}?" if close else hint
    )


def _misspelled(variables: list[str], options: Mapping[str, Option]) -> Iterator[str]:
    """Yield a warning for each variable that is nearly one of an option."""
    from batchcap.cli.on_end import ON_END_VARIABLES  # it knows the providers

    known = {option.variable.removeprefix(PREFIX): option.variable for option in options.values()}
    valid = {*known.values(), *ON_END_VARIABLES}  # the command of --on-end may call batchcap
    for name in variables:
        if name not in valid and (close := closest(name.removeprefix(PREFIX), known)):
            yield f"{name} is not a variable of batchcap; did you mean {known[close]}?"
