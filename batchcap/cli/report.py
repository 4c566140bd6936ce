"""`batchcap report`: the results for a spreadsheet or a program."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from batchcap.cli.parsing import DASH
from batchcap.domain.errors import FatalError, UsageError
from batchcap.reports.export import as_csv, as_json
from batchcap.storage.ledger import open_reader


def report(
    *,
    dir_: Annotated[Path, Parameter(name="--dir", help="The output folder of the run.")] = Path(
        "captions"
    ),
    format_: Annotated[Literal["json", "csv"], Parameter(name="--format")] = "json",
    out: Annotated[
        str, Parameter(name=["--out", "-o"], help="The file to write; - is standard output.")
    ] = "-",
) -> int:
    """Write the result of every row, even while a run works."""
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(open_reader(dir_)))
        make = as_csv if format_ == "csv" else as_json
        pieces = stack.enter_context(closing(make(ledger)))  # it reads the ledger
        if out in {"-", DASH}:
            sys.stdout.writelines(pieces)
            return 0
        try:
            target = Path(out).open("w", encoding="utf-8", newline="")  # noqa: SIM115  # closed below
        except OSError as error:
            raise UsageError(f"-o {out}: {error.strerror or error}") from None
        try:
            with target:
                target.writelines(pieces)
        except OSError as error:
            message = f"cannot write {out}: {error.strerror or error}"
            hint = "Free disk space, or write to another place."
            raise FatalError(message, hint=hint) from None
    return 0
