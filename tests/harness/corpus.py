"""The corpus of odd WebVTT files, and what each parser makes of them.

`verdicts.csv` is written anew by `python -m tests.harness.corpus`, but for Chromium's column.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import webvtt

from batchcap.captions.quality import Checks, counts, findings_in
from batchcap.captions.webvtt import check
from batchcap.domain.errors import BadCaption

CASES = Path(__file__).parents[1] / "cases" / "vtt"
TABLE = CASES / "verdicts.csv"


class Verdict(msgspec.Struct, frozen=True):
    """The number of cues that each parser keeps of a file, None: it refuses it.

    `findings` are the kinds that are found by no rules, with spaces between them.
    """

    ours: int | None
    chromium: int | None
    webvtt_py: int | None
    findings: str


def read_table() -> dict[str, Verdict]:
    """Return the verdicts by the name of the file."""
    with TABLE.open(newline="") as file:
        return {
            row["file"]: Verdict(
                ours=_count(row["ours"]),
                chromium=_count(row["chromium"]),
                webvtt_py=_count(row["webvtt_py"]),
                findings=row["findings"],
            )
            for row in csv.DictReader(file)
        }


def _count(cell: str) -> int | None:
    return int(cell) if cell else None


def our_verdict(data: bytes) -> tuple[int | None, str]:
    """Return the number of cues and the findings of a file."""
    try:
        count = check(data)
    except BadCaption:
        return None, ""
    _, found = findings_in(data, Checks(rules="none"))
    return count, " ".join(counts(found))


def verdict_of_webvtt_py(data: bytes) -> int | None:
    """Return the number of captions that webvtt-py reads, None if it raises anything."""
    try:
        return len(webvtt.from_buffer(io.BytesIO(data)).captions)
    except (webvtt.errors.MalformedFileError, webvtt.errors.MalformedCaptionError, ValueError):
        return None


VERDICTS = read_table() if TABLE.exists() else {}


def write_table() -> None:
    """Write the table with the verdicts of today, and Chromium's as they were."""
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", *Verdict.__struct_fields__])
        for path in sorted(CASES.glob("*.vtt")):
            data = path.read_bytes()
            ours, findings = our_verdict(data)
            before = VERDICTS.get(path.name)
            chromium = before.chromium if before else None
            cells = [ours, chromium, verdict_of_webvtt_py(data), findings]
            writer.writerow([path.name, *("" if cell is None else cell for cell in cells)])


if __name__ == "__main__":
    write_table()
