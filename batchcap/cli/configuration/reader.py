"""Reads what a file may hold, and reports everything else by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from batchcap.cli.configuration.files import FILE_NAME, ConfigFile, user_file
from batchcap.cli.configuration.options import Option
from batchcap.cli.configuration.tables import PROFILES, KeyPath, Setting, Table, closest
from batchcap.domain.errors import UsageError
from batchcap.domain.text import printable
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import secret_names

SECRETS, URLS, ACCOUNTS = "secrets", "urls", "accounts"
FILE, COMMAND = "file", "secret-command"

SECRET_OPTIONS = {"web-token"}
TRUSTED_OPTIONS = {
    *("on-end", "proxy", "ca", "web-token"),  # runs commands, leads keys or pages elsewhere
    *("cancel", "delete-tracks", "yes"),  # takes back what was paid for
}
"""Options that a file which merely lies in the working folder may not set."""

WRITTEN_OPTIONS = {
    *("out", "demo-out", "report-out", "manifest-out"),
    *("log-file", "trace", "sandbox-state"),
}
"""Options that name what is written: in the working folder's file, something below that folder.

With any other output folder, and `name`, a caption could replace the user's ~/.bashrc.
"""


def base_urls() -> dict[str, str]:
    """Return the base URLs of all providers by variable, as they are if nothing sets them."""
    specs = PROVIDERS.values()
    return dict(url for spec in specs for url in (spec.base_url, *spec.other_urls))


class FileReader:
    """Reads the tables of a file, and collects everything that is wrong with it."""

    def __init__(self, file: ConfigFile, options: Mapping[str, Option]) -> None:
        self._file, self._options = file, options
        self._problems: list[str] = []
        self._needs_trust = False
        self.warnings: list[str] = []

    def read(self) -> tuple[Table, dict[str, Table]]:
        """Return what holds always, and what each profile sets.

        Raises:
            UsageError: Something is wrong; the message names the lines.
        """
        document = dict(self._file.document)
        profiles, accounts = document.pop(PROFILES, {}), document.pop(ACCOUNTS, {})
        table = self._table(document, ())
        by_name = {
            name: self._table(content, (PROFILES, name))
            for name, content in self._tables(profiles, (PROFILES,))
        }
        for name, _ in self._tables(accounts, (ACCOUNTS,)):
            self._problem((ACCOUNTS, name), "accounts are not supported yet")
        if self._problems:
            raise UsageError("\n".join(self._problems), hint=self._hint())
        return table, by_name

    def _hint(self) -> str:
        if not self._needs_trust:
            return "batchcap config shows what holds; docs/configuration.md has every key."
        return (
            f"Anybody may have put {self._file.path} into the folder. If it is yours: "
            f"--config {self._file.path}, or move these lines to {user_file()}"
        )

    def _problem(self, path: KeyPath, text: str, *, needs_trust: bool = False) -> None:
        self._problems.append(f"{self._file.place(path)}: {text}")
        self._needs_trust |= needs_trust

    def _tables(self, content: Any, path: KeyPath) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the tables in a table."""
        if not isinstance(content, dict):
            return self._problem(path, f"{path[-1]} must be a table")
        for name, inner in content.items():
            if isinstance(inner, dict):
                yield name, inner
            else:
                self._problem((*path, name), f"{printable(name)} must be a table")
        return None

    def _table(self, content: Mapping[str, Any], path: KeyPath) -> Table:
        table = Table()
        for name, value in content.items():
            place = (*path, name)
            if name in {SECRETS, URLS}:
                if not isinstance(value, dict):
                    self._problem(place, f"{name} must be a table")
                elif name == SECRETS:
                    table.secrets.update(self._secrets(value, place))
                else:
                    table.urls.update(self._urls(value, place))
            elif (option := self._option(name, place)) and self._is_valid(option, value, place):
                if option.key in table.options:
                    self._problem(place, f"{option.key} is there twice")
                table.options[option.key] = Setting(value, self._file, place)
        return table

    def _option(self, name: str, path: KeyPath) -> Option | None:
        key = name.replace("_", "-")
        if key not in self._options:
            self._unknown(path, "key", [*self._options, PROFILES, SECRETS, URLS])
        return self._options.get(key)

    def _unknown(self, path: KeyPath, noun: str, known: Iterable[str]) -> None:
        name = path[-1]
        text = f"unknown {noun} {printable(name)!r}"
        if noun == "key" and name in [*secret_names(PROVIDERS.values()), *base_urls()]:
            table = URLS if name in base_urls() else SECRETS
            text += f"; it belongs into the table [{table}]"
        elif close := closest(name, known):
            text += f"; did you mean {close}?"
        self._problem(path, text)

    def _is_valid(self, option: Option, value: Any, path: KeyPath) -> bool:
        """Check the kind of a value, and whether this file may set the option."""
        try:
            texts = option.texts(value)
        except ValueError as error:
            self._problem(path, str(error))
            return False
        if option.key in SECRET_OPTIONS or (option.key == "proxy" and "@" in texts[0]):
            self._warn(path, option.key)
        if self._file.is_trusted:
            return True
        if option.key in TRUSTED_OPTIONS:
            self._refuse(path, option.key)
        elif option.key in WRITTEN_OPTIONS and not self._is_below(texts[0]):
            self._problem(path, f"{option.key} leads out of the folder", needs_trust=True)
        return True

    def _is_below(self, path: str) -> bool:
        return Path(path).resolve().is_relative_to(Path.cwd().resolve())

    def _refuse(self, path: KeyPath, subject: str) -> None:
        text = f"{subject} is not taken from a {FILE_NAME} that lies in the working folder"
        self._problem(path, text, needs_trust=True)

    def _warn(self, path: KeyPath, name: str) -> None:
        place = self._file.place(path)
        self.warnings.append(
            f"{place}: the file holds a secret, {name}; a variable, a file of its own or a "
            "secret_command keeps it out of copies and backups"
        )

    def _secrets(self, content: dict[str, Any], path: KeyPath) -> Iterator[tuple[str, Setting]]:
        known = secret_names(PROVIDERS.values())
        for name, value in content.items():
            place = (*path, name)
            if name not in known:
                self._unknown(place, "secret", known)
            elif isinstance(value, str) and value.strip():
                self._warn(place, name)
                yield name, Setting(value.strip(), self._file, place)
            elif (source := _source(value)) is None:
                self._problem(
                    place, f'{name} takes {{ secret_command = ["..."] }} or {{ file = "..." }}'
                )
            elif not self._file.is_trusted:
                self._refuse(place, next(iter(source)).replace("-", "_"))
            else:
                yield name, Setting(source, self._file, place)

    def _urls(self, content: dict[str, Any], path: KeyPath) -> Iterator[tuple[str, Setting]]:
        for name, value in content.items():
            place = (*path, name)
            if name not in base_urls():
                self._unknown(place, "URL", base_urls())
            elif not isinstance(value, str) or not value:
                self._problem(place, f"{name} takes a URL")
            elif not self._file.is_trusted:
                self._refuse(place, "a URL")
            else:
                yield name, Setting(value, self._file, place)


def _source(value: Any) -> dict[str, Any] | None:
    """Return where a secret comes from, as one pair; None if the value does not say it."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    name, content = next(iter(value.items()))
    match name.replace("_", "-"), content:
        case "file", str() if content:
            return {FILE: content}
        case "secret-command", [str(), *_] if all(isinstance(word, str) for word in content):
            return {COMMAND: content} if content[0] else None
    return None
