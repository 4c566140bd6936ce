"""Draws the layers of the package from its imports, into docs/architecture.md.

`python -m tests.drawing` replaces the drawing; `test_layers.py` checks that it is current.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_layers import files, room_of, rooms_imported

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
DRAWING = re.compile(r"(?<=<!-- drawing -->\n).*?(?=<!-- end of drawing -->)", re.DOTALL)


def draw() -> str:
    """Return the drawing as a Mermaid block: one row for each level, arrows to what is imported.

    An arrow that other arrows imply is left out.
    """
    imported = imported_rooms()
    levels = levels_of(imported)
    lines = ["```mermaid", "flowchart TD"]
    for level in sorted(set(levels.values()), reverse=True):
        rooms = sorted(room for room in levels if levels[room] == level)
        lines += [f"  subgraph level{level}[ ]", *(f"    {room}" for room in rooms), "  end"]
    for room in sorted(imported, key=lambda room: (-levels[room], room)):
        implied = {far for near in imported[room] for far in reachable(imported, near)}
        lines += [f"  {room} --> {other}" for other in sorted(imported[room] - implied)]
    return "\n".join([*lines, "```", ""])


def imported_rooms() -> dict[str, set[str]]:
    """Return the rooms of the package, each with the other rooms that it imports."""
    imported: dict[str, set[str]] = {}
    for path in files():
        room = room_of(path)
        if not room.startswith("__"):
            imported.setdefault(room, set()).update(rooms_imported(path) - {room})
    return imported


def reachable(imported: dict[str, set[str]], room: str) -> set[str]:
    """Return what a room imports, and what is imported there, and so on."""
    return imported[room].union(*(reachable(imported, other) for other in imported[room]))


def levels_of(imported: dict[str, set[str]]) -> dict[str, int]:
    """Return the level of each room: 0 if it imports none, else one above what it imports."""
    levels: dict[str, int] = {}

    def level(room: str) -> int:
        if room not in levels:
            levels[room] = 1 + max(map(level, imported[room]), default=-1)
        return levels[room]

    for room in imported:
        level(room)
    return levels


if __name__ == "__main__":
    PAGE.write_text(DRAWING.sub(lambda _: draw(), PAGE.read_text()))
