"""Reads CSV, JSON and JSONL into rows, and checks everything before the first request.

decoding.py    bytes into lines of text
formats.py     lines into records, the columns of a row as the file has them
tables.py      the same for CSV; workbooks.py for Excel and LibreOffice
headers.py     which column a name stands for
rows.py        a record into rows
columns.py     `Columns` declares what a provider's rows have
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
from batchcap.manifest.columns import Columns, Schema
from batchcap.manifest.decoding import NotTextError, Text, WorkbookFound, check_encoding
from batchcap.manifest.formats import records
from batchcap.manifest.headers import Headers, parse_renames
from batchcap.manifest.messages import FileProblem, quote
from batchcap.manifest.rows import Notify, RowBuilder
from batchcap.manifest.tables import Record, read_table
from batchcap.manifest.workbooks import read_workbook

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

    `to`, `from_language` and `provider` stand in for rows that name none, `name` is
    the template of the paths, `encoding` that of CSV, JSON and JSONL alike. `columns` are
    pairs `NAME=COLUMN` of a file's name for a column and batchcap's; with `extra_columns`,
    every unknown name is a column of the user's own. `sheet` is that of a workbook.
    """

    to: tuple[str, ...] = ()
    from_language: str | None = None
    name: str = "{provider}/{source_id}.{language}.vtt"
    encoding: str = "utf-8"
    provider: str | None = None
    columns: tuple[str, ...] = ()
    extra_columns: bool = False
    sheet: str = ""


def _ignore(_: str) -> None:
    """Drop a note."""


def read(
    source: str,
    options: ManifestOptions,
    providers: Mapping[str, Columns],
    notify: Notify = _ignore,
) -> Iterator[Row | InvalidRow]:
    """Yield the rows of a manifest in its order, and an `InvalidRow` for each bad record.

    `source` is a path, or "-" for standard input; `providers` has the columns of each
    provider. CSV and JSONL are streamed in bounded memory; a JSON document is read whole.
    A problem of the file as a whole is an `InvalidRow` too. Rows are not compared with
    each other. `notify` gets "file:line: text" for what is accepted but may be a mistake.

    Raises:
        UsageError: An option is wrong (at once), or the file cannot be read (while
            reading).
    """
    if options.provider and options.provider not in providers:
        names = " or ".join(providers)
        raise UsageError(f"--provider: {quote(options.provider)} is unknown, it is {names}")
    schema = Schema(providers, options.provider, has_targets=bool(options.to))
    builder = RowBuilder(
        printable(source), schema, options.to, options.from_language, options.name, notify
    )
    try:
        check_encoding(options.encoding)
    except ValueError:
        raise UsageError(
            f"--encoding: {quote(options.encoding)} is no encoding of text files",
            hint="names are those of Python: utf-8, utf-16, cp1252, shift_jis, ...",
        ) from None
    renamed = parse_renames(options.columns, schema)
    headers = Headers(schema, renamed, builder.fields, extra=options.extra_columns)
    return _rows(source, options, schema, headers, builder)


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
    source: str,
    options: ManifestOptions,
    schema: Schema,
    headers: Headers,
    builder: RowBuilder,
) -> Iterator[Row | InvalidRow]:
    try:
        with _open_source(source) as stream:
            for record in _records(source, stream, options, schema, headers):
                yield from builder.rows(*record)
    except OSError as error:
        raise _unreadable(source, error) from error
    if note := headers.note():
        builder.notify_of_file(note)


def _records(
    source: str, stream: BinaryIO, options: ManifestOptions, schema: Schema, headers: Headers
) -> Iterator[Record]:
    line = 1
    try:
        text = Text(stream, options.encoding)
        text.open()
        for record in records(source, text, schema, headers):
            line = record[0]
            yield record
    except WorkbookFound as found:
        book = io.BytesIO(found.head + stream.read())
        yield from read_table(read_workbook(book, options.sheet), schema, headers)
    except NotTextError as error:
        yield 1, "", FileProblem(error)
    except UnicodeError as error:  # some decoders report what they cannot skip
        message = f"not {options.encoding.upper()} ({error}); name the file's encoding with "
        yield line, "", FileProblem(f"{message}--encoding")


def _unreadable(source: str, error: OSError) -> UsageError:
    return UsageError(f"{printable(source)}: {error.strerror or error}")


def _open_source(source: str) -> contextlib.AbstractContextManager[BinaryIO]:
    if source == STDIN:
        if sys.stdin is None:
            raise UsageError("-: standard input is closed")
        return contextlib.nullcontext(sys.stdin.buffer)
    if "\0" in source:
        raise UsageError(f"{printable(source)}: no file has such a name")
    return Path(source).open("rb")
