"""What a command leaves: Markdown on the screen, raw figures as JSON, the README's section."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

README = Path(__file__).parent / "README.md"


@dataclass(frozen=True)
class Report:
    """One command's tables as Markdown and its raw figures.

    `failed`: a bar was missed, or a competitor did not do its work.
    """

    name: str
    text: str
    record: Any
    failed: bool


def publish(report: Report, out: Path, *, update_readme: bool) -> None:
    """Print the report, write `out`/NAME.json and, if asked, the section of the README."""
    print(f"\n{report.text}\n")
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{report.name}.json").write_text(json.dumps(report.record, indent=1) + "\n")
    if update_readme:
        README.write_text(with_section(README.read_text(), report.name, report.text))


def with_section(document: str, name: str, text: str) -> str:
    """Replace what is between the markers `<!-- NAME -->` and `<!-- end of NAME -->`.

    Raises:
        LookupError: The document has no such markers.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, has_begin, rest = document.partition(begin)
    _, has_end, after = rest.partition(end)
    if not (has_begin and has_end):
        raise LookupError(f"no section {name} in the README")
    return f"{before}{begin}\n{text}\n\n{end}{after}"
