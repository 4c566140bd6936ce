"""One provider's part of a run: its rows, its window, its workers.

Each provider has a lane, so that a queue at one does not hold up the other. Rows
stream in from the ledger, so that rows which wait cost no memory.
"""

from __future__ import annotations

from collections import deque
from functools import partial

import anyio
import msgspec

from batchcap.domain.models import PendingRow, Row
from batchcap.domain.protocols import Checkpoint, Downloader, Provider
from batchcap.domain.quality import Examine, QualityCheck
from batchcap.domain.shutdown import ShutdownToken
from batchcap.engine.create_gate import CreateGate
from batchcap.engine.poller import Poller
from batchcap.engine.unit_budget import UnitBudget

_PAGE = 256
"""Rows that are read from the ledger at a time."""


class Policy(msgspec.Struct, frozen=True):
    """The user's choices that concern the engine; durations in seconds."""

    job_timeout: float = 7200.0
    settle: float = 60.0
    """How long a create without a response may still arrive."""
    retry_jobs: int = 0
    adopt_since: float | None = None
    """When a killed run began (unix seconds): its files are adopted as they are."""
    create_until: float | None = None
    """When to stop creating jobs (unix seconds), so that those which run can end in time."""


class Lane(msgspec.Struct, frozen=True):
    """One provider with what its rows need. `window` rows are processed at once."""

    provider: Provider
    poller: Poller
    downloader: Downloader
    stop: ShutdownToken
    window: int
    creates: CreateGate = msgspec.field(default_factory=CreateGate)
    budget: UnitBudget | None = None
    quality: QualityCheck | None = None

    def examiner(self, row: Row) -> Examine | None:
        """Return what looks at a row's caption before it gets its name, None if nothing does."""
        return None if self.quality is None else partial(self.quality.examine, row)


class PendingRows:
    """The pending rows of one provider, read a page at a time, for many workers."""

    def __init__(self, ledger: Checkpoint, provider: str) -> None:
        self._ledger, self._provider = ledger, provider
        self._rows: deque[PendingRow] = deque()
        self._after = 0
        self._exhausted = False
        self._reading = anyio.Lock()

    async def prefetch(self, count: int) -> int:
        """Read ahead until there are `count` rows, or all; return how many there are."""
        while len(self._rows) < count and not self._exhausted:
            page = await self._ledger.pending(self._provider, self._after, _PAGE)
            self._exhausted = len(page) < _PAGE
            self._rows.extend(page)
            if page:
                self._after = page[-1].row.number
        return len(self._rows)

    async def get(self) -> PendingRow | None:
        """Return the next row, None if none is left."""
        if not self._rows and not self._exhausted:
            async with self._reading:
                await self.prefetch(1)
        return self._rows.popleft() if self._rows else None
