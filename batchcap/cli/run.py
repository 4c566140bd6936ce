"""`batchcap run MANIFEST...`: the manifests into the ledger, then to the end."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from batchcap.cli.options import ManifestOptions, Out, SandboxFlag, ScreenOptions, WorkOptions
from batchcap.errors import UsageError
from batchcap.model import InvalidRow, Row
from batchcap.settings import Settings

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
    from batchcap.ledger import Lock, connect, discard_empty

    if not manifests:
        raise UsageError(
            "run needs a manifest", hint="batchcap run videos.csv; batchcap resume needs none."
        )
    settings = work.settings(out, sandbox=sandbox)
    log.set_up(screen.verbose, screen.log_file)
    with Lock(out), closing(connect(out, create=True)) as connection:
        try:
            said = _taken_in(connection, manifests, reading, settings, sandbox=sandbox)
        except UsageError:
            discard_empty(connection, out)
            raise
        if not screen.quiet:
            print(said, file=sys.stderr)
        return Session(connection, settings, screen, sandbox=sandbox).run()


def _taken_in(
    connection: sqlite3.Connection,
    manifests: Sequence[str],
    options: ManifestOptions,
    settings: Settings,
    *,
    sandbox: bool,
) -> str:
    """Import, and what to say about it."""
    from batchcap import assembly
    from batchcap.ledger import take_in

    def check() -> None:
        assembly.check_beforehand(connection, os.environ, settings, sandbox=sandbox)

    named = sources(manifests, options)
    intake = take_in(connection, named, skip_invalid=options.skip_invalid, check=check)
    known = f", {intake.known:,} known already" if intake.known else ""
    invalid = f", {intake.invalid:,} invalid" if intake.invalid else ""
    return f"{intake.added:,} new captions in the ledger{known}{invalid}"


def sources(
    manifests: Sequence[str], options: ManifestOptions
) -> list[tuple[str, Iterator[Row | InvalidRow]]]:
    """Each manifest's name, with its rows as they are read."""
    from batchcap import manifest

    how = manifest.ManifestOptions(
        to=tuple(re.split(r"[;,\s]+", options.to)) if options.to else (),
        from_language=options.from_ or None,
        name=options.name,
        encoding=options.encoding,
    )
    names = [manifest.STDIN if name == STDIN else name for name in manifests]
    return [(manifest.printable(name), manifest.read(name, how)) for name in names]
