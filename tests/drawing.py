"""Draws the layers of the package from its imports, into docs/architecture.md.

`python -m tests.drawing` replaces the drawing; `test_drawing.py` checks that it is current.
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_layers import RANK, files, room_of, rooms_imported

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
DRAWING = re.compile(r"(?<=<!-- drawing -->\n).*?(?=<!-- end of drawing -->)", re.DOTALL)


def draw() -> str:
    """Return the drawing as a Mermaid block: one row for each level, arrows to what is imported.

    An arrow that other arrows imply is left out.
    """
    imported = imported_rooms()
    lines = ["```mermaid", "flowchart TD"]
    for level in sorted({RANK[room] for room in imported}, reverse=True):
        rooms = sorted(room for room in imported if RANK[room] == level)
        lines += [f"  subgraph level{level}[ ]", *(f"    {room}" for room in rooms), "  end"]
    for room in sorted(imported, key=lambda room: (-RANK[room], room)):
        implied = {far for near in imported[room] for far in reachable(imported, near)}
        lines += [
            f"  {room} --> {imported_room}" for imported_room in sorted(imported[room] - implied)
        ]
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
    """Return the rooms that a room imports, directly or through others."""
    return imported[room].union(
        *(reachable(imported, imported_room) for imported_room in imported[room])
    )


if __name__ == "__main__":
    PAGE.write_text(DRAWING.sub(lambda _: draw(), PAGE.read_text()))
