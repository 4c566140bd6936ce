"""CSV, JSON and JSONL into rows; everything is checked before the first request.

text.py       bytes -> lines of text
formats.py    lines -> records: the columns of one row as they stand in the file
columns.py    record -> rows; `Columns` says what a provider's rows have
kinds.py      what a cell may hold
languages.py  language tags
paths.py      where a caption goes, and what a path must not do
problems.py   how a problem is told
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from batchcap import __version__
from batchcap.errors import UsageError
from batchcap.manifest.columns import Columns, Reader, Schema
from batchcap.manifest.formats import records
from batchcap.manifest.problems import shown
from batchcap.manifest.text import Text
from batchcap.model import InvalidRow, Row

__all__ = [
    "STDIN",
    "Columns",
    "ManifestOptions",
    "fingerprint",
    "read",
]

STDIN = "-"


class ManifestOptions(msgspec.Struct, frozen=True):
    """What the command line says about manifests.

    `to` and `from_language` stand in for rows that name none, `name` is
    the template of the paths, `encoding` that of CSV, JSON and JSONL alike.
    """

    to: tuple[str, ...] = ()
    from_language: str | None = None
    name: str = "{provider}/{source_id}.{language}.vtt"
    encoding: str = "utf-8"


def read(
    source: str, options: ManifestOptions, providers: Mapping[str, Columns]
) -> Iterator[Row | InvalidRow]:
    """Yield the rows of a manifest in its order, and an `InvalidRow` for each bad record.

    `source` is a path, or "-" for standard input; `providers` has the columns of each
    provider. CSV and JSONL are streamed in bounded memory; a JSON document is read whole.
    A problem of the file as a whole is an `InvalidRow` too. Rows are not compared with
    each other.

    Raises:
        UsageError: An option is wrong (at once), or the file cannot be read (while
            reading).
    """
    schema = Schema(providers)
    reader = Reader(printable(source), schema, options.to, options.from_language, options.name)
    try:
        io.TextIOWrapper(io.BytesIO(), options.encoding)
    except (LookupError, ValueError):
        raise UsageError(
            f"--encoding: {shown(options.encoding)} is unknown",
            hint="names are those of Python: utf-8, utf-16, cp1252, shift_jis, ...",
        ) from None
    return _rows(source, options.encoding, schema, reader)


def fingerprint(source: str, options: ManifestOptions) -> str | None:
    """What two readings of a manifest have in common only where they give the same rows.

    None where `source` cannot be read twice: standard input, a pipe. Raises
    `UsageError` where it cannot be read.
    """
    if source == STDIN or not Path(source).is_file():
        return None
    try:
        with Path(source).open("rb") as stream:
            digest = hashlib.file_digest(stream, "blake2b")
    except OSError as error:
        raise _unreadable(source, error) from error
    digest.update(msgspec.json.encode((__version__, options)))
    return digest.hexdigest()


def printable(source: str) -> str:
    """The name of a source, fit for a message of one line."""
    return source if source.isprintable() else shown(source)


def _rows(source: str, encoding: str, schema: Schema, reader: Reader) -> Iterator[Row | InvalidRow]:
    try:
        with _opened(source) as stream:
            text = Text(stream, encoding)
            try:
                text.open()
                for record in records(source, text, schema):
                    yield from reader.rows(*record)
            finally:
                text.close()
    except OSError as error:
        raise _unreadable(source, error) from error


def _unreadable(source: str, error: OSError) -> UsageError:
    return UsageError(f"{printable(source)}: {error.strerror or error}")


def _opened(source: str) -> contextlib.AbstractContextManager[BinaryIO]:
    if source == STDIN:
        return contextlib.nullcontext(sys.stdin.buffer)
    if "\0" in source:
        raise UsageError(f"{printable(source)}: no file has such a name")
    return Path(source).open("rb")
