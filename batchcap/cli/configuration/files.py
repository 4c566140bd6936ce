"""Which configuration files are read: that of the working folder or of --config, then the user's.

The working folder's file may have come with the folder from somebody else. It is not trusted
with what runs commands or decides where keys go.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from batchcap.cli.configuration.lines import line_of
from batchcap.domain.errors import UsageError
from batchcap.domain.text import printable

FILE_NAME = "batchcap.toml"
MAX_SIZE = 256 * 1024  # bytes


@dataclass(frozen=True)
class ConfigFile:
    """A file that was read. `is_trusted` is false for the one that lies in the working folder."""

    path: Path
    text: str
    document: Mapping[str, Any]
    is_trusted: bool

    def place(self, path: Sequence[str]) -> str:
        """Return "file:line" of a key, for messages."""
        line = line_of(self.text, path)
        return f"{self.path}:{line}" if line else str(self.path)

    def resolved(self, path: str) -> Path:
        """Return a path that the file names: relative to its folder, or below `~`."""
        return self.path.parent / Path(path).expanduser()


def user_file() -> Path:
    """Return where the user's own file is: `~/.config/batchcap/batchcap.toml` on Linux."""
    return platformdirs.user_config_path("batchcap") / FILE_NAME


def read_files(chosen: Path | None) -> list[ConfigFile]:
    """Read the files that are there, the nearer one first; `chosen` is that of --config.

    Raises:
        UsageError: `chosen` does not exist, or a file cannot be read or is not TOML.
    """
    own, here = user_file(), Path(FILE_NAME)
    if chosen is not None:
        nearer = [_read(chosen, is_trusted=True)]
    elif here.is_symlink() or here.exists():
        nearer = [_read(here, is_trusted=_is_same(here, own))]
    else:
        nearer = []
    if own.exists() and not any(_is_same(file.path, own) for file in nearer):
        nearer.append(_read(own, is_trusted=True))
    return nearer


def _is_same(one: Path, other: Path) -> bool:
    """Return whether two paths are one file by name; a link in the working folder is another."""
    return one.absolute() == other.absolute()


def _read(path: Path, *, is_trusted: bool) -> ConfigFile:
    try:
        if not path.is_file():  # a named pipe would wait forever
            reason = "it is not a file" if path.exists() else "it does not exist"
            raise UsageError(f"cannot read the configuration {path}: {reason}")
        with path.open("rb") as file:
            content = file.read(MAX_SIZE + 1)
        if len(content) > MAX_SIZE:
            raise UsageError(f"the configuration {path} is larger than {MAX_SIZE // 1024} KiB")
        text = content.decode("utf-8-sig")
        document = tomllib.loads(text)
    except OSError as error:
        raise UsageError(
            f"cannot read the configuration {path}: {error.strerror or error}"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(
            f"{path} is not TOML: {printable(str(error))}",
            hint='Like this: rate = ["mux.write=2/s"]',
        ) from None
    return ConfigFile(path, text, document, is_trusted)
