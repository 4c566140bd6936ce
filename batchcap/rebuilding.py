"""A ledger made anew from manifest, files and provider; nothing is created.

Every caption that jobs are made for begins as a create whose answer was lost, so
that whatever this cannot settle is looked up by the next run before it may send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import anyio
import msgspec

from batchcap.errors import RowError, Unavailable
from batchcap.interfaces import Ledger, NewLedger, Provider
from batchcap.model import Caption, JobState, PendingRow
from batchcap.verification import Measure, measure

_PAGE = 256
_THREADS = 8
_KEPT = 1000


class Rebuilt(msgspec.Struct):
    """What was found. `unasked` captions could not be asked after; the next run does.

    `flawed` are files that are no whole captions, the first ones of many.
    """

    jobs: int = 0
    unasked: int = 0
    adopted: int = 0
    flawed_files: int = 0
    flawed: list[str] = []


async def look_up(
    ledger: Ledger,
    providers: Mapping[str, Provider],
    settled_at: float,
    now: Callable[[], float],
    rebuilt: Rebuilt,
) -> None:
    """Ask the providers what an earlier ledger had them make; by GETs alone.

    Begins at `settled_at` (unix seconds), when no create is on its way any more.
    Raises `FatalError` where a provider refuses to be asked.
    """
    for name, provider in providers.items():
        await anyio.sleep(max(0.0, settled_at - now()))
        after = 0
        while page := await ledger.pending(name, after, _PAGE):
            async with anyio.create_task_group() as group:
                for work in page:
                    group.start_soon(_look_up, ledger, provider, work, settled_at, rebuilt)
            after = page[-1].row.number
    await ledger.drain()


async def _look_up(
    ledger: Ledger, provider: Provider, work: PendingRow, since: float, rebuilt: Rebuilt
) -> None:
    try:
        job = await provider.find_existing_job(work.row, work.history, since)
    except (RowError, Unavailable):
        rebuilt.unasked += 1
        return
    if job is None or job.id is None:
        await ledger.discard_intent(work.row)
        return
    rebuilt.jobs += 1
    await ledger.record_job(work.row, job.id)
    if job.state is JobState.COMPLETED:
        await ledger.record_job_ended(work.row, job)


def take_files(ledger: NewLedger, out: Path, rebuilt: Rebuilt) -> None:
    """Make every row done whose file is there under its name and a whole caption."""
    with ThreadPoolExecutor(_THREADS) as threads:
        for page in ledger.unfinished_files():
            measures = threads.map(partial(_measured, out), page)
            adopted = []
            for (number, path), found in zip(page, measures, strict=True):
                if found is not None and found.flaw:
                    _flawed(rebuilt, path, found.flaw)
                elif found is not None:
                    caption = Caption(found.bytes, found.sha256, found.cues)
                    adopted.append((number, caption, found.modified))
            rebuilt.adopted += len(adopted)
            ledger.mark_done(adopted)


def _measured(out: Path, row: tuple[int, str]) -> Measure | None:
    try:
        return measure(out, row[1])
    except OSError:
        return None


def _flawed(rebuilt: Rebuilt, path: str, flaw: str) -> None:
    rebuilt.flawed_files += 1
    if len(rebuilt.flawed) < _KEPT:
        rebuilt.flawed.append(f"{path}: {flaw}")
