"""Conversions beside the captions of a run: made when it ends, and again when a file changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from batchcap.captions.convert import convert
from batchcap.domain.errors import BadCaption
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.storage.whole_file import whole_file


class ConversionResult(msgspec.Struct):
    """How many conversions were made, and the files that lost something, by format and what."""

    made: int = 0
    failed: int = 0
    dropped: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)


def conversion_path(path: str, format_: str) -> str:
    """Return the path of a conversion: `a.es.srt` beside `a.es.vtt`."""
    return f"{path.removesuffix('.vtt')}.{format_}"


def convert_captions(
    ledger: LedgerReader, out: Path, formats: Sequence[str], warn: Callable[[str], None]
) -> ConversionResult:
    """Make the conversions of all captions that are done, but for those that are up to date.

    A conversion is complete or absent. `warn` gets the reason of each that cannot be made.
    """
    result = ConversionResult()
    for page in ledger.completed_rows():
        for row in page:
            for format_ in formats:
                path = conversion_path(row.path, format_)
                if ledger.owns_path(path):
                    result.failed += 1
                    warn(f"cannot make {path}: it is the caption of another row")
                    continue
                try:
                    _convert(out / row.path, out / path, format_, out, result)
                except (OSError, BadCaption) as error:
                    result.failed += 1
                    reason = error.strerror if isinstance(error, OSError) else str(error)
                    warn(f"cannot make {path}: {reason or error}")
    return result


def _convert(source: Path, target: Path, format_: str, out: Path, result: ConversionResult) -> None:
    if _is_current(source, target):
        return
    if target.is_symlink() or not target.parent.resolve().is_relative_to(out.resolve()):
        raise OSError(0, "it would be written through a symbolic link")
    data, dropped = convert(source.read_bytes(), format_)
    with whole_file(target) as file:
        file.write(data)
    result.made += 1
    result.dropped.update((format_, what) for what in dropped)


def _is_current(source: Path, target: Path) -> bool:
    """Return whether a conversion is younger than its source, or there is nothing to convert."""
    try:
        return target.stat().st_mtime_ns >= source.stat().st_mtime_ns
    except FileNotFoundError:
        return not source.exists()
