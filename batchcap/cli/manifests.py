"""The manifests that a command names, as rows for the ledger."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence

from batchcap import manifest
from batchcap.cli.options import ManifestOptions
from batchcap.cli.parsing import DASH
from batchcap.domain.errors import UsageError
from batchcap.domain.models import InvalidRow, Row
from batchcap.domain.text import printable
from batchcap.providers import PROVIDERS


def open_manifests(
    names: Sequence[str],
    options: ManifestOptions,
    notify: Callable[[str], None] | None = None,
) -> list[tuple[str, Iterator[Row | InvalidRow]]]:
    """Return each manifest's printable name with its rows, which are read as they are used.

    `notify` gets notes about rows that are accepted, but may be a mistake; without it, they
    are printed on stderr.
    """
    parsed = manifest_options(options)
    columns = {name: spec.columns for name, spec in PROVIDERS.items()}
    return [
        (
            printable_name(name),
            manifest.read(manifest_path(name), parsed, columns, notify or _print_note),
        )
        for name in names
    ]


def _is_unicode(text: str) -> bool:
    """Return whether an argument was UTF-8; other bytes arrive as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _print_note(text: str) -> None:
    print(f"note: {printable(text)}", file=sys.stderr)


def fingerprints(names: Sequence[str], options: ManifestOptions) -> list[str | None]:
    """Return a value for each manifest that changes with it and the options that affect its rows.

    None for standard input, which cannot be compared.
    """
    parsed = manifest_options(options)
    hashes = [manifest.fingerprint(manifest_path(name), parsed) for name in names]
    return [value and f"{value} {options.skip_invalid}" for value in hashes]


def manifest_path(name: str) -> str:
    """Return the name as `manifest` knows it."""
    return manifest.STDIN if name == DASH else name


def printable_name(name: str) -> str:
    """Return the name of a manifest as the ledger has it in the origin of its rows."""
    return manifest.printable(manifest_path(name))


def manifest_options(options: ManifestOptions) -> manifest.ManifestOptions:
    """Return the options as `manifest` knows them.

    Raises:
        UsageError: One holds bytes that are not UTF-8.
    """
    for flag, text in {
        "--name": options.name,
        "--to": options.to,
        "--from": options.from_,
        "--encoding": options.encoding,
        "--provider": options.provider,
        "--sheet": options.sheet,
        "--column": "\n".join(options.column),
    }.items():
        if not text.isascii() and not _is_unicode(text):
            raise UsageError(f"{flag}: {text!r} holds bytes that are not UTF-8")
    return manifest.ManifestOptions(
        to=tuple(re.split(r"[;,\s]+", options.to)) if options.to else (),
        from_language=options.from_ or None,
        name=options.name,
        encoding=options.encoding,
        provider=options.provider.strip().lower() or None,
        columns=tuple(options.column),
        extra_columns=options.extra_columns,
        sheet=options.sheet,
    )
