"""`batchcap report`: the results for a spreadsheet or a program."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from batchcap.cli.options import Out
from batchcap.errors import UsageError


def report(
    *,
    out: Out = Path("captions"),
    format_: Annotated[
        Literal["json", "csv"], Parameter(name="--format", help="What to write.")
    ] = "json",
    file: Annotated[Path | None, Parameter(help="Where to; standard output without it.")] = None,
) -> int:
    """Write what became of every row, also while a run works."""
    from batchcap.export import as_csv, as_json
    from batchcap.ledger import read_only

    with closing(read_only(out)) as connection:
        pieces = as_csv(connection) if format_ == "csv" else as_json(connection)
        if file is None:
            sys.stdout.writelines(pieces)
            return 0
        try:
            with file.open("w", encoding="utf-8", newline="") as target:
                target.writelines(pieces)
        except OSError as error:
            raise UsageError(f"--file {file}: {error.strerror or error}") from None
    return 0
