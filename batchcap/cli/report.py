"""`batchcap report`: the results for a spreadsheet, a program or a pull request."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, get_args
from urllib.parse import quote

from cyclopts import Parameter

from batchcap.app.providers import is_rehearsal
from batchcap.app.quality import CaptionQuality
from batchcap.cli.command_lines import complete_commands
from batchcap.cli.configuration.configuration import on_command_line
from batchcap.cli.parsing import DASH, parse_delimiter
from batchcap.cli.quality_options import DEFAULT_RULES, NeverTranslate, Rules, read_terms
from batchcap.domain.errors import FatalError, UsageError
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.quality import QualitySettings
from batchcap.domain.text import counted, printable
from batchcap.reports.cells import ChangedCells
from batchcap.reports.csv_report import as_csv
from batchcap.reports.html import page
from batchcap.reports.json_report import as_json
from batchcap.reports.markdown_report import as_markdown
from batchcap.reports.xlsx_report import require_xlsxwriter, write_xlsx
from batchcap.storage.ledger import Examine, open_reader
from batchcap.storage.whole_file import whole_file

Format = Literal["json", "csv", "xlsx", "md", "html"]


def report(
    *,
    dir_: Annotated[Path, Parameter(name="--dir", help="The output folder of the run.")] = Path(
        "captions"
    ),
    format_: Annotated[
        Format | None,
        Parameter(name="--format", help="Without it, the ending of the file decides; else json."),
    ] = None,
    out: Annotated[
        str, Parameter(name=["--out", "-o"], help="The file to write; - is standard output.")
    ] = "-",
    delimiter: Annotated[
        str,
        Parameter(help="Of CSV: one character, or tab. With a decimal comma, Excel expects ;."),
    ] = ",",
    quality: Annotated[
        bool,
        Parameter(
            negative="", help="Check every file now; without it, what runs with --quality found."
        ),
    ] = False,
    caption_rules: Rules = None,
    never_translate: NeverTranslate = None,
    embed: Annotated[
        bool,
        Parameter(negative="", help="Put the captions themselves into the HTML page."),
    ] = False,
) -> int:
    """Write the result of every row, even while a run works."""
    chosen = format_ or _format_of(out)
    _check(chosen, out, delimiter, embed=embed)
    separator, place = parse_delimiter(delimiter), _folder_seen_from(out, dir_)
    examine = _examiner(dir_, caption_rules, never_translate) if quality else None
    rules = {"--caption-rules": caption_rules, "--never-translate": never_translate}
    if not quality and on_command_line(rules):
        raise UsageError("--caption-rules and --never-translate need --quality")
    with closing(open_reader(dir_, examine)) as ledger, _opened(out) as file:
        rehearsal = is_rehearsal(ledger)
        complete = partial(complete_commands, out=dir_, sandbox=rehearsal)
        match chosen:
            case "csv":
                _write_csv(ledger, file, separator)
            case "xlsx":
                write_xlsx(ledger, file, place, complete)
            case "md":
                _write(as_markdown(ledger, complete, is_rehearsal=rehearsal), file)
            case "html":
                _write(_page_of(ledger, dir_, place, embed=embed), file)
            case _:
                _write(as_json(ledger), file)
    if format_ is None and chosen == "json" and (note := _note_on_ending(out)):
        print(note, file=sys.stderr)
    return 0


def _examiner(out: Path, rules: str | None, never_translate: Path | None) -> Examine:
    """Return what checks the file of a row. It is read when the row is written."""
    settings = QualitySettings(rules=rules or DEFAULT_RULES, terms=read_terms(never_translate))
    return CaptionQuality(settings, out).examine_file


def _page_of(ledger: LedgerReader, out: Path, place: str, *, embed: bool) -> Generator[str]:
    """Return the HTML page of a folder; `place` is its relative path from where the page is."""
    rehearsal = is_rehearsal(ledger)
    return page(
        ledger,
        out=out,
        files_link=f"{quote(os.fsencode(place))}/",
        embed=embed,
        complete=partial(complete_commands, out=out, sandbox=rehearsal),
        is_rehearsal=rehearsal,
    )


def _is_stdout(out: str) -> bool:
    return out in {"-", DASH}


def _format_of(out: str) -> str:
    ending = Path(out).suffix[1:].lower()
    return ending if ending in get_args(Format) else "json"


def _note_on_ending(out: str) -> str:
    """Return a note if the ending of a file promises something else than JSON, else ""."""
    ending = Path(out).suffix
    if ending.lower() in {"", ".json"}:
        return ""
    formats = ", ".join(f".{name}" for name in get_args(Format) if name != "json")
    return f"note: {printable(out)} is JSON; the endings of other formats are {formats}"


def _check(chosen: str, out: str, delimiter: str, *, embed: bool) -> None:
    """Check that the format can be written, and that it has these options.

    Raises:
        UsageError: It cannot, or an option is another format's.
    """
    if chosen != "csv" and on_command_line({"--delimiter": delimiter != ","}):
        raise UsageError("--delimiter is for --format csv")
    if chosen != "html" and on_command_line({"--embed": embed}):
        raise UsageError("--embed is for --format html")
    if chosen == "xlsx":
        require_xlsxwriter()
        if _is_stdout(out) and sys.stdout.isatty():
            raise UsageError(
                "a workbook is not written to a terminal", hint="Like this: -o results.xlsx"
            )


def _folder_seen_from(out: str, folder: Path) -> str:
    """Return the relative path from where a file is written to a folder."""
    place = Path() if _is_stdout(out) else Path(out).resolve().parent
    return os.path.relpath(folder.resolve(), place.resolve())


def _write(pieces: Generator[str], file: BinaryIO) -> None:
    with closing(pieces):  # it reads the ledger
        for piece in pieces:
            file.write(piece.encode("utf-8", "backslashreplace"))


def _write_csv(ledger: LedgerReader, file: BinaryIO, delimiter: str) -> None:
    """Write CSV, and warn of cells that Excel reads as something else."""
    changed = ChangedCells()
    _write(as_csv(ledger, delimiter=delimiter, changed=changed), file)
    if changed.count:
        print(
            f"note: Excel reads {counted(changed.count, 'cell')} as other values, such as "
            f"{printable(changed.example)!r}; --format xlsx keeps them",
            file=sys.stderr,
        )


@contextmanager
def _opened(out: str) -> Iterator[BinaryIO]:
    """Yield the file to write, which is complete or absent; or standard output.

    Raises:
        UsageError: It cannot be made.
        FatalError: The disk refuses it later.
    """
    if _is_stdout(out):
        sys.stdout.flush()
        yield sys.stdout.buffer
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(whole_file(Path(out)))
        except OSError as error:
            raise UsageError(f"-o {out}: {error.strerror or error}") from None
        try:
            with stack.pop_all():
                yield file
        except OSError as error:
            message = f"cannot write {out}: {error.strerror or error}"
            hint = "Free disk space, or write to another place."
            raise FatalError(message, hint=hint) from None
