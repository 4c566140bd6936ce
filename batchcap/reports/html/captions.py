"""The captions themselves for the page, each with its source if that was downloaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from batchcap.reports.html.blocks import Result
from batchcap.storage.atomic_files import OutputDir
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
    caption = _read(out, row["path"])
    if caption is None:
        return {}
    source = source_file(out, row["provider"], row["source_id"])
    text = source and _read(out, source.relative_to(out).as_posix())
    return {"caption": caption, "source": text} if text else {"caption": caption}


def _read(out: Path, path: str) -> str | None:
    """Return a file's text; None if it is not there any more, is a link, or is too large."""
    try:
        content = OutputDir(out).read(path, since=0.0)
    except OSError:
        return None
    if content is None or len(content) > _MAX_BYTES:
        return None
    return content.decode("utf-8-sig", "replace")
