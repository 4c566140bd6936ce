"""`batchcap convert FILES`: caption files in other formats, beside them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from batchcap.app.quality import caption_files
from batchcap.captions.convert import check_formats
from batchcap.captions.convert import convert as convert_data
from batchcap.captions.srt import to_webvtt
from batchcap.cli.parsing import parse_formats
from batchcap.domain.errors import BadCaption, UsageError
from batchcap.domain.text import counted, printable
from batchcap.storage.whole_file import whole_file


def convert(
    *files: Annotated[Path, Parameter(help="WebVTT or SRT files, and folders of WebVTT files.")],
    to: Annotated[str, Parameter(help="Formats, such as srt,ttml: srt, ttml, txt, json, vtt.")],
    force: Annotated[
        bool, Parameter(negative="", help="Replace files that exist under these names.")
    ] = False,
) -> int:
    """Write caption files in other formats, beside them. Exit status 1 if one was not written."""
    if not files:
        raise UsageError("convert needs files", hint="Like this: batchcap convert a.vtt --to srt")
    formats = parse_formats("--to", to)
    check_formats([name for name in formats if name != "vtt"])
    written = failed = 0
    for path in _files(files):
        for format_ in formats:
            problem = _convert(path, format_, force=force)
            written, failed = written + (not problem), failed + bool(problem)
            if problem:
                print(f"error: {printable(f'{path}: {problem}')}", file=sys.stderr)
    print(f"{counted(written, 'file')} written" + (f", {failed:,} not" if failed else ""))
    return 1 if failed else 0


def _files(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from caption_files(path)
        else:
            yield path


def _convert(path: Path, format_: str, *, force: bool) -> str:
    """Convert one file; returns why it was not written, or ""."""
    target = path.with_suffix(f".{format_}")
    if target == path:
        return f"it is {format_} already"
    if target.exists() and not force:
        return f"{target.name} exists; --force replaces it"
    try:
        data = path.read_bytes()
        if path.suffix.lower() == ".srt":
            data = to_webvtt(data)
        dropped: list[str] = []
        if format_ != "vtt":
            data, dropped = convert_data(data, format_)
        with whole_file(target) as file:
            file.write(data)
    except OSError as error:
        return error.strerror or str(error)
    except BadCaption as error:
        return error.message
    if dropped:
        message = f"{target}: {format_} cannot hold its {', '.join(dropped)}"
        print(f"note: {printable(message)}", file=sys.stderr)
    return ""
