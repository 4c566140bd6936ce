"""The captions themselves for the page, each with its source if that was downloaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from batchcap.reports.html.blocks import Result
from batchcap.storage.sources import source_file

IN_BLOCK = 50
_MAX_BYTES = 1_000_000
"""Of a caption file that is embedded; a larger one can be opened by its link."""


def caption_blocks(results: Iterable[Result], out: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield number and content of each block that has captions."""
    number, block = 0, dict[str, object]()
    for place, row in enumerate(results):
        if place // IN_BLOCK != number:
            if block:
                yield number, block
            number, block = place // IN_BLOCK, {}
        texts = _texts(row, out)
        if texts:
            block[str(place)] = texts
    if block:
        yield number, block


def _texts(row: Result, out: Path) -> dict[str, str]:
    if row["state"] != "done":
        return {}
    caption = _read(out / row["path"])
    if caption is None:
        return {}
    source = source_file(out, row["provider"], row["source_id"])
    text = None if source is None else _read(source)
    return {"caption": caption} if text is None else {"caption": caption, "source": text}


def _read(path: Path) -> str | None:
    """Return a file's text; None if it is not there any more, or is too large."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError:
        return None
    return None if len(content) > _MAX_BYTES else content.decode("utf-8-sig", "replace")
