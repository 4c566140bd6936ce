"""The options of `batchcap manifest`, whichever provider it lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from batchcap.cli.options import SandboxFlag
from batchcap.cli.parsing import DASH, parse_moment
from batchcap.domain.account import AccountQuery
from batchcap.domain.errors import UsageError
from batchcap.reports.manifest_file import FORMATS

FILTERS = Group("Filters")


@Parameter(name="*")
@dataclass(frozen=True)
class ListOptions:
    """What to list, and where to write it."""

    out: Annotated[
        str,
        Parameter(
            name=["--out", "-o"], help="FILE.csv, .jsonl or .json; - is CSV on standard output."
        ),
    ] = "-"
    format_: Annotated[
        Literal["csv", "jsonl", "json"] | None,
        Parameter(name="--format", help="If the name of FILE does not say it."),
    ] = None
    title: Annotated[str, Parameter(group=FILTERS, help="A glob, like 'Season 2*'.")] = ""
    created_after: Annotated[
        str, Parameter(group=FILTERS, help="2026-10-01 or 2026-10-01T18:00, local time.")
    ] = ""
    created_before: Annotated[str, Parameter(group=FILTERS, help="Likewise, excluded.")] = ""
    missing_in: Annotated[
        Path | None, Parameter(group=FILTERS, help="Only what the ledger in DIR lacks.")
    ] = None
    sandbox: SandboxFlag = False
    quiet: Annotated[
        bool, Parameter(name=["--quiet", "-q"], negative="", help="No progress, no messages.")
    ] = False
    log_file: Annotated[Path | None, Parameter(help="Log every step into a file.")] = None

    def query(self) -> AccountQuery:
        """Return the filters.

        Raises:
            UsageError: A date is wrong.
        """
        return AccountQuery(
            title=self.title,
            created_after=parse_moment("--created-after", self.created_after),
            created_before=parse_moment("--created-before", self.created_before),
        )

    def file_format(self) -> str:
        """Return the format to write.

        Raises:
            UsageError: Neither name nor option says it.
        """
        if self.format_ is not None:
            return self.format_
        if self.is_stdout:
            return FORMATS[0]
        suffix = Path(self.out).suffix.lower().removeprefix(".")
        if suffix not in FORMATS:
            raise UsageError(
                f"-o {self.out}: the name does not say which format",
                hint="Name it .csv, .jsonl or .json, or: --format csv",
            )
        return suffix

    @property
    def is_stdout(self) -> bool:
        """Whether the manifest goes to standard output."""
        return self.out in {"-", DASH}
