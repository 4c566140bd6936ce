"""Ledgers in which rows have ended, without a run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from batchcap.domain.ledger_protocols import Ledger
from batchcap.domain.models import Failure, InvalidRow, Outcome, Row, RowState
from batchcap.storage.ledger import open_ledger
from tests.harness.clock import EPOCH
from tests.harness.rows import CAPTION


def ended(state: RowState = RowState.DONE, failure: Failure | None = None) -> Outcome:
    """Return an outcome, with a caption if it is done."""
    return Outcome(
        state=state,
        started_at=EPOCH,
        finished_at=EPOCH + 1.5,
        caption=CAPTION if state is RowState.DONE else None,
        failure=failure,
    )


def failed(code: str, message: str = "why", *, retryable: bool = True) -> Outcome:
    """Return the outcome of a row that failed."""
    return ended(RowState.FAILED, Failure(code, message, retryable=retryable))


@contextmanager
def ledger_of(
    folder: Path,
    rows: Sequence[Row | InvalidRow],
    outcomes: Mapping[str, Outcome | str] | None = None,
) -> Iterator[Ledger]:
    """Yield a ledger of these rows, each with the outcome, or the id of the job, of its key."""
    given: dict[Any, Outcome | str] = dict(outcomes or {})

    async def record() -> None:
        async with ledger.recording(threads=False):
            for provider in ledger.providers_with_pending():
                for pending in await ledger.pending(provider, 0, len(rows)):
                    outcome = given.get(pending.row.key)
                    if isinstance(outcome, str):
                        await ledger.record_intent(pending.row)
                        await ledger.record_job(pending.row, outcome)
                    elif outcome:
                        await ledger.record_outcome(pending.row, outcome)

    with closing(open_ledger(folder, create=True)) as ledger:
        ledger.import_rows([("m.csv", rows)], skip_invalid=True)
        asyncio.run(record())
        yield ledger
