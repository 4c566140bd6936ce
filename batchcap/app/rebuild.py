"""Fills a new ledger from manifest, files and provider, and creates no job.

Every row whose provider creates jobs starts as an unanswered create. Whatever cannot be
decided here is therefore looked up by the next run before it may send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import anyio
import msgspec

from batchcap.app.verify import FileStats, read_stats
from batchcap.domain.errors import RowError, Unavailable
from batchcap.domain.ledger_protocols import Ledger, NewLedger
from batchcap.domain.models import Caption, JobState, PendingRow
from batchcap.domain.protocols import Provider

PAGE_SIZE = 256  # rows looked up at once
THREADS = 8
MAX_KEPT = 1000  # bad files that a result lists


class RebuildResult(msgspec.Struct):
    """The result of a rebuild.

    `unchecked` rows could not be looked up; the next run does that. `bad_files` holds the
    first `MAX_KEPT` files that are not complete captions, `bad_file_count` counts all.
    """

    jobs: int = 0
    unchecked: int = 0
    adopted: int = 0
    bad_file_count: int = 0
    bad_files: list[str] = []


async def find_jobs(
    ledger: Ledger,
    providers: Mapping[str, Provider],
    settled_at: float,
    now: Callable[[], float],
    result: RebuildResult,
) -> None:
    """Find the jobs that were created with an earlier ledger, with GET requests only.

    Starts at `settled_at` (unix seconds), when no create can still be in flight.

    Raises:
        FatalError: A provider refuses the credentials.
    """
    for name, provider in providers.items():
        await anyio.sleep(max(0.0, settled_at - now()))
        after = 0
        while page := await ledger.pending(name, after, PAGE_SIZE):
            async with anyio.create_task_group() as group:
                for pending in page:
                    group.start_soon(_find_job, ledger, provider, pending, settled_at, result)
            after = page[-1].row.number
    await ledger.drain()


async def _find_job(
    ledger: Ledger, provider: Provider, pending: PendingRow, since: float, result: RebuildResult
) -> None:
    try:
        job = await provider.find_existing_job(pending.row, pending.history, since)
    except (RowError, Unavailable):
        result.unchecked += 1
        return
    if job is None or job.id is None:
        await ledger.discard_intent(pending.row)
        return
    result.jobs += 1
    await ledger.record_job(pending.row, job.id)
    if job.state is JobState.COMPLETED:
        await ledger.record_job_ended(pending.row, job)


def adopt_files(ledger: NewLedger, out: Path, result: RebuildResult) -> None:
    """Mark every row as done whose file exists and is a complete caption."""
    with ThreadPoolExecutor(THREADS) as threads:
        for page in ledger.unfinished_files():
            all_stats = threads.map(partial(_stats_if_readable, out), page)
            adopted = []
            for (number, path), stats in zip(page, all_stats, strict=True):
                if stats is not None and stats.error:
                    _add_bad_file(result, path, stats.error)
                elif stats is not None:
                    caption = Caption(stats.bytes, stats.sha256, stats.cues)
                    adopted.append((number, caption, stats.modified))
            result.adopted += len(adopted)
            ledger.mark_done(adopted)


def _stats_if_readable(out: Path, row: tuple[int, str]) -> FileStats | None:
    try:
        return read_stats(out, row[1])
    except OSError:
        return None


def _add_bad_file(result: RebuildResult, path: str, error: str) -> None:
    result.bad_file_count += 1
    if len(result.bad_files) < MAX_KEPT:
        result.bad_files.append(f"{path}: {error}")
