"""The drawing in docs/architecture.md shows the imports as they are."""

from __future__ import annotations

from tests.drawing import DRAWING, PAGE, draw


def test_drawing_matches_the_imports() -> None:
    shown = DRAWING.search(PAGE.read_text())
    assert shown is not None
    assert shown[0] == draw(), "to update it: python -m tests.drawing"
