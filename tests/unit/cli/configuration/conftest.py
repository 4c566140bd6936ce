"""A working folder and a user's folder, in which tests write configuration files."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchcap.cli.app import app
from batchcap.cli.configuration import configuration
from batchcap.cli.configuration.options import Option, all_options


class Folders:
    """The working folder and the user's configuration, both empty at first."""

    def __init__(self, root: Path) -> None:
        self.working, self.user = root / "work", root / "home/batchcap"
        self.working.mkdir()
        self.user.mkdir(parents=True)

    def here(self, text: str, name: str = "batchcap.toml") -> Path:
        """Write a file of the working folder."""
        path = self.working / name
        path.write_text(text)
        return path

    def own(self, text: str) -> Path:
        """Write the user's own file."""
        path = self.user / "batchcap.toml"
        path.write_text(text)
        return path


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    """The folders; the working one is the current one."""
    folders = Folders(tmp_path)
    monkeypatch.chdir(folders.working)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folders.user.parent))
    return folders


@pytest.fixture(scope="package")
def options() -> dict[str, Option]:
    """The options of all commands, which take 0.1 s to find."""
    return all_options(app)


@pytest.fixture(autouse=True)
def options_found_once(options: dict[str, Option], monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare each test the search for the options."""
    monkeypatch.setattr(configuration, "all_options", lambda _: options)
