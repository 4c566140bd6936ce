"""The environment of the command that runs, with the secrets and URLs of the files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from batchcap.app.providers import without_secrets
from batchcap.cli.configuration.configuration import Configuration, current
from batchcap.cli.configuration.reader import base_urls
from batchcap.cli.configuration.secret_sources import secret_from_command, secret_from_file
from batchcap.cli.configuration.tables import Setting
from batchcap.domain.errors import UsageError
from batchcap.domain.settings import FILE_SUFFIX
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import secret_names


class Environment(Mapping[str, str]):
    """The variables of the process, and for those that are not set what the files say.

    A secret is fetched when it is first asked for, and kept: a command that needs no secret
    runs no password manager.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.configuration, self._variables = configuration, configuration.environment
        self._secrets = frozenset(secret_names(PROVIDERS.values()))
        self._urls = frozenset(base_urls())
        self._fetched = configuration.fetched

    def __getitem__(self, name: str) -> str:
        if name in self._secrets and not self._fetched.get(name):
            self._fetched[name] = self._fetch(name)
        if self._fetched.get(name):
            return self._fetched[name]
        if not self._variables.get(name) and name in self._urls:
            setting = self.configuration.url(name)
            return setting.value if setting else self._variables[name]
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._variables
        tables = self.configuration.tables
        names = {name for table in tables for name in (*table.secrets, *table.urls)}
        names |= {name for name in self._secrets if self._variables.get(name + FILE_SUFFIX)}
        yield from sorted(names - self._variables.keys())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<Environment of {len(self)} variables>"

    def _fetch(self, name: str) -> str:
        """Return a secret, or "" if it is not set.

        Raises:
            UsageError: The variable and that of its file are both set.
            FatalError: The file or the command does not give it.
        """
        value = self._variables.get(name, "").strip()
        path = self._variables.get(name + FILE_SUFFIX, "")
        if value and path:
            raise UsageError(
                f"{name} and {name}{FILE_SUFFIX} are both set", hint="Unset one of them."
            )
        if path:
            return secret_from_file(name + FILE_SUFFIX, Path(path).expanduser())
        setting = None if value else self.configuration.secret(name)
        return self._from_setting(name, setting) if setting else value

    def _from_setting(self, name: str, setting: Setting) -> str:
        place = f"{setting.source}: {name}"
        match setting.value:
            case {"file": str(path)}:
                return secret_from_file(place, setting.file.resolved(path))
            case {"secret-command": [*command]}:
                return secret_from_command(place, command, without_secrets(self._variables))
        return str(setting.value)


def environment() -> Environment:
    """Return the environment that holds for the command."""
    return Environment(current())
