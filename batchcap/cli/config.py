"""`batchcap config`: which options, secrets and URLs hold, and where they come from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, NamedTuple

import orjson
from cyclopts import Parameter

from batchcap.cli.configuration.configuration import Configuration
from batchcap.cli.configuration.environment import Environment, environment
from batchcap.cli.configuration.files import FILE_NAME, user_file
from batchcap.cli.configuration.options import Option
from batchcap.cli.configuration.reader import SECRET_OPTIONS, base_urls
from batchcap.domain.settings import FILE_SUFFIX, without_credentials
from batchcap.domain.text import printable
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import secret_names

HIDDEN_OPTIONS = SECRET_OPTIONS | {"on-end"}
"""Options that are shown as "set": a command may hold a token."""

_JsonFlag = Annotated[bool, Parameter(negative="", help="Print one JSON object.")]
_AllFlag = Annotated[bool, Parameter(name="--all", negative="", help="Also what is not set.")]


class _Entry(NamedTuple):
    """What is shown of one option, secret or URL; `source` is "default" if nothing set it."""

    name: str
    value: str | list[str]
    source: str


def config(*, json: _JsonFlag = False, all_: _AllFlag = False) -> int:
    """Show what variables and files set, and where; secrets as "set"."""
    current = environment()
    configuration = current.configuration
    sections = {
        "options": list(_options(configuration, with_defaults=all_)),
        "secrets": list(_secrets(current)),
        "urls": list(_urls(current)),
    }
    files = [str(file.path) for file in configuration.files]
    if json:
        document = {
            "files": files,
            "profile": configuration.profile or None,
            **{name: _as_json(entries) for name, entries in sections.items()},
        }
        sys.stdout.write(orjson.dumps(document).decode() + "\n")
        return 0
    _print_head(files, configuration.profile)
    for name, entries in sections.items():
        _print_section(name, entries if all_ else [e for e in entries if e.source != "default"])
    return 0


def _options(configuration: Configuration, *, with_defaults: bool) -> Iterator[_Entry]:
    for option in configuration.options.values():
        if choice := configuration.choice(option):
            yield _Entry(option.key, _shown(option, choice.texts), choice.source)
        elif with_defaults:
            yield _Entry(option.key, option.default, "default")


def _shown(option: Option, texts: list[str]) -> str | list[str]:
    if option.key in HIDDEN_OPTIONS:
        return "set"
    if option.key == "proxy":
        return without_credentials(texts[0])
    return texts if option.kind == "list" else texts[0]


def _secrets(current: Environment) -> Iterator[_Entry]:
    """Yield each secret, without fetching it."""
    variables = current.configuration.environment
    for name in secret_names(PROVIDERS.values()):
        sources = [f"{name}{suffix}" for suffix in ("", FILE_SUFFIX)]
        source = " and ".join(source for source in sources if variables.get(source, "").strip())
        setting = current.configuration.secret(name)
        if not source and setting:
            kind = next(iter(setting.value)) if isinstance(setting.value, dict) else "plain"
            source = f"{setting.source}, {kind}"
        yield _Entry(name, "set" if source else "not set", source or "default")


def _urls(current: Environment) -> Iterator[_Entry]:
    for name, default in base_urls().items():
        setting = current.configuration.url(name)
        source = setting.source if setting else "default"
        if current.configuration.environment.get(name):
            source = name
        yield _Entry(name, without_credentials(current.get(name) or default), source)


def _as_json(entries: list[_Entry]) -> dict[str, dict[str, object]]:
    return {entry.name: {"value": entry.value, "source": entry.source} for entry in entries}


def _print_head(files: list[str], profile: str) -> None:
    if files:
        print(f"files: {printable(', '.join(files))}")
    else:
        print(f"no file: neither {FILE_NAME} here nor {printable(str(user_file()))}")
    if profile:
        print(f"profile: {printable(profile)}")


def _print_section(name: str, entries: list[_Entry]) -> None:
    if not entries:
        return
    print(f"\n{name}")
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        value = entry.value if isinstance(entry.value, str) else "  ".join(entry.value)
        print(f"  {entry.name:{width}}  {printable(value)}  ({printable(entry.source)})")
