"""`batchcap run MANIFEST...`: the manifests into the ledger, then to the end."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from batchcap.cli.options import ManifestOptions, Out, SandboxFlag, ScreenOptions, WorkOptions
from batchcap.errors import UsageError
from batchcap.model import InvalidRow, Row
from batchcap.settings import Settings

if TYPE_CHECKING:
    from batchcap import manifest
    from batchcap.ledger import Intake

STDIN = "<stdin>"
"""Stands for "-" while arguments are parsed: cyclopts takes that for an option."""


def run(
    *manifests: Annotated[str, Parameter(help="CSV, JSON or JSONL; - reads standard input.")],
    out: Out = Path("captions"),
    sandbox: SandboxFlag = False,
    reading: ManifestOptions = ManifestOptions(),  # noqa: B008  # frozen
    work: WorkOptions = WorkOptions(),  # noqa: B008  # frozen
    screen: ScreenOptions = ScreenOptions(),  # noqa: B008  # frozen
) -> int:
    """Read manifests into the ledger, then work until every row has ended.

    The same command again resumes. A further manifest adds to the same folder.
    """
    from batchcap import log
    from batchcap.cli.session import Session
    from batchcap.ledger import Lock, connect, discard_new

    if not manifests:
        raise UsageError(
            "run needs a manifest", hint="batchcap run videos.csv; batchcap resume needs none."
        )
    settings = work.settings(out, sandbox=sandbox)
    log.set_up(screen.verbose, screen.log_file)
    with Lock(out):
        gc.disable()  # a row makes no cycles: to look for them took a tenth of the time
        try:
            said = _taken_in(list(dict.fromkeys(manifests)), reading, settings, sandbox=sandbox)
        except BaseException:
            discard_new(out)
            raise
        finally:
            gc.enable()
        if not screen.quiet:
            print(said, file=sys.stderr)
        with closing(connect(out, create=False)) as connection:
            return Session(connection, settings, screen, sandbox=sandbox).run()


def _taken_in(
    manifests: Sequence[str], options: ManifestOptions, settings: Settings, *, sandbox: bool
) -> str:
    """Import the manifests that are not in the ledger as they are; what to say about it."""
    from batchcap import assembly
    from batchcap.ledger import begun, connect, file, seen, take_in

    out, marks = settings.out, _marks(manifests, options)
    with closing(connect(out, create=False)) if file(out).exists() else begun(out) as connection:
        named = sources(manifests, options)
        new = [
            (name, rows)
            for (name, rows), mark in zip(named, marks, strict=True)
            if mark is None or mark != seen.recall(connection, seen.manifest(name))
        ]

        def check() -> None:
            assembly.check_beforehand(connection, os.environ, settings, sandbox=sandbox)
            for (name, _), mark in zip(named, marks, strict=True):
                seen.note(connection, seen.manifest(name), mark or "")

        intake = take_in(connection, new, skip_invalid=options.skip_invalid, check=check)
    return _said(intake, len(named) - len(new))


def _said(intake: Intake, unchanged: int) -> str:
    words = f"{intake.added:,} new captions in the ledger"
    words += f", {intake.known:,} known already" if intake.known else ""
    words += f", {intake.invalid:,} invalid" if intake.invalid else ""
    if unchanged:
        words += f"; {unchanged} unchanged manifest{'s were' if unchanged > 1 else ' was'} not read"
    return words


def _marks(manifests: Sequence[str], options: ManifestOptions) -> list[str | None]:
    """What tells of each manifest that it is unchanged, where anything does."""
    from batchcap import manifest

    how = _how(options)
    found = [manifest.fingerprint(_source(name), how) for name in manifests]
    return [mark and f"{mark} {options.skip_invalid}" for mark in found]


def sources(
    manifests: Sequence[str], options: ManifestOptions
) -> list[tuple[str, Iterator[Row | InvalidRow]]]:
    """Each manifest's name, with its rows as they are read."""
    from batchcap import manifest

    how, names = _how(options), map(_source, manifests)
    return [(manifest.printable(name), manifest.read(name, how)) for name in names]


def _source(name: str) -> str:
    from batchcap import manifest

    return manifest.STDIN if name == STDIN else name


def _how(options: ManifestOptions) -> manifest.ManifestOptions:
    from batchcap import manifest

    return manifest.ManifestOptions(
        to=tuple(re.split(r"[;,\s]+", options.to)) if options.to else (),
        from_language=options.from_ or None,
        name=options.name,
        encoding=options.encoding,
    )
