"""The results of a run from the ledger: results.jsonl, the summary and the last line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from batchcap.domain.errors import FatalError
from batchcap.domain.ledger_protocols import Ledger, LedgerReader
from batchcap.domain.models import Totals
from batchcap.domain.text import counted
from batchcap.reports.metrics import Metrics
from batchcap.storage.ledger import file_marks

RESULTS = "results.jsonl"


class Summary(msgspec.Struct, frozen=True):
    """The totals of the ledger, and what this run needed for them."""

    totals: Totals
    elapsed_seconds: float
    requests: dict[str, int]
    throttled: int
    results: str

    def as_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        counts = ("total", "done", "failed", "skipped", "invalid", "pending")
        return {
            **{name: getattr(self.totals, name) for name in counts},
            "elapsed_seconds": round(self.elapsed_seconds, 3),
            "bytes": self.totals.bytes,
            "requests": self.requests,
            "throttled": self.throttled,
            "units_consumed": self.totals.units_consumed,
            "errors": self.totals.errors,
            "results": self.results,
        }


def summarize(
    ledger: LedgerReader,
    out: Path,
    metrics: Metrics,
    elapsed: float,
    buckets: Sequence[str],
) -> Summary:
    """Return the totals of the ledger with the counts of this run, of each of the buckets."""
    requests = {name: metrics.requests[name] for name in buckets}
    path = str(out / RESULTS)
    return Summary(ledger.totals(), elapsed, requests, metrics.throttled, path)


def write_results(ledger: Ledger, out: Path) -> None:
    """Replace `DIR/results.jsonl` as a whole, unless it is up to date.

    Raises:
        FatalError: The file cannot be written.
    """
    target, temp_file = out / RESULTS, out / f".{RESULTS}.part"
    fingerprint = ledger.fingerprint(file_marks.RESULTS)
    if fingerprint and fingerprint == _fingerprint(target):
        return
    try:
        temp_file.unlink(missing_ok=True)
        with temp_file.open("xb") as file:  # "x", because an existing link would be followed
            file.writelines(ledger.result_lines())
            file.flush()
            os.fsync(file.fileno())
        temp_file.replace(target)
        ledger.set_fingerprint(file_marks.RESULTS, _fingerprint(target))
    except OSError as error:
        raise FatalError(
            f"cannot write {target}: {error.strerror or error}",
            hint="Free disk space or fix permissions, then run: batchcap resume",
        ) from None
    finally:  # also when a second Ctrl-C interrupts the writing
        with contextlib.suppress(OSError):
            temp_file.unlink(missing_ok=True)


def _fingerprint(path: Path) -> str:
    """Return a text that changes with every change of a file; "" if there is no file."""
    try:
        stat = path.stat()
    except OSError:
        return ""
    return f"{stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"


def last_line(summary: Summary, resume: str, retry: str) -> str:
    """Return the result of a run and the next step as one line.

    `resume` and `retry` are the commands for pending and for failed rows; `retry` is "" if a
    retry cannot help.
    """
    totals = summary.totals
    text = f"{totals.done:,} of {totals.total:,} captions in {duration(summary.elapsed_seconds)}"
    for count, label in (
        (totals.failed, "failed"),
        (totals.skipped, "skipped"),
        (totals.invalid, "invalid"),
        (totals.pending, "pending"),
    ):
        text += f", {count:,} {label}" if count else ""
    if totals.without_cues:
        text += f"; {totals.without_cues:,} without a cue, as silent videos have"
    if totals.units_consumed:
        text += f"; {totals.units_consumed:,} units"
    text += f" ({summary.results})."
    if totals.pending:
        return f"{text} To continue: {resume}"
    return f"{text} To try failed rows again: {retry}" if retry else text


def repair_line(*, repaired: int, not_repaired: int, repair: str, retry: str) -> str:
    """Return the result of a repair and the next step as one line.

    `repair` is the command if files are still to be repaired, else "". `retry` is the command
    for failed rows, "" if a retry cannot help.
    """
    text = f"{counted(repaired, 'file')} repaired"
    text += f", {not_repaired:,} not" if not_repaired else ""
    if repair:
        return f"{text}, others remain. To continue: {repair}"
    return f"{text}. To try again: {retry}" if retry else f"{text}."


def duration(seconds: float) -> str:
    """Format seconds like `7.3s`, `43m 10s` or `2h 05m`."""
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"


def size(count: float) -> str:
    """Format bytes like `12.3 MB`."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count /= 1000
        units.pop(0)
    return f"{count:.0f} B" if units[0] == "B" else f"{count:.1f} {units[0]}"
