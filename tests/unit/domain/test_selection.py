"""Filters of a run over the columns of its rows."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from batchcap.domain.selection import Filter, Selection
from tests.harness.rows import mux_row

ROW = replace(
    mux_row("film-1", "pt-BR", upload_to_mux=False, never_translate=["Acme", "Zoo"]),
    meta={"title": "Season 2: Start", "duration": 60},
)
ALIASES = {"mux": {"asset_id": "source_id", "to_language_code": "language"}}


@pytest.mark.parametrize(
    ("column", "glob", "matches"),
    [
        ("title", "Season 2*", True),
        ("title", "season 2*", False),
        ("asset_id", "film-?", True),
        ("video_translate_id", "film-?", False),
        ("to_language_code", "pt-*", True),
        ("language", "es", False),
        ("provider", "mux", True),
        ("key", "mux:film-1:*", True),
        ("name", "mux/*.vtt", True),
        ("upload_to_mux", "false", True),
        ("never_translate", "Acme;*", True),
        ("duration", "60", True),
        ("show", "", True),
        ("show", "?*", False),
    ],
)
def test_selection_compares_a_cell_as_the_manifest_has_it(
    column: str, glob: str, matches: bool
) -> None:
    selection = Selection((Filter(column, glob),), aliases=ALIASES)
    assert selection.matches(ROW) is matches


def test_selection_with_two_filters_needs_both() -> None:
    title, language = Filter("title", "Season*"), Filter("language", "es")
    assert Selection((title,)).matches(ROW)
    assert not Selection((title, language)).matches(ROW)
