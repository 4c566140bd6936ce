"""docs/configuration.md has every option; what it and README show is accepted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batchcap.cli.app import app
from batchcap.cli.configuration.configuration import load
from batchcap.cli.configuration.reader import base_urls
from batchcap.providers import PROVIDERS
from batchcap.providers.registry import secret_names
from tests.option_table import PAGE, TABLE, table

PAGES = [PAGE, PAGE.parent.parent / "README.md"]
EXAMPLES = re.findall(
    r"^```toml\n(.*?)^```", "".join(page.read_text() for page in PAGES), re.MULTILINE | re.DOTALL
)


def test_table_has_every_option() -> None:
    shown = TABLE.search(PAGE.read_text())
    assert shown is not None
    assert shown[0] == table(), "to update it: python -m tests.option_table"


def test_page_names_every_secret_and_every_url() -> None:
    for name in [*secret_names(PROVIDERS.values()), *base_urls()]:
        assert f"`{name}`" in PAGE.read_text()


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example_is_accepted(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(EXAMPLES) > 1
    (tmp_path / "example.toml").write_text(EXAMPLES[number])
    monkeypatch.chdir(tmp_path)
    profiles = re.findall(r"^\[profiles\.(\w+)\]", EXAMPLES[number], re.MULTILINE)
    for profile in ["", *profiles]:
        assert load(app, {}, tmp_path / "example.toml", profile).warnings == []
