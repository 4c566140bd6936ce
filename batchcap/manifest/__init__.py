"""Reads CSV, JSON and JSONL into rows, and checks everything before the first request.

decoding.py    bytes into lines of text
formats.py     lines into records: the columns of one row as the file has them
columns.py     a record into rows; `Columns` says what a provider's rows have
converters.py  a cell into a value of the API
languages.py   language tags
paths.py       the path of a caption, and what a path must not do
messages.py    the words of error messages
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

from batchcap.domain.errors import UsageError
from batchcap.domain.models import InvalidRow, Row
from batchcap.domain.version import __version__
from batchcap.manifest.columns import Columns, RowBuilder, Schema
from batchcap.manifest.decoding import Text
from batchcap.manifest.formats import records
from batchcap.manifest.messages import quote

__all__ = [
    "STDIN",
    "Columns",
    "ManifestOptions",
    "fingerprint",
    "read",
]

STDIN = "-"


class ManifestOptions(msgspec.Struct, frozen=True):
    """The options of the command line that are about manifests.

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
    builder = RowBuilder(printable(source), schema, options.to, options.from_language, options.name)
    try:
        io.TextIOWrapper(io.BytesIO(), options.encoding)
    except (LookupError, ValueError):
        raise UsageError(
            f"--encoding: {quote(options.encoding)} is unknown",
            hint="names are those of Python: utf-8, utf-16, cp1252, shift_jis, ...",
        ) from None
    return _rows(source, options.encoding, schema, builder)


def fingerprint(source: str, options: ManifestOptions) -> str | None:
    """Return a hash of the manifest and of the options that affect parsing.

    Equal fingerprints mean equal rows. None if `source` cannot be read twice: standard
    input, a pipe.

    Raises:
        UsageError: It cannot be read.
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
    """Return the name of a source, safe for a message of one line."""
    return source if source.isprintable() else quote(source)


def _rows(
    source: str, encoding: str, schema: Schema, builder: RowBuilder
) -> Iterator[Row | InvalidRow]:
    try:
        with _opened(source) as stream:
            text = Text(stream, encoding)
            try:
                text.open()
                for record in records(source, text, schema):
                    yield from builder.rows(*record)
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
