"""What a file sets: options, secrets and URLs, and the profiles, each of which has the same.

rate = ["mux.write=2/s"]          # an option
[secrets]
HEYGEN_API_KEY = { secret_command = ["pass", "show", "heygen"] }
[urls]
HEYGEN_API_BASE = "https://heygen.example.com"
[profiles.slow]
headroom = 50
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from batchcap.cli.configuration.files import ConfigFile

PROFILES = "profiles"
"""The table with the profiles."""

KeyPath = tuple[str, ...]
"""The keys that lead to a value, spelled as in the file."""


@dataclass(frozen=True)
class Setting:
    """A value of a file, and where it stands."""

    value: Any
    file: ConfigFile
    path: KeyPath

    @property
    def source(self) -> str:
        """The file and line, for messages."""
        return self.file.place(self.path)


@dataclass(frozen=True)
class Table:
    """What a file or one of its profiles sets, by key or by variable."""

    options: dict[str, Setting] = field(default_factory=dict)
    secrets: dict[str, Setting] = field(default_factory=dict)
    urls: dict[str, Setting] = field(default_factory=dict)


def closest(name: str, known: Iterable[str]) -> str:
    """Return the known name that was probably meant, or ""."""
    by_form = {other.lower().replace("_", "-"): other for other in known}
    close = difflib.get_close_matches(name.lower().replace("_", "-"), by_form, 1, 0.6)
    return by_form[close[0]] if close else ""
