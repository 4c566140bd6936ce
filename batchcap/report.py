"""From ledger to people and machines: results.jsonl, the summary, the last line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from batchcap.errors import FatalError
from batchcap.interfaces import Ledger, LedgerReader
from batchcap.ledger import seen
from batchcap.model import Totals
from batchcap.tally import Tally

RESULTS = "results.jsonl"


class Summary(msgspec.Struct, frozen=True):
    """The whole ledger's totals, and what this run took to get there."""

    totals: Totals
    elapsed_seconds: float
    requests: dict[str, int]
    throttled: int
    results: str

    def as_json(self) -> dict[str, Any]:
        """The contract's summary object."""
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
    tally: Tally,
    elapsed: float,
    buckets: Sequence[str],
) -> Summary:
    """Return the totals of the ledger with the counts of this run, of each of the buckets."""
    requests = {name: tally.requests[name] for name in buckets}
    path = str(out / RESULTS)
    return Summary(ledger.totals(), elapsed, requests, tally.throttled, path)


def write_results(ledger: Ledger, out: Path) -> None:
    """Replace `DIR/results.jsonl` as a whole, unless it says what the ledger says.

    Raises `FatalError` where the disk refuses.
    """
    target, part = out / RESULTS, out / f".{RESULTS}.part"
    fingerprint = ledger.fingerprint(seen.RESULTS)
    if fingerprint and fingerprint == _fingerprint(target):
        return
    try:
        part.unlink(missing_ok=True)
        with part.open("xb") as file:  # anew: a link under this name would be followed
            file.writelines(ledger.result_lines())
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        ledger.set_fingerprint(seen.RESULTS, _fingerprint(target))
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise FatalError(
            f"cannot write {target}: {error.strerror or error}",
            hint="Free disk space or fix permissions, then run: batchcap resume",
        ) from None


def _fingerprint(path: Path) -> str:
    """Return what changes with every change of a file; "" if there is none."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"


def last_line(summary: Summary, resume: str, retry: str) -> str:
    """What happened, and the next step, in one line."""
    all_of = summary.totals
    words = f"{all_of.done:,} of {all_of.total:,} captions in {duration(summary.elapsed_seconds)}"
    for count, what in (
        (all_of.failed, "failed"),
        (all_of.skipped, "skipped"),
        (all_of.invalid, "invalid"),
        (all_of.pending, "pending"),
    ):
        words += f", {count:,} {what}" if count else ""
    words += f" ({summary.results})."
    if all_of.pending:
        return f"{words} {resume} goes on."
    return f"{words} {retry} tries those again." if all_of.failed else words


def duration(seconds: float) -> str:
    """`7.3s`, `43m 10s`, `2h 05m`."""
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m" if hours else f"{minutes}m {rest:02}s"


def size(count: float) -> str:
    """`12.3 MB`."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count /= 1000
        units.pop(0)
    return f"{count:.0f} B" if units[0] == "B" else f"{count:.1f} {units[0]}"
